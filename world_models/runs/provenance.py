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

    commit = _git("rev-parse", "HEAD")
    return {
        "git": {"commit": commit.strip(), "dirty": bool(_git("status", "--porcelain"))}
        if commit
        else None,
        "versions": versions(),
        "machine": {
            "platform": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count(),
        },
        "threads": torch.get_num_threads(),
        "dtype": str(torch.get_default_dtype()).removeprefix("torch."),
    }


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


def uncommitted_changes() -> str:
    """The patch from the last commit to the source as it is; empty outside a checkout."""
    return _git("diff", "HEAD")


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


def _git(*arguments: str) -> str:
    if not (SOURCE / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(SOURCE), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""
