"""Where a dream begins that knows no stored episodes: at first frames of the environment."""

from world_models.envs.make import Backend, make_vector_env
from world_models.runs.seeding import Purpose, fresh_seeds
from world_models.worlds.latent import WorldModel
from world_models.worlds.memory import LatentState

EPISODES = 16
"""Episodes whose first frames are seen."""


def first_states(model: WorldModel) -> LatentState:
    """States (EPISODES, ...) of episodes of the validation range that have just begun."""
    envs = make_vector_env(model.env, Backend.auto, EPISODES)
    try:
        frames, _ = envs.reset(seed=fresh_seeds(Purpose.validation, EPISODES, 0, "dream"))
    finally:
        envs.close()
    return model.memory.begin(model.encode(frames))
