"""One file per stage, or a folder for a long one; each ends with its row, STAGE."""

from types import ModuleType

from world_models.config.groups import OWN_STAGES

STAGES = [
    "rollout",
    "convert",
    "data",
    "vae",
    "mdrnn",
    "controller",
    "evaluate",
    "pixel",
    "autoencoder",
    "tokenizer",
    "token_world",
    "actor_critic",
    "rem",
    "play",
    "export",
    "runs",
    "results",
    "report",
    "doctor",
]
"""The stages, each the name of its file or folder."""


def add_stage(module: ModuleType) -> None:
    """Make a stage known that lies outside of this package.

    The module holds its row STAGE, and TITLE, LEAD, CAPTIONS, headline, findings and fill for its
    page. A name that is taken is a ValueError.
    """
    name = module.STAGE.name
    if name in STAGES or not name.isidentifier():
        raise ValueError(f"a stage of yours cannot be called {name}: choose another name")
    OWN_STAGES[name] = module
