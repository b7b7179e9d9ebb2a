"""One file per stage, or a folder for a long one; each ends with its row, STAGE."""

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
