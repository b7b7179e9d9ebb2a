"""What a result was made with: source, package versions, machine."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from world_models.envs import families

SOURCE = Path(__file__).resolve().parents[2]


def provenance() -> dict[str, Any]:
    """Manifest entries: git commit and dirty flag, versions, machine, threads."""
    import torch

    return {
        "git": _commit(),
        "versions": versions(),
        "machine": {
            "platform": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count(),
        },
        "threads": torch.get_num_threads(),
        "dtype": str(torch.get_default_dtype()).removeprefix("torch."),
    }


def _commit() -> dict[str, Any] | None:
    """The last commit, and whether the source differs from it; None outside a checkout."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return None
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit.decode().strip(), "dirty": bool(changes)}


def packages() -> list[str]:
    """What decides the numbers of a run, the packages of all environments among it."""
    environments = sorted(name for family in families.FAMILIES for name in family.packages)
    others = ["cma", "hydra-core", "omegaconf", "world-models"]
    return ["torch", "numpy", "gymnasium", *environments, *others]


def versions() -> dict[str, str]:
    """Python's and each installed package's version."""
    found = {"python": platform.python_version()}
    for package in packages():
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


PLAIN = [
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--binary",
    "--src-prefix=a/",
    "--dst-prefix=b/",
]
"""A patch that `git apply` takes, whatever a user's settings make of what people look at."""


def uncommitted_changes() -> bytes:
    """The patch from the last commit to the source as it is; empty outside a checkout."""
    return _git("diff", *PLAIN, "HEAD")


def processor() -> str:
    """The processor's name, with a GPU's where there is one."""
    import torch

    names = [platform.processor() or platform.machine()]
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        names = [line.partition(":")[2].strip() for line in lines[:1]] or names
    if torch.cuda.is_available():
        names.append(torch.cuda.get_device_name())
    return ", ".join(names)


def _git(*arguments: str) -> bytes:
    """What git says of the source; nothing where there is no git, no checkout, or no answer."""
    if not (SOURCE / ".git").exists():
        return b""
    command = ["git", "--no-optional-locks", *arguments]
    # those would lead to another repository
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            command, cwd=SOURCE, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError:
        return b""
    return done.stdout if done.returncode == 0 else b""
