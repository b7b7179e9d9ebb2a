"""Stage play through the command line: recordings without a run, and runs of kept episodes."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from commands import ENV, newest, small

import world_models
from world_models.data.store import EpisodeStore
from world_models.main import main
from world_models.play.drawing import Look
from world_models.play.session import Session
from world_models.play.web.desk import Desk
from world_models.play.web.messages import Came, Mail, Press
from world_models.play.web.serving import Web
from world_models.play.window import Window
from world_models.runs.files import read_json
from world_models.runs.seeding import Purpose

SHORT = ["stage.height=96", "stage.panels=false"]


def play(*more: str) -> int:
    return main(["stage=play", *ENV, *SHORT, *more])


def test_the_agent_of_a_pipeline_is_recorded_and_no_run_is_made(
    finished: Path, tmp_path: Path
) -> None:
    first = Purpose.final_test.value
    outputs = tmp_path / "outputs"
    recorded = [f"stage.record={tmp_path / 'clip'}", "stage.steps=40", f"stage.first_seed={first}"]
    assert play(f"upstream={finished}", f"outputs={outputs}", *recorded) == 0
    assert not outputs.exists()
    assert {path.suffix for path in tmp_path.iterdir()} == {".mp4", ".gif", ".npz"}
    steps, scores = np.load(tmp_path / "clip.npz"), read_json(finished / "evaluate/scores.json")
    length = scores["lengths"][0]
    assert steps["rewards"][:length].sum() == scores["returns"][0]
    assert steps["done"][length - 1] > 0 and not steps["done"][: length - 1].any()


@pytest.mark.parametrize("stage", ["mdrnn", "controller/agent.pt"])
def test_m_alone_and_an_agent_file_can_be_dreamt_in(
    finished: Path, tmp_path: Path, stage: str
) -> None:
    key = "agent" if stage.endswith(".pt") else "upstream"
    recorded = [f"stage.record={tmp_path / 'dream'}", "stage.steps=5", "stage.driver=random"]
    assert play(f"{key}={finished / stage}", "stage.world=dream", *recorded) == 0
    assert np.load(tmp_path / "dream.npz")["dreamt"].any()


def test_without_any_model_the_game_is_played(tmp_path: Path) -> None:
    recorded = [f"stage.record={tmp_path / 'game'}", "stage.steps=12"]
    assert play(f"outputs={tmp_path / 'none'}", *recorded) == 0
    # nobody presses a key: chance drives
    assert len(set(np.load(tmp_path / "game.npz")["actions"].tolist())) > 1


@pytest.mark.slow
def test_kept_episodes_are_a_run_from_which_v_is_trained(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    recorded = [f"stage.record={tmp_path / 'clip'}", "stage.steps=90", "stage.driver=random"]
    assert play(f"outputs={outputs}", "stage.save=true", *recorded) == 0
    run = newest(outputs)
    store = EpisodeStore.open(run / "episodes")
    store.verify()
    assert [row.split for row in store.rows][:3] == ["train", "validation", "train"]
    for row in store.rows:
        assert (row.seed >= Purpose.validation.value) == (row.split == "validation")
        assert (row.seed >= Purpose.collection.value) or row.split == "validation"
    assert "Episodes" in (run / "report.html").read_text()
    assert main(small("vae", f"upstream={run}", f"outputs={outputs}")) == 0


def test_a_session_that_was_cut_off_goes_on_with_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs, parts = tmp_path / "outputs", []

    def until(kept: int) -> Any:
        def run(self: Window) -> None:
            session: Session = self.show.session
            while len(parts) < kept:
                session.step()
                if session.asks:
                    parts.append(session.game.seed)
                    session.answer(True)
            if kept == 2:
                raise KeyboardInterrupt

        return run

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(Window, "run", until(2))
    arguments = ["stage.save=true", "stage.driver=random", f"outputs={outputs}"]
    assert play(*arguments) == 130
    run = newest(outputs)
    assert read_json(run / "manifest.json")["status"] == "interrupted"
    monkeypatch.setattr(Window, "run", until(3))
    assert main([f"resume={run}"]) == 0
    assert [row.seed for row in EpisodeStore.open(run / "episodes").rows] == parts


def test_stored_episodes_are_recorded_with_their_dream(finished: Path, tmp_path: Path) -> None:
    recorded = [f"stage.record={tmp_path / 'reel'}", "stage.steps=4", "stage.panels=true"]
    for upstream in ("controller", "rollout"):
        more = [f"upstream={finished / upstream}", "stage.mode=episodes", *recorded]
        assert play(*more) == 0
        assert {path.suffix for path in tmp_path.iterdir()} == {".mp4", ".gif"}


@pytest.mark.slow
def test_play_sh_plays_what_lies_beside_it(finished: Path, tmp_path: Path) -> None:
    folders = [finished, finished / "controller", finished / "mdrnn"]
    assert all((folder / "play.sh").stat().st_mode & 0o111 for folder in folders)
    assert not (finished / "rollout/play.sh").exists()
    script = finished / "play.sh"
    heads = [line for line in script.read_text().splitlines() if line.startswith("#")]
    assert all(f" -{flag} " in "\n".join(heads) for flag in "rwaehsf")
    record = [f"stage.record={tmp_path / 'by script'}", "stage.steps=3", "stage.height=96"]
    done = subprocess.run(
        [script, "-h", "-a", "-f", "7", *record, "verbosity=debug"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(world_models.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "by script.npz")["dreamt"].all()
    with av.open(str(tmp_path / "by script.mp4")) as video:
        stream = video.streams.video[0]
        look = Look(height=96, panels=False)
        assert stream.average_rate == 7 and stream.height == 96 + 4 * look.line
    assert subprocess.run([script, "-x"], capture_output=True).returncode == 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["stage.world=pixel"], "no pixel"),
        (["stage.height=20"], "stage.height"),
        (["stage.save=true", "stage.first_seed=3"], "first_seed"),
        (["stage.dropout=1.5"], "dropout"),
        (["stage.pixel=tests"], "tests"),
        (["stage.mode=episodes"], "upstream="),
        (["stage.mode=episodes", "stage.save=true"], "stage.save"),
    ],
)
def test_what_cannot_be_played_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    outputs = tmp_path / "outputs"
    assert play(f"outputs={outputs}", f"stage.record={tmp_path / 'clip'}", *more) == 1
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("clip*")) and not list(outputs.glob("*/*/*"))


def test_no_screen_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert play(f"outputs={tmp_path}") == 1
    assert "stage.record=" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_there_is_nothing_to_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = f"stage.record={tmp_path / 'clip'}"
    arguments = ["-m", "stage=play", *ENV, record, f"outputs={tmp_path}", "seed=1,2"]
    assert main(arguments) == 1
    assert "nothing to sweep" in capsys.readouterr().err


def test_a_page_is_served_until_ctrl_c_and_what_was_kept_is_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outputs, step = tmp_path / "outputs", Desk.step

    def until_kept(desk: Desk) -> bytes:
        moment = step(desk)
        session = desk.show.session
        assert session is not None
        if session.asks:
            desk.take(Mail(0, Press(kind="press", name="y")))
            os.kill(os.getpid(), signal.SIGINT)
        return moment

    monkeypatch.setattr(Web, "_wait", lambda self, inbox: self.desk.take(Mail(0, Came())))
    monkeypatch.setattr(Desk, "step", until_kept)
    served = ["stage.ui=web", "stage.port=0", "stage.fps=5000", "stage.driver=random"]
    assert play(*served, "stage.save=true", f"outputs={outputs}") == 0
    assert "open http://127.0.0.1:" in caplog.text and "ended" in caplog.messages
    run = newest(outputs)
    assert read_json(run / "manifest.json")["status"] == "finished"
    assert len(EpisodeStore.open(run / "episodes").rows) == 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["stage.port=70000"], "stage.port"),
        (["stage.host=no.such.host.example"], "stage.host"),
        (["stage.record=clip"], "stage.ui=web"),
    ],
)
def test_a_page_that_cannot_be_served_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    assert play("stage.ui=web", f"outputs={tmp_path}", *more) == 1
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_a_page_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("world_models.play.web.serving.find_spec", lambda name: None)
    assert play("stage.ui=web", f"outputs={tmp_path}") == 1
    assert 'the extra "web"' in capsys.readouterr().err
