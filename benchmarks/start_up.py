"""How long commands take that make no run, beside `import torch`:
`python -m benchmarks.start_up`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TORCH = "import torch"
COMMANDS = {
    "--help": ["--help"],
    "an unknown stage": ["stage=vea"],
    "stage=runs": ["stage=runs"],
    "stage=vae --cfg job": ["stage=vae", "--cfg", "job"],
    "a mistyped key": ["stage=vae", "stage.learning_rat=1"],
}


def processor_seconds(arguments: list[str], folder: str) -> float:
    """Time that one process computes, its waiting left out."""
    before = os.times()
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    subprocess.run(
        [sys.executable, *arguments], capture_output=True, check=False, cwd=folder, env=environment
    )
    after = os.times()
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system


def main() -> None:
    """Take every command in turn, several times, and print the shortest time of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    taken: dict[str, list[float]] = {name: [] for name in (TORCH, *COMMANDS)}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs):
            taken[TORCH].append(processor_seconds(["-c", TORCH], folder))
            for name, arguments in COMMANDS.items():
                command = ["-m", "world_models.main", *arguments]
                taken[name].append(processor_seconds(command, folder))
    torch = min(taken[TORCH])
    print(f"{'command':24} {'processor s':>12} {'over import torch':>18}\n")
    for name, times in taken.items():
        print(f"{name:24} {min(times):12.2f} {min(times) / torch:18.2f}")


if __name__ == "__main__":
    main()
