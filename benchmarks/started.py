"""Programs that run while a benchmark looks at them: ours, and a screen that nobody sees."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def program(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """world_models with these arguments, ended afterwards."""
    command = [sys.executable, "-m", "world_models.main", *arguments]
    # without a screen of its own, whoever starts it has chosen pygame's dummy one for itself
    own = {name: value for name, value in os.environ.items() if name != "SDL_VIDEODRIVER"}
    with subprocess.Popen(
        command, env={**own, **environment}, stderr=subprocess.PIPE, text=True
    ) as started:
        yield started
        started.terminate()


def address_of(served: subprocess.Popen[str]) -> str:
    """Where a program with stage.ui=web can be opened, once it says so."""
    assert served.stderr is not None
    opened = next(line for line in served.stderr if "open http" in line)
    return opened.split("open ")[1].split()[0]


@contextmanager
def screen() -> Iterator[str]:
    """A display that nobody sees."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1000x520x24"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        yield f":{server.stdout.readline().strip()}"
        server.terminate()
