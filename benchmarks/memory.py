"""Private memory (RssAnon) of the training processes of V, M and the next-frame model as the number
of frames grows.

    python -m benchmarks.memory
    python -m benchmarks.memory --frames 120000 1000000
    python -m benchmarks.memory --stages pixel

Writes a store of random frames of each size, trains each on it through the command line, several
times, and prints the largest RssAnon that each process showed until its training ended and after
it, beside the frames' size on disk: of all runs the least and the most, for malloc's heap breaks up
differently each time. Each stage takes the same number of steps on every store, drawn from all of
it; V then validates on one episode and encodes every frame, the next-frame model is judged.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from world_models.chains.catalogue import schemas
from world_models.config.compose import compose_config
from world_models.config.schema import register, to_yaml
from world_models.data.episode import TERMINATED, Episode
from world_models.data.store import StoreWriter
from world_models.envs.make import Backend, EnvSpec, make_spec
from world_models.runs.device import Device
from world_models.runs.run import Run, begin

LENGTH = 1000
PER_SHARD = 8  # episodes, as stage=rollout writes them
FRAME_BYTES = 64 * 64 * 3
ENV = ["env=gymnasium", "env.id=CarRacing-v3"]
STAGES = {"vae": "V", "mdrnn": "M", "pixel": "pixel"}


def write_rollout(folder: Path, env: EnvSpec, frames: int) -> Path:
    """A finished rollout run of random pictures, the last episode for validation."""
    folder.mkdir(parents=True)
    run = Run(folder, 0, Device.cpu, Backend.gymnasium, env)
    config = to_yaml(compose_config(["stage=rollout", *ENV]).config)
    begin(run, "rollout", config, [], {"stage": "rollout", "env": "gymnasium"})
    origin = {"env": env.to_dict(), "backend": "gymnasium", "policy": "random", "seed": 0}
    writer = StoreWriter(folder / "episodes", {**origin, "has_final_frame": True, "versions": {}})
    splits = ["train"] * (frames // LENGTH - 1) + ["validation"]
    noise = np.random.default_rng(0).integers(0, 255, (LENGTH + 1, 64, 64, 3), np.uint8)
    for index, first in enumerate(range(0, len(splits), PER_SHARD)):
        chosen = splits[first : first + PER_SHARD]
        episodes = [noise_episode(first + offset, env, noise) for offset in range(len(chosen))]
        writer.write_shard(index, episodes, chosen)
    writer.finish()
    with run.recording():
        pass
    return folder


def noise_episode(seed: int, env: EnvSpec, noise: np.ndarray) -> Episode:
    """LENGTH steps of the noise, begun elsewhere in each episode: no two are alike."""
    draw = np.random.default_rng(seed)
    done = np.zeros(LENGTH + 1, np.uint8)
    done[-2] = TERMINATED
    actions = env.action_space.sample(draw, LENGTH + 1)
    actions[-1] = 0
    frames = np.roll(noise.reshape(-1), draw.integers(noise.size)).reshape(noise.shape)
    return Episode(seed, frames, actions, np.zeros(LENGTH + 1, np.float32), done)


def peak_private_memory(
    program: list[str], outputs: Path, arguments: list[str]
) -> tuple[float, float]:
    """MB of RssAnon at its largest until training ended (timing.csv appeared), and after it."""
    process = subprocess.Popen(
        [sys.executable, "-m", *program, *arguments, *ENV, f"outputs={outputs}", "verbosity=quiet"]
    )
    peaks = [0, 0]
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        anonymous = [
            int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")
        ]
        phase = any(outputs.glob("*/*/*/timing.csv"))
        peaks[phase] = max([peaks[phase], *anonymous])
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(process.returncode)
    return peaks[0] / 1024, peaks[1] / 1024


def measure(folder: Path, rollout: Path, steps: int, stages: list[str]) -> list[float]:
    """The two peaks of each of the stages on one store, in MB."""
    found: list[float] = []
    short = ["benchmarks.short_epochs", str(steps), "stage.num_epochs=1"]
    for stage in stages:
        if stage == "vae":
            keys = [f"upstream={rollout}", "stage.train_batch_size=64"]
        elif stage == "mdrnn":
            keys = [f"upstream={next((folder / 'vae').glob('*/*/*'))}"]
        else:  # timing.csv appears once training has ended
            keys = [f"upstream={rollout}", f"stage.max_steps={steps}", f"stage.log_every={steps}"]
        entry = ["world_models.main"] if stage == "pixel" else short
        found += peak_private_memory(entry, folder / stage, [f"stage={stage}", *keys])
    return found


def require_space(frames: int, runs: int) -> None:
    """End with one sentence where the largest store and its latents would not fit on the disk."""
    needed = frames * (FRAME_BYTES + runs * 2 * 32 * 4) * 1.05
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < needed:
        raise SystemExit(
            f"error: {frames:,} frames need {needed / 1e9:.1f} GB and {tempfile.gettempdir()} has "
            f"{free / 1e9:.1f} GB: name a larger disk with TMPDIR, or fewer --frames"
        )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--frames", type=int, nargs="+", default=[30_000, 120_000], help=f"multiples of {LENGTH}"
    )
    parser.add_argument("--steps", type=int, default=500, help="training steps of each stage")
    parser.add_argument("--runs", type=int, default=3, help="of each stage on each store")
    parser.add_argument(
        "--stages",
        nargs="+",
        default=list(STAGES),
        choices=list(STAGES),
        help="mdrnn needs vae before it",
    )
    options = parser.parse_args()
    if "mdrnn" in options.stages and "vae" not in options.stages[: options.stages.index("mdrnn")]:
        parser.error("mdrnn needs vae before it")
    require_space(max(options.frames), options.runs)
    register(schemas())
    env = make_spec(compose_config(["stage=rollout", *ENV]).config.env)
    print(
        f"largest private memory (RssAnon), MB; {options.steps} steps each; least and most of "
        f"{options.runs} runs\n"
    )
    columns = [name for stage in options.stages for name in (f"{STAGES[stage]}: training", "after")]
    print(f"{'frames':>9} {'on disk':>8}" + "".join(f" {name:>15}" for name in columns))
    for frames in options.frames:
        with tempfile.TemporaryDirectory() as folder:
            rollout = write_rollout(Path(folder) / "rollout", env, frames)
            places = [Path(folder) / str(run) for run in range(options.runs)]
            peaks = [measure(place, rollout, options.steps, options.stages) for place in places]
        ranges = (f"{min(found):,.0f} to {max(found):,.0f}" for found in zip(*peaks, strict=True))
        print(
            f"{frames:9,} {frames * FRAME_BYTES / 1e6:8,.0f}"
            + "".join(f" {words:>15}" for words in ranges),
            flush=True,
        )


if __name__ == "__main__":
    main()
