"""Steps per second of a search in a dream: all that a step takes, beside M's LSTM and head alone
and beside one episode at a time.

    python -m benchmarks.dream
    python -m benchmarks.dream --units 256 --rows 1024 --repeats 9

A step of the search is what stage=controller does with stage.world=dream: features, each row's
own controller, squashing, M, the next latent drawn, reward and end. All three are measured in
alternation, on as many torch threads as there are cores. Nothing ends, so no row is left out.
"""

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.table import Rates, show
from world_models.agents.control import ControllerPolicy
from world_models.agents.rollout import play
from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.models.controller import ControllerInputs, num_parameters
from world_models.models.convvae import ConvVAE
from world_models.models.mdrnn import MDRNN, Mixture
from world_models.search.dreaming import Dreamers
from world_models.worlds.dream_env import DreamEnv
from world_models.worlds.dreaming import Dream, Rules
from world_models.worlds.latent import LatentWorld, WorldModel
from world_models.worlds.memory import LatentState

CORES = len(os.sched_getaffinity(0))
LATENTS, GAUSSIANS, ROLLOUTS, STARTS = 32, 5, 16, 64
NEVER = -20.0
"""The logit of an end."""
SQUASH = ("affine", "positive", "positive")


def latent_world(units: int, mixture: str) -> LatentWorld:
    """Untrained V and M of CarRacing's sizes: speed does not depend on what the weights are."""
    space = ActionSpace("box", 3, (-1.0, 0.0, 0.0), (1.0, 1.0, 1.0), SQUASH)
    env = EnvSpec("CarRacing-v3", {}, Preprocessing((0, 0, 0, 0), 64, False), 1, space, None)
    memory = MDRNN(LATENTS, space.size, units, GAUSSIANS, mixture=mixture)
    with torch.no_grad():
        memory.gmm_linear.bias[-1] = NEVER
    model = WorldModel(ConvVAE(3, LATENTS), memory, env)
    starts = LatentState(*(torch.randn(STARTS, size) for size in (LATENTS, units, units)))
    return LatentWorld(model, starts)


def controllers(world: LatentWorld, count: int) -> np.ndarray:
    """Random ones."""
    size = num_parameters(**world.model.controller_config)
    return np.random.default_rng(0).normal(size=(count, size)) / np.sqrt(size)


def searching(world: LatentWorld, rows: int, steps: int) -> float:
    """Candidates in 16 rollouts each, the beginning included."""
    dreamers = Dreamers(Dream(world, Rules(max_steps=steps)), 0)
    vectors = controllers(world, rows // ROLLOUTS)
    began = time.perf_counter()
    played = dreamers.play(vectors, range(ROLLOUTS))
    return played.steps / (time.perf_counter() - began)


@torch.inference_mode()
def bare(world: LatentWorld, rows: int, steps: int) -> float:
    """M's LSTM and its head, always on the same numbers."""
    cell, numbers = world.model.cell, torch.arange(rows) % STARTS
    z, h, c = (part[numbers] for part in world.starts)
    actions = torch.zeros(rows, 3)
    began = time.perf_counter()
    for _ in range(steps):
        after, _ = cell.advance(actions, z, (h, c))
        cell.foresee(after)
    return rows * steps / (time.perf_counter() - began)


def one_by_one(world: LatentWorld, steps: int) -> float:
    """One controller in one dream, as a vector environment of a single slot."""
    env = DreamEnv(Dream(world, Rules(max_steps=steps)), 1)
    policy = ControllerPolicy(ControllerInputs(), env.env_spec.action_space, controllers(world, 1))
    began = time.perf_counter()
    (score,) = play(env, policy, [0])
    return score.length / (time.perf_counter() - began)


def compare(world: LatentWorld, title: str, rows: int, steps: int, repeats: int) -> None:
    """Measure in alternation, the first round for nothing, and show the table."""
    ways: dict[str, Callable[[], float]] = {
        f"search in a dream, {rows // ROLLOUTS} candidates x {ROLLOUTS}": lambda: searching(
            world, rows, steps
        ),
        f"M's LSTM and head alone, {rows} rows": lambda: bare(world, rows, steps),
        "one episode at a time": lambda: one_by_one(world, 100),
    }
    measured: Rates = {name: [] for name in ways}
    for name, measure in [*ways.items()] * (repeats + 1):
        measured[name].append(measure())
    show(title, {name: values[1:] for name, values in measured.items()})


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--units", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--rows", type=int, nargs="+", default=[64, 256, 1024, 4096])
    parser.add_argument("--mixtures", nargs="+", default=[kind.value for kind in Mixture])
    parser.add_argument("--steps", type=int, default=30, help="of an episode")
    parser.add_argument(
        "--repeats", type=int, default=5, help="the median of so many runs is given"
    )
    parser.add_argument("--threads", type=int, default=CORES)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for units in options.units:
        for mixture in options.mixtures:
            world = latent_world(units, mixture)
            for rows in options.rows:
                title = f"dream steps/s, M of {units} units, {mixture} mixture, {rows} rows"
                title = f"{title}, {options.threads} threads, median of {options.repeats}"
                compare(world, title, rows, options.steps, options.repeats)


if __name__ == "__main__":
    main()
