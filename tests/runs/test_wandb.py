"""One W&B run per job, ended with it; what keeps it from working is said before a folder is made.

A stand-in does what the package does where it matters here: an unfinished run is returned again by
the next `init`. The last test is with the package itself, offline.
"""

import importlib.util
import sys
import urllib.error
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from commands import newest, small

from world_models.main import main
from world_models.runs.metrics import MetricsLog
from world_models.runs.wandb import require_wandb, wandb_mirror

ROLLOUT = ["stage.episodes=2", "stage.val_fraction=0"]


class WandbError(Exception):
    pass


class FakeRun:
    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.rows: list[dict[str, Any]] = []
        self.exit_code: int | None = None
        self.url = None
        self.dir = given["dir"]
        if given["mode"] == "offline":
            number = len(list(Path(self.dir).glob("wandb/*")))
            (Path(self.dir) / f"wandb/offline-run-2026_{number}-{given['id']}").mkdir(parents=True)

    def log(self, row: dict[str, Any]) -> None:
        assert self.exit_code is None, "it has ended"
        self.rows.append(row)

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


class FakeWandb(ModuleType):
    def __init__(self) -> None:
        super().__init__("wandb")
        self.runs: list[FakeRun] = []
        self.errors = SimpleNamespace(Error=WandbError)
        self.Settings = dict
        self.Image = lambda path: f"image of {path}"
        self.refusal = ""
        self.key = True

    def init(self, **given: Any) -> FakeRun:
        if self.refusal:
            raise WandbError(self.refusal)
        if not self.runs or self.runs[-1].exit_code is not None:
            self.runs.append(FakeRun(given))
        return self.runs[-1]

    def login(self) -> bool:
        if not self.key:
            raise WandbError("api_key not configured (no-tty)")
        return True

    def setup(self) -> SimpleNamespace:
        return SimpleNamespace(settings=SimpleNamespace(base_url="https://api.example.org"))


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: name == "wandb" or find_spec(name, *rest)
    )
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: SimpleNamespace(close=int))
    return fake


def test_rows_and_pictures_go_to_the_folders_own_run(tmp_path: Path, wandb: FakeWandb) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with wandb_mirror("offline", "any", tmp_path / name) as mirror:
            metrics = MetricsLog(tmp_path / name, mirror=mirror)
            metrics.picture("strip", tmp_path / "strip.png")
            metrics.write("metrics", {"loss": 0.5})
    rows = [{"images/strip": f"image of {tmp_path / 'strip.png'}"}, {"metrics/loss": 0.5}]
    assert [run.rows for run in wandb.runs] == [rows, rows]
    assert [run.exit_code for run in wandb.runs] == [0, 0]
    assert len({run.given["id"] for run in wandb.runs}) == 2


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_run_that_ends_early_ends_its_own(
    tmp_path: Path, wandb: FakeWandb, error: type[BaseException]
) -> None:
    with pytest.raises(error), wandb_mirror("online", "any", tmp_path):
        raise error
    assert [run.exit_code for run in wandb.runs] == [1]


def test_online_a_resumed_folder_goes_on_in_its_own_run(tmp_path: Path, wandb: FakeWandb) -> None:
    for _ in range(2):
        with wandb_mirror("online", "any", tmp_path):
            pass
    first, second = (run.given for run in wandb.runs)
    assert first == second and first["resume"] == "allow"


def test_offline_no_part_takes_the_place_of_another(tmp_path: Path, wandb: FakeWandb) -> None:
    for _ in range(3):
        with wandb_mirror("offline", "any", tmp_path):
            pass
    assert len({run.given["id"] for run in wandb.runs}) == 3
    assert len({run.given["name"] for run in wandb.runs}) == 3
    assert len({run.given["group"] for run in wandb.runs}) == 1


def test_every_job_of_a_sweep_has_a_run(tmp_path: Path, wandb: FakeWandb) -> None:
    keys = [*ROLLOUT, "wandb.mode=offline", "seed=1,2", f"outputs={tmp_path}"]
    assert main(["-m", *small("rollout", *keys)]) == 0
    assert [Path(run.dir).name for run in wandb.runs] == ["0", "1"]
    for run in wandb.runs:
        assert run.exit_code == 0
        assert [row["rollout/episodes/episode"] for row in run.rows[-2:]] == [0, 1]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("key", "wandb.mode=online needs a key of Weights & Biases"),
        ("network", "needs https://api.example.org, which cannot be reached"),
    ],
)
def test_no_key_and_no_network_are_told_before_a_folder_is_made(
    tmp_path: Path,
    wandb: FakeWandb,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: str,
    words: str,
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no route to host")

    wandb.key = fault != "key"
    if fault == "network":
        monkeypatch.setattr("urllib.request.urlopen", fails)
    outputs = tmp_path / "outputs"
    assert main(small("rollout", "wandb.mode=online", f"outputs={outputs}")) != 0
    said = capsys.readouterr().err
    assert words in said and "wandb.mode=offline" in said and "Traceback" not in said
    assert not outputs.exists() and not wandb.runs


def test_a_server_that_refuses_the_address_is_there(
    wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any, **__: Any) -> None:
        raise urllib.error.HTTPError("https://api.example.org", 404, "not found", {}, None)

    monkeypatch.setattr("urllib.request.urlopen", refuses)
    require_wandb("online")


def test_what_the_package_refuses_is_one_sentence(tmp_path: Path, wandb: FakeWandb) -> None:
    wandb.refusal = "the project is closed"
    with (
        pytest.raises(ValueError, match=r"wandb\.mode=online\): the project is closed"),
        wandb_mirror("online", "any", tmp_path),
    ):
        raise AssertionError


@pytest.mark.slow
def test_the_package_itself_keeps_a_run_per_job_offline(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    keys = [*ROLLOUT, "wandb.mode=offline", f"outputs={tmp_path}"]
    assert main(["-m", *small("rollout", *keys, "seed=1,2")]) == 0
    kept = sorted(tmp_path.rglob("offline-run-*/*.wandb"))
    assert len(kept) == 2 and all(path.stat().st_size for path in kept)
    assert main(small("rollout", *keys)) == 0
    run = newest(tmp_path)
    for _ in range(2):
        with wandb_mirror("offline", "any", run) as mirror:
            mirror("metrics", {"loss": 0.5})
    ids = [path.name.partition("-run-")[2] for path in run.glob("wandb/offline-run-*")]
    assert len(set(ids)) == len(ids) == 3


def test_the_configuration_goes_there_too(tmp_path: Path, wandb: FakeWandb) -> None:
    (tmp_path / "config.yaml").write_text("stage:\n  latent_size: 8\nseed: 3\n")
    with wandb_mirror("online", "any", tmp_path):
        pass
    assert wandb.runs[0].given["config"] == {"stage": {"latent_size": 8}, "seed": 3}


@pytest.mark.parametrize("error", [WandbError("503"), ConnectionResetError("reset")])
def test_a_server_that_is_lost_later_ends_no_run(
    tmp_path: Path, wandb: FakeWandb, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error

    with wandb_mirror("online", "any", tmp_path) as mirror:
        wandb.runs[0].log = wandb.runs[0].finish = fails  # type: ignore[method-assign]
        metrics = MetricsLog(tmp_path, mirror=mirror)
        metrics.write("metrics", {"loss": 0.5})
    assert (tmp_path / "metrics.csv").read_text() == "loss\n0.5\n"
    assert caplog.text.count("is lost") == 2
