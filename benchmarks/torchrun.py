"""How much faster two processes of torchrun train than one, on one machine.

    python -m benchmarks.torchrun

Each stage learns for some steps on episodes of CarRacing with random actions: by one process of one
thread, by one of two threads, and by two of one thread each, in turns. Printed are steps per second
(medians of the rounds, judging left out), what they are of the first, and all measurements.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from world_models.runs.metrics import read_column
from world_models.runs.rows import TimingRow

WAYS = {
    "one process, one thread": (1, 1),
    "one process, two threads": (1, 2),
    "two processes, one thread each": (2, 1),
}
SPARSE = ["stage.log_every=100000", "stage.val_every_steps=100000"]
"""Of stages that count steps: their one row of timing.csv comes at the end."""
FEEDERS = {"mdrnn": "vae", "token_world": "tokenizer"}
"""Of the others, rollout."""


def keys_of(steps: int) -> dict[str, list[str]]:
    """What is typed for about so many steps of each stage."""
    counted = [f"stage.max_steps={steps}", *SPARSE]
    few = ["stage.val_windows=8", "stage.val_rollout_horizon=4"]
    return {
        "vae": ["stage.num_epochs=1", "stage.train_batch_size=64"],
        "mdrnn": ["stage.num_epochs=2"],
        "pixel": [*counted, *few, "stage.unroll=[1]", "stage.unroll_shares=[1]"],
        "tokenizer": [*counted, "stage.val_frames=32"],
        "token_world": [*counted, "stage.val_windows=8", "stage.horizon=2"],
    }


def run(outputs: Path, processes: int, *keys: str) -> Path:
    """Run a command by so many processes; returns its folder."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    given = [*(launch if processes > 1 else []), "-m", "world_models.main", *keys]
    env = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    subprocess.run(
        [sys.executable, *given, "verbosity=quiet", "device=cpu", f"outputs={outputs}"],
        check=True,
        env=env,
    )
    return next(outputs.glob("*/*/*/manifest.json")).parent


def rate(folder: Path) -> float:
    """Steps per second of a run."""
    return float(np.median(read_column(folder / "timing.csv", TimingRow, "rate")))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--episodes", type=int, default=12)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stages", nargs="+", default=[*keys_of(1)])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Collect, and train each stage in turns."""
    episodes = [f"stage.episodes={options.episodes}", "stage.max_steps=300"]
    feeders = {"rollout": run(folder / "rollout", 1, "stage=rollout", "env=car_racing", *episodes)}
    keys = keys_of(options.steps)
    for stage in options.stages:
        feeder = feeders_of(folder, stage, feeders, keys)
        rates: dict[str, list[float]] = {name: [] for name in WAYS}
        for turn in range(options.rounds):
            for name, (processes, threads) in WAYS.items():
                given = [f"stage={stage}", f"upstream={feeder}", f"threads={threads}", *keys[stage]]
                done = run(folder / f"{stage}_{turn}_{processes}_{threads}", processes, *given)
                rates[name].append(rate(done))
        show(stage, rates)


def feeders_of(
    folder: Path, stage: str, feeders: dict[str, Path], keys: dict[str, list[str]]
) -> Path:
    """The run that feeds a stage, made where it is not there."""
    name = FEEDERS.get(stage, "rollout")
    if name not in feeders:
        given = [f"stage={name}", f"upstream={feeders['rollout']}", *keys[name]]
        feeders[name] = run(folder / f"for_{stage}", 1, *given)
    return feeders[name]


def show(stage: str, rates: dict[str, list[float]]) -> None:
    """Medians of the rates, as multiples of the first one's."""
    first = np.median(next(iter(rates.values())))
    print(f"{stage}\n")
    for name, found in rates.items():
        median, runs = np.median(found), " ".join(f"{value:.2f}" for value in found)
        print(f"{name:32} {median:8.2f} steps/s {median / first:6.2f}   [{runs}]")
    print(flush=True)


if __name__ == "__main__":
    main()
