"""Environment steps per second of fitness evaluation on CarRacing: ours, two plain processes, the bare backend.

    python -m benchmarks.controller

All three drive the same way (a controller of zeros but for its bias: in a circle, at a third of the gas) and are measured one after the other in one
run. A plain process is what the public implementations do: one Gymnasium environment, batch 1, one torch thread. The bare
backend is EnvPool with as many threads, stepping all its environments in lockstep, no picture resized, no model run.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import cv2
import gymnasium
import numpy as np
import torch

from world_models.agents.agent import Agent, WorldModel
from world_models.agents.fitness import Models, build_player, candidate_blocks, play_blocks
from world_models.agents.workers import WorkerPool
from world_models.compose import compose_config
from world_models.config import register
from world_models.envs.make import EnvSpec, make_spec
from world_models.envs.quiet import quiet_gym
from world_models.models.controller import Controller, num_parameters
from world_models.models.convvae import ConvVAE
from world_models.models.mdrnn import MDRNN, MDRNNCell
from world_models.pipeline import SCHEMAS

CORES = len(os.sched_getaffinity(0))
STEPS = 500
BIAS = np.array([0.3, -0.35, -1.0])  # of C: steer 0.29, gas 0.33, no brake
ACTION = np.array([np.tanh(BIAS[0]), (np.tanh(BIAS[1]) + 1) / 2, 0.0], np.float32)


def car_racing() -> EnvSpec:
    """The environment as `env=car_racing` makes it."""
    register(SCHEMAS)
    return make_spec(compose_config(["stage=rollout", "env=car_racing"]).config.env)


def models(env: EnvSpec, folder: Path) -> Models:
    """Untrained V and M of the usual sizes: speed does not depend on what the weights are."""
    vae, mdrnn = ConvVAE(3, 32), MDRNN(32, 3, 256, 5)
    zeros = np.zeros(num_parameters(32, 256, 3), np.float32)
    Agent(WorldModel(vae, mdrnn, env), {"best": zeros}).save(folder / "agent.pt", [])
    return Models(env.to_dict(), agent=folder / "agent.pt")


def ours(env: EnvSpec, folder: Path, population: int = 64, width: int = 16) -> float:
    """Fitness evaluation of a generation, as stage=controller does it, worker start not counted."""
    args = (models(env, folder), "auto", width, "cpu")
    vectors = np.zeros((population, num_parameters(32, 256, 3)))
    vectors[:, -3:] = BIAS
    with WorkerPool(CORES, build_player, args) as pool:
        play_blocks(pool, candidate_blocks(vectors[: CORES * width], [1], width, 10, 0), lambda episodes, steps: None)
        began = time.perf_counter()
        scores = play_blocks(pool, candidate_blocks(vectors, [1], width, STEPS, 0), lambda episodes, steps: None)
        return sum(score.length for score in scores) / (time.perf_counter() - began)


@torch.inference_mode()
def _plain(start: "multiprocessing.synchronize.Barrier", rates: "multiprocessing.Queue[float]") -> None:
    torch.set_num_threads(1)
    env = gymnasium.make("CarRacing-v3")
    vae, cell, controller = ConvVAE(3, 32).eval(), MDRNNCell(32, 3, 256, 5).eval(), Controller(32, 256, 3).eval()
    controller.linear.weight.zero_()
    controller.linear.bias.copy_(torch.from_numpy(BIAS))
    frame, _ = env.reset(seed=1)
    h, c = cell.get_init_hidden(1)
    start.wait()
    began = time.perf_counter()
    for _ in range(STEPS):
        small = cv2.resize(frame[:84], (64, 64), interpolation=cv2.INTER_AREA)
        z, _ = vae.encoder(torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255)
        raw = torch.tanh(controller(torch.cat([z, h], -1)))
        action = torch.stack([raw[:, 0], (raw[:, 1] + 1) / 2, raw[:, 2].clamp(min=0)], -1)
        *_, (h, c) = cell(action, z, (h, c))
        frame, _, terminated, truncated, _ = env.step(action[0].numpy())
        if terminated or truncated:
            frame, _ = env.reset()
    rates.put(STEPS / (time.perf_counter() - began))


def plain_processes(count: int) -> float:
    """Sum of the rates of `count` plain processes running at once."""
    context = multiprocessing.get_context("spawn")
    start, rates = context.Barrier(count), context.Queue()
    processes = [context.Process(target=_plain, args=(start, rates)) for _ in range(count)]
    for process in processes:
        process.start()
    total = sum(rates.get() for _ in processes)
    for process in processes:
        process.join()
    return total


def bare_envpool(threads: int, num_envs: int = 32) -> float:
    """EnvPool alone, reset not counted."""
    with quiet_gym():
        import envpool

    pool = envpool.make(
        "CarRacing-v3", env_type="gymnasium", num_envs=num_envs, num_threads=threads, seed=list(range(num_envs))
    )
    pool.reset()
    actions = np.tile(ACTION, (num_envs, 1))
    began = time.perf_counter()
    for _ in range(STEPS):
        pool.step(actions)
    return STEPS * num_envs / (time.perf_counter() - began)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=3, help="the median of so many runs is given")
    repeats = parser.parse_args().repeats
    env = car_racing()
    rates: dict[str, list[float]] = {"ours": [], "plain": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats):
            rates["ours"].append(ours(env, Path(folder)))
            rates["plain"].append(plain_processes(CORES))
            rates["bare"].append(bare_envpool(CORES))
    medians = {name: float(np.median(values)) for name, values in rates.items()}
    print(f"CarRacing-v3, environment steps/s, {CORES} cores, median of {repeats} (each run in brackets)\n")
    rows = {
        "ours": f"fitness evaluation, {CORES} workers x 16 environments",
        "plain": f"{CORES} plain processes (Gymnasium, batch 1, one thread)",
        "bare": f"bare EnvPool, {CORES} threads",
    }
    for name, label in rows.items():
        runs = " ".join(f"{value:,.0f}" for value in rates[name])
        print(f"{label:58} {medians[name]:8,.0f}   ours / this {medians['ours'] / medians[name]:5.2f}   [{runs}]")


if __name__ == "__main__":
    main()
