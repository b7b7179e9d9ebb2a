"""A small agent that reads tokens, for tests: patches of Pellet's frames, untrained networks."""

import torch

from world_models.agents.policy import RandomPolicy
from world_models.agents.rollout import record
from world_models.agents.token_agent import TokenAgent
from world_models.data.datasets import to_float
from world_models.envs.config import EnvConfig
from world_models.envs.make import Backend, make_spec, make_vector_env
from world_models.envs.pixels import PixelVectorEnv
from world_models.models.actor_critic import ActorCritic
from world_models.models.tokenizers.patch import PatchTokenizer
from world_models.runs import seeding


def pellet(num_envs: int, size: int = 64) -> PixelVectorEnv:
    spec = make_spec(EnvConfig(id="WorldModels/Pellet-v0", size=size))
    return make_vector_env(spec, Backend.gymnasium, num_envs)


def token_agent(size: int = 64, temperature: float = 0.5) -> TokenAgent:
    """It knows the patches of some episodes, and acts by chance weights."""
    envs = pellet(4, size)
    films = record(envs, RandomPolicy(envs.env_spec.action_space), range(8))
    tokenizer = PatchTokenizer(3, size, patch_size=size // 4, vocabulary=256)
    for film in films:
        tokenizer.fit(to_float(torch.from_numpy(film.observations), "cpu"))
    with seeding.seeded_weights(0, "token agent"):
        model = ActorCritic(tokenizer.code_size, tokenizer.grid, 5, channels=8, hidden=16)
        torch.nn.init.normal_(model.actor.weight)
    return TokenAgent(tokenizer, model, envs.env_spec, temperature)
