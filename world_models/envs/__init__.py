"""Environments as batches of pixels; importing this package registers its own with Gymnasium."""

import gymnasium

from world_models.envs.procgen import PROCGEN_PREFIX, Game
from world_models.envs.quiet import quiet_pygame

quiet_pygame()

gymnasium.register(
    id="WorldModels/Pellet-v0",
    entry_point="world_models.envs.pellet:PelletEnv",
    max_episode_steps=20,
)
for game in Game:
    gymnasium.register(
        id=f"{PROCGEN_PREFIX}{game.name}-v0",
        entry_point="world_models.envs.procgen_gymnasium:make_registered",
        kwargs={"game": game.name},
        disable_env_checker=True,
    )
for name in ("Dream", "Real"):
    gymnasium.register(
        id=f"WorldModels/{name}-v0",
        entry_point=f"world_models.worlds.registered:{name.lower()}",
        vector_entry_point=f"world_models.worlds.registered:{name.lower()}_vector",
    )
