"""Environment steps per second of fitness evaluation on CarRacing: ours, plain processes, the bare
backends, and the parts.

    python -m benchmarks.controller
    python -m benchmarks.controller --tables rates parts

All drive the same way (a controller of zeros but for its bias: in a circle, at a third of the gas)
and are measured one after the other in one run; but for the row of a search, in which candidates
around the packaged agent drive whole episodes that end when they end. A plain process is what the
public implementations do: one Gymnasium environment, batch 1, one torch thread. A bare backend
steps its environments and does nothing else: EnvPool with as many threads as there are cores, all
environments in lockstep, or one Gymnasium environment in each of as many processes.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import gymnasium
import numpy as np
import torch

from benchmarks.table import Rates, show
from world_models.agents import control
from world_models.agents.agent import Agent, WorldModelPolicy, load_agent
from world_models.agents.rollout import play
from world_models.agents.trained import find_agent
from world_models.chains.catalogue import schemas
from world_models.config.compose import compose_config
from world_models.config.schema import register
from world_models.envs.envpool_backend import EnvPoolVectorEnv
from world_models.envs.make import Backend, EnvSpec, make_spec, make_vector_env
from world_models.envs.preprocess import Preprocessing
from world_models.envs.quiet import quiet_gym
from world_models.models.controller import Controller, num_parameters
from world_models.models.convvae import ConvVAE
from world_models.models.mdrnn import MDRNN, MDRNNCell
from world_models.pools.pool import one_thread
from world_models.pools.processes import WorkerPool
from world_models.search.fitness import (
    Block,
    Models,
    block_size,
    build_player,
    candidate_blocks,
    play_blocks,
)
from world_models.worlds import latent
from world_models.worlds.latent import WorldModel

CORES = len(os.sched_getaffinity(0))
STEPS = 500
WIDTH, POPULATION = 16, 64
# of candidates, over the mean size of a weight: some lose the road, some complete the lap
SPREAD, EARLY_CUT = 1.0, 120
BIAS = np.array([0.3, -0.35, -1.0])  # of C: steer 0.29, gas 0.33, no brake
TABLES = ["rates", "gymnasium", "parts", "alternatives", "growth"]
ACTION = np.array([np.tanh(BIAS[0]), (np.tanh(BIAS[1]) + 1) / 2, 0.0], np.float32)


def car_racing() -> EnvSpec:
    """The environment as `env=car_racing` makes it."""
    register(schemas())
    return make_spec(compose_config(["stage=rollout", "env=car_racing"]).config.env)


def models(env: EnvSpec, folder: Path) -> Models:
    """Untrained V and M of the usual sizes: speed does not depend on what the weights are."""
    world = WorldModel(ConvVAE(3, 32), MDRNN(32, 3, 256, 5), env)
    Agent(world, {"best": drivers(1)[0].astype(np.float32)}).save(folder / "agent.pt")
    return Models(env.to_dict(), agent=folder / "agent.pt")


def drivers(count: int) -> np.ndarray:
    """Controllers that all drive in the same circle."""
    vectors = np.zeros((count, num_parameters(32, 256, 3)))
    vectors[:, -3:] = BIAS
    return vectors


def warm_up(pool: WorkerPool, blocks: list[Block]) -> None:
    """Until every worker has started, loaded V and M and played."""
    while not pool.warm:
        play_blocks(pool, blocks, lambda episodes, steps: None)


def ours(
    found: Models,
    backend: str = "auto",
    *,
    workers: int = CORES,
    width: int = WIDTH,
    population: int = POPULATION,
    steps: int = STEPS,
) -> float:
    """Fitness evaluation of a generation, as stage=controller does it, worker start not counted."""
    with WorkerPool(workers, build_player, (found, backend, width, "cpu")) as pool:
        warm_up(pool, candidate_blocks(drivers(workers * width), [1], width, 10))
        blocks = candidate_blocks(
            drivers(population), [1], block_size(population, width, workers), steps
        )
        began = time.perf_counter()
        scores = play_blocks(pool, blocks, lambda episodes, steps: None)
        return sum(score.length for score in scores) / (time.perf_counter() - began)


def search_generation(
    agent: Models, backend: str = "auto", *, workers: int = CORES, width: int = WIDTH
) -> float:
    """A generation of candidates around the packaged agent: some laps are completed, some episodes
    are cut, and whoever is done first waits at the end.
    """
    best = load_agent(find_agent("car_racing")).controllers["best"].astype(np.float32)
    noise = np.random.default_rng(0).normal(size=(POPULATION, len(best)))
    population = best + SPREAD * np.abs(best).mean() * noise
    tracks = np.repeat(np.arange(8), POPULATION // 8)[:, None]
    with WorkerPool(workers, build_player, (agent, backend, width, "cpu")) as pool:
        warm_up(pool, candidate_blocks(population[: workers * width], [1], width, 10))
        blocks = candidate_blocks(
            population, tracks, block_size(POPULATION, width, workers), 1000, EARLY_CUT
        )
        began = time.perf_counter()
        scores = play_blocks(pool, blocks, lambda episodes, steps: None)
        return sum(score.length for score in scores) / (time.perf_counter() - began)


@torch.inference_mode()
def _plain(
    start: "multiprocessing.synchronize.Barrier",
    rates: "multiprocessing.Queue[float]",
    models: bool,
) -> None:
    torch.set_num_threads(1)
    env = gymnasium.make("CarRacing-v3")
    vae = ConvVAE(3, 32).eval()
    cell = MDRNNCell(32, 3, 256, 5).eval()
    controller = Controller(32, 256, 3).eval()
    controller.linear.weight.zero_()
    controller.linear.bias.copy_(torch.from_numpy(BIAS))
    h, c = cell.get_init_hidden(1)
    action = torch.from_numpy(ACTION)[None]
    start.wait()
    began = time.perf_counter()
    frame, _ = env.reset(seed=1)
    for _ in range(STEPS):
        if models:
            small = cv2.resize(frame[:84], (64, 64), interpolation=cv2.INTER_AREA)
            z, _ = vae.encoder(torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255)
            raw = torch.tanh(controller(torch.cat([z, h], -1)))
            action = torch.stack([raw[:, 0], (raw[:, 1] + 1) / 2, raw[:, 2].clamp(min=0)], -1)
            *_, (h, c) = cell(action, z, (h, c))
        frame, _, terminated, truncated, _ = env.step(action[0].numpy())
        if terminated or truncated:
            frame, _ = env.reset()
    rates.put(STEPS / (time.perf_counter() - began))


def processes(count: int, models: bool) -> float:
    """Sum of the rates of `count` processes of one Gymnasium environment each, running at once;
    the one reset counted, as ours.
    """
    context = multiprocessing.get_context("spawn")
    start, rates = context.Barrier(count), context.Queue()
    running = [context.Process(target=_plain, args=(start, rates, models)) for _ in range(count)]
    for process in running:
        process.start()
    total = sum(rates.get() for _ in running)
    for process in running:
        process.join()
    return total


def bare_envpool(threads: int, num_envs: int = CORES * WIDTH) -> float:
    """EnvPool alone, reset not counted."""
    with quiet_gym():
        import envpool

    pool = envpool.make(
        "CarRacing-v3",
        env_type="gymnasium",
        num_envs=num_envs,
        num_threads=threads,
        seed=list(range(num_envs)),
    )
    pool.reset()
    actions = np.tile(ACTION, (num_envs, 1))
    began = time.perf_counter()
    for _ in range(STEPS):
        pool.step(actions)
    return STEPS * num_envs / (time.perf_counter() - began)


def compare(rows: dict[str, Callable[[], float]], repeats: int) -> None:
    """Measure the rows in turn, several times, and show their medians."""
    measured: Rates = {name: [] for name in rows}
    for _ in range(repeats):
        for name, measure in rows.items():
            measured[name].append(measure())
    runs = f"median of {repeats} (each run in brackets)"
    show(f"CarRacing-v3, environment steps/s, {CORES} cores, {runs}", measured)


def rates(found: Models, repeats: int) -> None:
    """Ours on EnvPool beside EnvPool alone and plain processes."""
    rows: dict[str, Callable[[], float]] = {
        f"fitness, {CORES} workers x {WIDTH} environments": lambda: ours(found),
        "a generation of a search": lambda: search_generation(
            Models(found.env, agent=find_agent("car_racing"))
        ),
        f"bare EnvPool, {CORES} threads": lambda: bare_envpool(CORES),
        f"{CORES} plain processes (Gymnasium, batch 1)": lambda: processes(CORES, models=True),
        "one plain process": lambda: processes(1, models=True),
    }
    compare(rows, repeats)


def on_gymnasium(found: Models, repeats: int) -> None:
    """Ours on Gymnasium's own environment beside that environment alone."""
    rows: dict[str, Callable[[], float]] = {
        f"fitness on Gymnasium, {CORES} workers x {WIDTH} environments": lambda: ours(
            found, "gymnasium", population=CORES * WIDTH
        ),
        f"bare Gymnasium, {CORES} processes": lambda: processes(CORES, models=False),
    }
    compare(rows, repeats)


class Stopwatch:
    """Seconds inside functions; those of a timed function that is called in there are its own."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, its time added to `name`."""

        def measured(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            self._inner.append(0.0)
            result = function(*args, **kwargs)
            took = time.perf_counter() - began
            self.seconds[name] += took - self._inner.pop()
            self._inner[-1] += took
            return result

        return measured


def parts(found: Models) -> None:
    """Where a step's time goes, in one process of one thread that plays two rounds of episodes."""
    world = found.load("cpu")
    envs = make_vector_env(world.env, Backend.envpool, WIDTH)
    policy = WorldModelPolicy(world, drivers(2 * WIDTH))
    watch = Stopwatch()
    places: list[tuple[str, Any, str]] = [
        ("environment (EnvPool)", EnvPoolVectorEnv, "_advance"),
        ("environment: resets", EnvPoolVectorEnv, "_begin"),
        ("crop and resize (OpenCV)", Preprocessing, "apply"),
        ("transfer (bytes to float)", latent, "to_float"),
        ("V: encoder", WorldModel, "posterior"),
        ("M: LSTM cell", MDRNNCell, "advance"),
        ("C", control, "act_many"),
        ("acting: the rest", WorldModelPolicy, "act"),
    ]
    originals = [getattr(owner, name) for _, owner, name in places]
    for (label, owner, name), function in zip(places, originals, strict=True):
        setattr(owner, name, watch.timed(label, function))
    with one_thread():
        began = time.perf_counter()
        scores = play(envs, policy, [1] * 2 * WIDTH, max_steps=STEPS)
        whole = time.perf_counter() - began
    for (_, owner, name), function in zip(places, originals, strict=True):
        setattr(owner, name, function)
    steps = sum(score.length for score in scores)
    watch.seconds["the loop around it"] = whole - sum(watch.seconds.values())
    print(
        f"an environment step in a worker of {WIDTH} environments: {whole / steps * 1e6:,.0f} "
        f"microseconds ({steps / whole:,.0f} steps/s)\n"
    )
    for name, seconds in watch.seconds.items():
        print(f"{name:40} {seconds / steps * 1e6:8,.0f} microseconds {seconds / whole:7.1%}")
    print(flush=True)


@torch.inference_mode()
def alternatives(found: Models, repeats: int) -> None:
    """What was tried for V's encoder and for C, and how far the results are from what is used."""
    world = found.load("cpu")
    frames = np.random.default_rng(0).integers(0, 255, (WIDTH, 64, 64, 3), np.uint8)
    size = world.num_features + 1
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randn(WIDTH, 3 * size, generator=draw)
    features = torch.randn(WIDTH, size - 1, generator=draw)
    weights = vectors[:, : 3 * (size - 1)].view(WIDTH, 3, size - 1).contiguous()
    bias = vectors[:, 3 * (size - 1) :]

    def in_bfloat16() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return world.encode(frames).float()

    def by_baddbmm() -> torch.Tensor:
        return torch.baddbmm(bias[:, :, None], weights, features[:, :, None])[:, :, 0]

    cases: dict[str, dict[str, Callable[[], torch.Tensor]]] = {
        "V's encoder": {"float32, as used": lambda: world.encode(frames), "bfloat16": in_bfloat16},
        "C": {
            "rows summed one by one, as used": lambda: control.act_many(vectors, features, 0),
            "baddbmm": by_baddbmm,
        },
    }
    with one_thread():
        for title, ways in cases.items():
            measured: Rates = {
                name: [_calls_per_second(way) * WIDTH for _ in range(repeats)]
                for name, way in ways.items()
            }
            show(f"{title}, frames/s, {WIDTH} environments, one thread", measured)
            used, other = (way() for way in ways.values())
            print(
                f"largest difference of the results: {float((used - other).abs().max()):.1e}\n",
                flush=True,
            )


def _calls_per_second(function: Callable[[], object], calls: int = 200) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        function()
    return calls / (time.perf_counter() - began)


def growth(found: Models, repeats: int) -> None:
    """How the rate grows with environments per worker, population and workers."""
    cases: list[tuple[str, dict[str, int]]] = [
        *((f"{width} environments per worker", {"width": width}) for width in (1, 4, 8, 16, 32)),
        *((f"population {size}", {"population": size}) for size in (32, 64, 128, 256)),
        *((f"{count} workers", {"workers": count}) for count in range(1, CORES + 1)),
    ]
    print(
        f"fitness, steps/s and seconds for a generation; unless said, {CORES} workers x {WIDTH}, "
        f"population {POPULATION}\n"
    )
    for name, options in cases:
        population = options.get("population", POPULATION)
        rate = float(np.median([ours(found, **options) for _ in range(repeats)]))
        print(f"{name:30} {rate:8,.0f} steps/s {population * STEPS / rate:8.1f} s", flush=True)
    print(flush=True)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--repeats", type=int, default=3, help="the median of so many runs is given"
    )
    parser.add_argument("--tables", nargs="+", default=TABLES, choices=TABLES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = models(car_racing(), Path(folder))
        if "rates" in options.tables:
            rates(found, options.repeats)
        if "gymnasium" in options.tables:
            on_gymnasium(found, options.repeats)
        if "parts" in options.tables:
            parts(found)
        if "alternatives" in options.tables:
            alternatives(found, options.repeats)
        if "growth" in options.tables:
            growth(found, options.repeats)


if __name__ == "__main__":
    main()
