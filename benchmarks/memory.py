"""Private memory (RssAnon) of the training processes of V and M as the number of frames grows.

    python -m benchmarks.memory

Writes stores of random frames, trains each stage on each store through the command line, for the same number of steps
(one epoch of the largest store), and prints the largest RssAnon that the process showed, beside the frames' size on disk.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from world_models.compose import compose_config
from world_models.config import register, to_yaml
from world_models.data.episode import TERMINATED, Episode
from world_models.data.store import StoreWriter
from world_models.envs.make import EnvSpec, make_spec
from world_models.pipeline import SCHEMAS
from world_models.runs.device import Device
from world_models.runs.folder import Run, begin

LENGTH = 1000
ENV = ["env=gymnasium", "env.id=CarRacing-v3"]


def write_rollout(folder: Path, env: EnvSpec, frames: int) -> Path:
    """A finished rollout run of random pictures."""
    folder.mkdir(parents=True)
    run = Run(folder, 0, Device.cpu, "gymnasium", env.to_dict())
    begin(
        run,
        "rollout",
        to_yaml(compose_config(["stage=rollout", *ENV]).config),
        [],
        {"stage": "rollout", "env": "gymnasium"},
    )
    meta = {
        "env": env.to_dict(),
        "backend": "gymnasium",
        "policy": "random",
        "seed": 0,
        "has_final_frame": True,
        "versions": {},
    }
    writer = StoreWriter(folder / "episodes", meta)
    count = frames // LENGTH
    for index in range(count):
        writer.write_shard(index, [noise_episode(index, env)], ["validation" if index == count - 1 else "train"])
    writer.finish()
    with run.recording():
        pass
    return folder


def noise_episode(seed: int, env: EnvSpec) -> Episode:
    """LENGTH steps of noise."""
    draw = np.random.default_rng(seed)
    done = np.zeros(LENGTH + 1, np.uint8)
    done[-2] = TERMINATED
    actions = env.action_space.sample(draw, LENGTH + 1)
    actions[-1] = 0
    rewards = np.zeros(LENGTH + 1, np.float32)
    return Episode(seed, draw.integers(0, 255, (LENGTH + 1, 64, 64, 3), np.uint8), actions, rewards, done)


def peak_private_memory(arguments: list[str]) -> float:
    """MB of RssAnon at its largest while the command runs."""
    process = subprocess.Popen([sys.executable, "-m", "world_models.main", *arguments, "verbosity=quiet"])
    peak = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        lines = [line for line in status.splitlines() if line.startswith("RssAnon")]
        peak = max([peak, *(int(line.split()[1]) for line in lines)])
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(process.returncode)
    return peak / 1024


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, nargs="+", default=[30_000, 120_000])
    sizes = parser.parse_args().frames
    register(SCHEMAS)
    env = make_spec(compose_config(["stage=rollout", *ENV]).config.env)
    print(f"{'frames':>9} {'on disk':>10} {'vae':>10} {'mdrnn':>10}   private memory (RssAnon), MB")
    for frames in sizes:
        with tempfile.TemporaryDirectory() as folder:
            rollout = write_rollout(Path(folder) / "rollout", env, frames)
            common = [*ENV, f"outputs={folder}/outputs", f"stage.num_epochs={max(sizes) // frames}"]
            vae = peak_private_memory(["stage=vae", f"upstream={rollout}", "stage.train_batch_size=64", *common])
            mdrnn = peak_private_memory(["stage=mdrnn", *common])
            print(f"{frames:9,} {frames * 64 * 64 * 3 / 2**20:10,.0f} {vae:10,.0f} {mdrnn:10,.0f}", flush=True)


if __name__ == "__main__":
    main()
