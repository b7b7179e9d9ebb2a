"""The first look at an environment that somebody named."""

from world_models.envs.config import EnvConfig
from world_models.envs.make import make_spec
from world_models.envs.spec import EnvSpec
from world_models.runs.deadline import within
from world_models.runs.progress import ProgressBar

FIRST_LOOK = 300.0
"""Seconds in which an environment must show that it can be played."""


def look_at(env: EnvConfig) -> EnvSpec:
    """Describe an environment; one that never answers is a ValueError."""
    too_long = (
        f"env.id={env.id} does not answer: to make it, begin an episode and take a step took more "
        f"than {FIRST_LOOK:.0f} seconds; look for what it waits for"
    )
    with ProgressBar("look at the environment", None), within(FIRST_LOOK, too_long):
        return make_spec(env)
