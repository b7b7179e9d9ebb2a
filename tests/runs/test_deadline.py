"""What never returns is ended after its time, in Python and in C."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import pytest

from world_models.cli import first_look
from world_models.envs.pellet import PelletEnv
from world_models.main import main
from world_models.runs.deadline import within

IN_C = """
from world_models.runs import deadline

deadline.GRACE = 0.1
try:
    with deadline.within(0.1, "the game does not answer"):
        # minutes in which no other thread runs and no signal is seen
        sum(range(10**11))
finally:
    print("not reached")
"""


def test_what_is_done_in_time_leaves_nothing_behind() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with within(0.2, "too long"):
        pass
    with pytest.raises(KeyError), within(0.2, "too long"):
        raise KeyError
    time.sleep(0.3)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_sleep_ends_in_the_sentence_whatever_catches_errors() -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match="the game"), within(0.1, "the game does not answer"):
        try:
            time.sleep(60)
        except Exception:
            time.sleep(60)
    assert time.monotonic() - began < 10


def test_what_stays_in_c_is_ended_with_its_process() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", IN_C], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stderr == "error: the game does not answer\n" and not done.stdout


def test_an_environment_that_hangs_at_first_sight_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Hanging(PelletEnv):
        def reset(self, **options: object) -> object:
            time.sleep(60)

    monkeypatch.setattr(first_look, "FIRST_LOOK", 0.5)
    gymnasium.register("Hanging-v0", Hanging, max_episode_steps=9)
    try:
        typed = ["stage=rollout", "env=gymnasium", "env.id=Hanging-v0", f"outputs={tmp_path}"]
        assert main(typed) == 1
    finally:
        gymnasium.registry.pop("Hanging-v0")
    told = capsys.readouterr().err
    assert told.count("error:") == 1 and "env.id=Hanging-v0 does not answer" in told
    assert not list(tmp_path.iterdir())
