"""The scripts in a run folder: continue it, evaluate it, play it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from world_models.envs.trust import trusted
from world_models.runs.files import write_text
from world_models.runs.program import started

PLAY_PURPOSE = """Play what was made here; without flags the agent plays the game.
#   -r  panels: what V sees, what it keeps, what M expects    -h  header
#   -w  you, in the dream    -a  the agent, in the dream    -e  the stored episodes
#   -s  asks at each end whether the episode is kept    -f N  steps a second
# Keys may follow: stage.record=clip writes a video, without a screen."""
PLAY_FLAGS = """panels=false header=false words=
while getopts rhwaesf: flag; do
  case $flag in
    r) panels=true ;;
    h) header=true ;;
    w) words="$words stage.world={world} stage.driver=person" ;;
    a) words="$words stage.world={world} stage.driver=agent" ;;
    e) words="$words stage.mode=episodes" ;;
    s) words="$words stage.save=true" ;;
    f) words="$words stage.fps=$OPTARG" ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
"""


@dataclass(frozen=True)
class Scripts:
    """What a run folder has beside resume.sh."""

    # the stage that eval.sh runs on what was made; None: there is no eval.sh
    evaluated_by: str | None = None
    # the world of stage=play that was made, for play.sh; None: there is no play.sh
    played_in: str | None = None


def env_overrides(choices: Mapping[str, Any]) -> list[str]:
    """What made the environment of a run, as it is typed: from the `choices` of its manifest."""
    return [f"env={choices['env']}", *choices.get("env_keys", [])]


def write_scripts(path: Path, choices: dict[str, Any], scripts: Scripts) -> None:
    """Write the scripts of a run that these group choices made."""
    write_resume_script(path)
    env = shlex.join(env_overrides(choices))
    if scripts.played_in is not None:
        arguments = f'stage=play {env} upstream="$here" stage.panels=$panels stage.header=$header'
        flags = PLAY_FLAGS.format(world=scripts.played_in)
        _write_script(path / "play.sh", PLAY_PURPOSE, f"{arguments} $words", flags)
    if scripts.evaluated_by is not None:
        arguments = f'stage={scripts.evaluated_by} {env} upstream="$here"'
        _write_script(path / "eval.sh", "Evaluate what was made here.", arguments)


def write_resume_script(path: Path) -> None:
    """Write the script that continues what a folder holds, a run or a sweep."""
    words = "".join(f" env.trust={shlex.quote(module)}" for module in trusted())
    _write_script(path / "resume.sh", "Continue what stopped here.", f'resume="$here"{words}')


def _write_script(path: Path, purpose: str, arguments: str, before: str = "") -> None:
    here = 'here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)'
    program = started().shell
    text = f'#!/bin/sh\n# {purpose}\n{here}\n{before}exec {program} {arguments} "$@"\n'
    write_text(path, text)
    path.chmod(0o755)
