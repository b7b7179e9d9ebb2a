"""What a machine has: memory, a GPU, a screen, room on a disk."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

MEMORY = Path("/proc/meminfo")
SECONDS_TO_ANSWER = 10
"""That the GPU's driver has, before it counts as broken."""


@dataclass(frozen=True)
class Room:
    """Bytes that are free, and all that there are."""

    free: int
    all: int


def memory() -> Room | None:
    """Memory of this machine; None where the system does not say."""
    if not MEMORY.is_file():
        return None
    lines = (line.partition(":") for line in MEMORY.read_text().splitlines())
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in lines}
    return Room(1024 * kilobytes["MemAvailable"], 1024 * kilobytes["MemTotal"])


def gpus() -> list[str]:
    """The names of the GPUs that NVIDIA's driver sees; a driver that fails is an OSError."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS_TO_ANSWER, check=False
        )
    except subprocess.TimeoutExpired:
        raise OSError("nvidia-smi does not answer") from None
    if done.returncode:
        said = (done.stdout or done.stderr).strip() or f"it ends with status {done.returncode}"
        raise OSError(f"nvidia-smi fails: {said.splitlines()[0]}")
    return done.stdout.strip().splitlines()


def screen() -> str | None:
    """What windows are shown on; None where there is nothing."""
    if sys.platform in ("darwin", "win32"):
        return "the desktop"
    named = [f"{name}={os.environ.get(name)}" for name in ("WAYLAND_DISPLAY", "DISPLAY")]
    return next((item for item in named if not item.endswith(("=", "=None"))), None)


def disk(folder: Path) -> Room:
    """The disk on which a folder lies, or would lie; one that cannot be written is an OSError."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    with tempfile.TemporaryFile(dir=there):
        usage = shutil.disk_usage(there)
    return Room(usage.free, usage.total)
