"""What to type after a run: commands that can be copied from its page."""

import shlex
from pathlib import Path
from typing import Any

from world_models.runs.folder import display_path, outputs_typed
from world_models.runs.program import started
from world_models.runs.scripts import env_overrides

FEEDS = {
    "rollout": ("vae", "pixel", "tokenizer"),
    "convert": ("vae", "pixel", "tokenizer"),
    "data": ("vae", "pixel", "tokenizer"),
    "play": ("vae", "pixel", "tokenizer"),
    "vae": ("mdrnn",),
    "mdrnn": ("controller", "export"),
    "controller": ("evaluate", "export"),
    "pixel": ("evaluate",),
    "tokenizer": ("token_world",),
    "token_world": ("actor_critic",),
    "actor_critic": ("evaluate",),
    "rem": ("evaluate",),
    "pipeline": ("export",),
}
"""Stage -> what a run of it can feed."""
PLAYING = ("controller", "actor_critic")
"""Those of them that play in the environment."""
PURPOSES = {
    "vae": "Train V on these episodes",
    "mdrnn": "Train M on this V",
    "controller": "Search C on this M",
    "evaluate": "Score it",
    "pixel": "Train a next-frame model on these episodes",
    "tokenizer": "Turn these frames into tokens",
    "token_world": "Train a token world on this tokenizer",
    "actor_critic": "Let an agent learn in this token world",
    "export": "Send the dream as one page",
}
SCRIPTS = {"play.sh": "Play it", "eval.sh": "Score it again"}


def takes(stage: str, env: dict[str, Any]) -> bool:
    """Whether a stage can go on from a run in `env`, the one of its manifest (empty: unknown).

    V takes frames of one size, and where there are recordings alone nobody plays.
    """
    # these load torch and Gymnasium, for which a listing of runs does not wait
    from world_models.envs import recorded
    from world_models.models.convvae import IMAGE_SIZE

    size = (env.get("preprocessing") or {}).get("size")
    if stage == "vae":
        return size in (None, IMAGE_SIZE)
    return stage not in PLAYING or not recorded.fits(str(env.get("id")))


def next_steps(
    folder: Path, stage: str, status: str, manifest: dict[str, Any]
) -> list[tuple[str, str]]:
    """Purpose and command of each; of a run that is not finished how to go on with it."""
    if status != "finished":
        return [("Go on", shlex.quote(display_path(folder / "resume.sh")))]
    scripts = [
        (purpose, shlex.quote(display_path(folder / name)))
        for name, purpose in SCRIPTS.items()
        if (folder / name).is_file()
    ]
    env = manifest.get("env") or {}
    names = [name for name in FEEDS.get(stage, ()) if takes(name, env)]
    feeds = [(PURPOSES[name], command(name, folder, manifest)) for name in names]
    beside = f"stage.runs=[{display_path(folder)},<another run>]"
    compare = ("Compare it with another run", _typed("stage=report", beside))
    return [*feeds, *scripts, compare]


def command(stage: str, folder: Path, manifest: dict[str, Any]) -> str:
    """What starts a stage that the run in `folder` feeds."""
    choices = manifest.get("choices") or {}
    env = env_overrides(choices) if "env" in choices else []
    upstream = f"upstream={display_path(folder)}"
    return _typed(f"stage={stage}", *env, upstream, *outputs_typed(folder))


def _typed(*words: str) -> str:
    return shlex.join([*started().typed, *words])
