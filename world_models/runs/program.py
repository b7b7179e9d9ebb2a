"""The program that was started: what a person types again, and what starts it from any folder.

It is ours, or a file of the user's own that adds to ours and calls `world_models.main.main`.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

MAIN = Path(__file__).resolve().parents[1] / "main.py"
COMMAND = "world-models"


@dataclass(frozen=True)
class Program:
    """How a program is started, and what it was given."""

    # the words before its arguments, as a person types them
    typed: tuple[str, ...] = ("python", "-m", "world_models.main")
    # what Python is given to start it from any folder
    given: tuple[str, ...] = ("-m", "world_models.main")
    # the folder where Python must look for it; empty: it finds it
    folder: str = ""
    arguments: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """What was typed."""
        return [*self.typed, *self.arguments]

    @property
    def shell(self) -> str:
        """What a shell in any folder starts it with."""
        words = shlex.join([sys.executable, *self.given])
        if not self.folder:
            return words
        return f'env PYTHONPATH={shlex.quote(self.folder)}"${{PYTHONPATH:+:$PYTHONPATH}}" {words}'


_started = Program()


def started() -> Program:
    """The program that was started last."""
    return _started


def start(program: Program) -> None:
    """From here on this is the program that was started."""
    global _started
    _started = program


def found(arguments: Sequence[str]) -> Program:
    """The program whose command line holds `arguments`.

    Where they are not those of this process, some code gave them to `main`: then it is ours, since
    that code may do anything else when it is started with other arguments.
    """
    ours = Program(arguments=tuple(arguments))
    file = Path(sys.argv[0])
    if list(arguments) != sys.argv[1:] or not file.is_file() or _is_ours(file):
        return ours
    module = _module(file)
    if not module:
        given = (str(file.absolute()),)
        return replace(ours, typed=("python", sys.argv[0]), given=given)
    # with -m, Python looks in the working folder, too
    folder = file.absolute().parents[module.count(".")]
    folder = folder.parent if file.name == "__main__.py" else folder
    needed = str(folder) if folder == Path.cwd() else ""
    return replace(ours, typed=("python", "-m", module), given=("-m", module), folder=needed)


def _is_ours(file: Path) -> bool:
    return file.stem == COMMAND or file.samefile(MAIN)


def _module(file: Path) -> str:
    """The name by which `python -m` started this file; empty where it was started otherwise."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None or spec.origin is None or not file.samefile(spec.origin):
        return ""
    return str(spec.name.removesuffix(".__main__"))
