"""The command line: help and unknown choices at once, everything else by cli/commands.py.

What this file imports at its top is light: help and a mistyped stage wait for no torch.
"""

import io
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from world_models import __version__
from world_models.config.groups import GROUPS, no_such_choice, options
from world_models.pools.unguarded import require_no_worker
from world_models.runs import program, ranks
from world_models.runs.quotes import printable

HELP = """world-models: train, look at and extend world models.

  python -m world_models.main stage=<stage> [env=<env>] [experiment=<experiment>] [key=value ...]
  python -m world_models.main -m stage=<stage> key=value1,value2        a sweep
  python -m world_models.main resume=<folder>                           continue a run or a sweep
  python -m world_models.main stage=<stage> --help                      what each of its keys means
  python -m world_models.main stage=<stage> --cfg job                   show every key and its value

stage       {stages}
env         {envs}
experiment  {experiments}

Root keys: seed, device=auto|cpu|cuda, threads, verbosity=debug|info|quiet,
           upstream=latest|<run folder>, outputs, wandb.mode, workers=local|ray,
           reuse=true (of a pipeline: take finished stages of equal configuration and inputs),
           agent=<name, agent.pt or run folder> (of stage=play, evaluate and export).
env.trust=<module> lets a stored environment import that module; an id that is typed needs no word.
A sweep's jobs run side by side with hydra/launcher=joblib hydra.launcher.n_jobs=2 (extra "sweeps").
Bash completes stages, environments and keys after   eval "$(world-models -sc install=bash)"
"""

TAKE_A_WORD = ("-c", "--cfg", "-p", "--package", "-i", "--info")
COMPLETION = ("-sc", "--shell-completion")
FLAGS = ("-h", "--help", "--version", "-m", "--multirun", *TAKE_A_WORD, "--resolve", *COMPLETION)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status. Mistakes end in one sentence on stderr."""
    require_no_worker()
    arguments = list(sys.argv[1:] if argv is None else argv)
    open_streams()
    program.start(program.found(arguments))
    try:
        _require_working_folder()
        _require_docstrings()
        if not ranks.is_first():
            return _follow()
        with ranks.leading():
            _run(arguments)
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, RuntimeError) as error:
        sys.stderr.write(f"error: {printable(str(error))}\n")
        logging.getLogger("world_models").debug("where it happened", exc_info=True)
        return 1
    return 0


def _follow() -> int:
    from world_models.cli.following import follow

    return follow()


def open_streams() -> None:
    """See to it that what is said ends no command.

    Where a standard stream is closed, as by `2>&-`, it goes nowhere; else the next file that is
    opened would be that stream. A letter that a stream cannot show is written as its number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _require_working_folder() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:
        raise ValueError("the working folder is gone: cd to one that is there") from None


def _require_docstrings() -> None:
    """The package cma takes its texts apart when it is imported."""
    if sys.flags.optimize > 1:
        raise ValueError("python -OO (PYTHONOPTIMIZE=2) strips texts that cma needs: use -O")


def _run(arguments: list[str]) -> None:
    about_one = any(item.startswith(("stage=", "experiment=")) for item in arguments)
    if {"-h", "--help"} & set(arguments) and not about_one:
        choices = {f"{group}s": " ".join(options(group)) for group in GROUPS}
        sys.stdout.write(HELP.format(**choices))
        return
    if "--version" in arguments:
        sys.stdout.write(f"world-models {__version__}\n")
        return
    _require_known_flags(arguments)
    _require_values(arguments)
    _require_known_choices(arguments)
    from world_models.cli.commands import dispatch

    dispatch(arguments)


def _require_known_flags(arguments: Sequence[str]) -> None:
    """Flags that do nothing here, also where Hydra has them, are a ValueError."""
    for item in arguments:
        if item.startswith("-") and item not in FLAGS:
            raise ValueError(f"{item} is no flag here; there are {', '.join(FLAGS)}")


def _require_values(arguments: Sequence[str]) -> None:
    """A key that is typed without = is a ValueError that says how to type it."""
    flag = ""
    for number, item in enumerate(arguments):
        if "=" not in item and not item.startswith(("-", "~")) and flag not in TAKE_A_WORD:
            value = "".join(arguments[number + 1 : number + 2])
            meant = f"{item}={value}" if value and "=" not in value else f"{item}=<value>"
            raise ValueError(f"{item} has no =: keys are typed as {meant}")
        flag = item


def _require_known_choices(arguments: Sequence[str]) -> None:
    """A stage, environment or experiment that does not exist is a ValueError."""
    for item in arguments:
        found = re.fullmatch(rf"({'|'.join(GROUPS)})=([\w-]+)", item)
        none = ("null",) if found and found[1] == "experiment" else ()
        if found and found[2] not in (*options(found[1]), *none):
            raise ValueError(no_such_choice(found[1], found[2]))


if __name__ == "__main__":
    sys.exit(main())
