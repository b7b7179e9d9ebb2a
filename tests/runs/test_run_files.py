"""What a run folder is made of: files written whole, checkpoints, logs, locks, lineage, seeds,
statistics.
"""

import itertools
import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from world_models.chains.upstream import Upstream, latest, newer_unfinished
from world_models.cli.launch import say_upstream
from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.runs import seeding
from world_models.runs.checkpoint import load_checkpoint, save_checkpoint
from world_models.runs.device import Device, place
from world_models.runs.files import read_json, replacing, sha256, write_json, write_text
from world_models.runs.folder import dated_folder, is_live, locked, new_folder
from world_models.runs.metrics import MetricsLog, read_csv
from world_models.runs.numbers import evenly_spaced, num_workers
from world_models.runs.past import PastRun
from world_models.runs.schedule import Best, EarlyStopping, Every, check_factor, plateau
from world_models.runs.statistics import summarize


def test_the_run_in_whose_folder_a_file_lies(finished: Path, tmp_path: Path) -> None:
    """A store inside has a manifest, too: it is no run."""
    store = finished / "rollout" / "episodes"
    assert (store / "manifest.json").is_file()
    for file in (store / "manifest.json", finished / "rollout" / "config.yaml"):
        assert PastRun.holding(file).path == finished / "rollout"
    assert PastRun.holding(finished / "vae" / "checkpoints" / "best.pt").stage == "vae"
    with pytest.raises(ValueError, match=r"best\.pt lies in no folder of a run"):
        PastRun.holding(tmp_path / "best.pt")
    (tmp_path / "manifest.json").write_text('{"stage": "vae"')
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        PastRun.holding(tmp_path / "checkpoints" / "best.pt")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_damaged_json_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "good.json", {"a": 1})
    assert read_json(tmp_path / "good.json") == {"a": 1}
    (tmp_path / "bad.json").write_text('{"a": ')
    with pytest.raises(ValueError, match=r"bad\.json is damaged"):
        read_json(tmp_path / "bad.json")


def test_sha256_is_the_standard_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_text("abc")
    assert (
        sha256(tmp_path / "abc")
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_checkpoints_come_back_and_say_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "last.pt"
    save_checkpoint(path, "vae", {"model": {"weight": torch.arange(3.0)}, "step": 4})
    state = load_checkpoint(path, "vae")
    assert torch.equal(state["model"]["weight"], torch.arange(3.0)) and state["step"] == 4
    with pytest.raises(ValueError, match="kind 'vae' where 'mdrnn' is needed"):
        load_checkpoint(path, "mdrnn")
    with pytest.raises(ValueError, match="does not exist"):
        load_checkpoint(tmp_path / "none.pt", "vae")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a zip", b"not a checkpoint at all"])
def test_files_that_are_no_checkpoints_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"last\.pt is truncated or no checkpoint of ours"):
        load_checkpoint(tmp_path / "last.pt", "vae")


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    torch.save(Path("anything"), tmp_path / "last.pt")
    with pytest.raises(ValueError, match="no checkpoint of ours"):
        load_checkpoint(tmp_path / "last.pt", "vae")


def test_resumed_logs_have_no_gap_and_no_double_row(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    for step in range(3):
        log.write("metrics", {"step": step, "loss": step / 3})
    offsets = log.offsets
    log.write("metrics", {"step": 3, "loss": 9.0})
    log.write("val_metrics", {"epoch": 1, "loss": 9.0})
    resumed = MetricsLog(tmp_path, offsets)
    resumed.write("metrics", {"step": 3, "loss": 1.0})
    resumed.write("val_metrics", {"epoch": 1, "loss": 2.0})
    assert [row["step"] for row in read_csv(tmp_path / "metrics.csv")] == ["0", "1", "2", "3"]
    assert [float(row["loss"]) for row in read_csv(tmp_path / "metrics.csv")] == [
        0,
        1 / 3,
        2 / 3,
        1.0,
    ]
    assert read_csv(tmp_path / "val_metrics.csv") == [{"epoch": "1", "loss": "2.0"}]


@pytest.mark.parametrize("resumed", [False, True])
def test_a_row_that_does_not_fit_the_header_is_refused(tmp_path: Path, resumed: bool) -> None:
    log = MetricsLog(tmp_path)
    log.write("metrics", {"epoch": 1, "loss": 2.5, "psnr": 30.0})
    if resumed:
        log = MetricsLog(tmp_path, log.offsets)
    before = (tmp_path / "metrics.csv").read_bytes()
    with pytest.raises(ValueError, match=r"metrics\.csv has other columns") as refusal:
        log.write("metrics", {"epoch": 2, "ssim": 9.9, "loss": 1.5})
    assert "no longer written: psnr; new: ssim" in str(refusal.value)
    assert "start a new run" in str(refusal.value)
    with pytest.raises(ValueError, match=r"\(new: ssim\)"):
        log.write("metrics", {"epoch": 2, "ssim": 9.9, "loss": 1.5, "psnr": 31.0})
    assert (tmp_path / "metrics.csv").read_bytes() == before
    log.write("metrics", {"psnr": 31.0, "loss": 1.5, "epoch": 2})
    assert read_csv(tmp_path / "metrics.csv")[1] == {"epoch": "2", "loss": "1.5", "psnr": "31.0"}


def test_the_mirror_sees_every_row(tmp_path: Path) -> None:
    seen: list[tuple[str, dict[str, float]]] = []
    MetricsLog(tmp_path, mirror=lambda name, row: seen.append((name, row))).write(
        "metrics", {"step": 1}
    )
    assert seen == [("metrics", {"step": 1})]


def test_pictures_go_to_the_mirror_alone(tmp_path: Path) -> None:
    MetricsLog(tmp_path).picture("strip", tmp_path / "strip.png")
    assert not list(tmp_path.iterdir())
    seen: list[tuple[str, dict[str, object]]] = []
    metrics = MetricsLog(tmp_path, mirror=lambda *row: seen.append(row))
    metrics.picture("strip", tmp_path / "strip.png")
    assert seen == [("images", {"strip": tmp_path / "strip.png"})]


def test_json_holds_no_nan(tmp_path: Path) -> None:
    write_json(
        tmp_path / "a.json",
        {"a": float("nan"), "b": [1.5, (float("inf"), {"c": -float("inf")})], "d": "NaN"},
    )
    assert json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail) == {
        "a": None,
        "b": [1.5, [None, {"c": None}]],
        "d": "NaN",
    }


@pytest.mark.parametrize(
    ("values", "improved", "waited"),
    [
        ([3.0, 2.0, 2.0, 2.5], [True, True, False, False], [0, 0, 1, 2]),
        ([0.0, 1.0, -1.0], [True, False, True], [0, 1, 0]),
        ([-10.0, -10.5, -10.2], [True, True, False], [0, 0, 1]),
    ],
)
def test_the_lowest_value_is_kept(
    values: list[float], improved: list[bool], waited: list[int]
) -> None:
    best, stopper, counts = Best(), EarlyStopping(2), []
    assert [best.update(value) for value in values] == improved
    for value, better in zip(values, improved, strict=True):
        assert stopper.update(value) == better
        counts.append(stopper.waited)
    assert counts == waited and best.best == stopper.best == min(values)
    assert stopper.should_stop == (waited[-1] >= 2) and not best.should_stop


def test_early_stopping_state_round_trip() -> None:
    stopper, other = EarlyStopping(3), EarlyStopping(3)
    for value in (2.0, 1.0, 5.0):
        stopper.update(value)
    other.load_state_dict(stopper.state_dict())
    assert other == stopper and not other.update(1.5) and other.waited == 2


def test_states_of_earlier_checkpoints_are_read() -> None:
    state = {"patience": 1, "mode": "min", "threshold": 0.0, "threshold_mode": "rel"}
    state |= {"best": 2.0, "waited": 4}
    best, stopper = Best(), EarlyStopping(3)
    best.load_state_dict(state)
    stopper.load_state_dict(state)
    assert best == Best(best=2.0) and stopper == EarlyStopping(3, best=2.0, waited=4)


def test_nan_is_no_value_to_watch() -> None:
    for watching in (Best(), EarlyStopping(3)):
        with pytest.raises(ValueError, match="NaN"):
            watching.update(float("nan"))


def test_every_says_when_it_is_time() -> None:
    assert [step for step in range(1, 11) if Every(3)(step)] == [3, 6, 9]
    assert [step for step in range(1, 11) if Every(3, last=10)(step)] == [3, 6, 9, 10]


def test_plateau_scheduler_halves_the_rate_and_survives_a_checkpoint(tmp_path: Path) -> None:
    def made() -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.ReduceLROnPlateau]:
        optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
        return optimizer, torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=0.5, patience=1
        )

    optimizer, scheduler = made()
    for loss in (3.0, 3.0):
        scheduler.step(loss)
    save_checkpoint(tmp_path / "last.pt", "vae", {"scheduler": scheduler.state_dict()})
    optimizer, scheduler = made()
    scheduler.load_state_dict(load_checkpoint(tmp_path / "last.pt", "vae")["scheduler"])
    scheduler.step(3.0)
    assert optimizer.param_groups[0]["lr"] == 5e-4


def test_run_folders_never_collide(tmp_path: Path) -> None:
    first, second = new_folder(tmp_path, "run"), new_folder(tmp_path, "run")
    assert (first.name, second.name) == ("run", "run-2")
    assert dated_folder(tmp_path).parent.parent == tmp_path


def test_a_lock_tells_a_live_run_from_a_dead_one(tmp_path: Path) -> None:
    assert not is_live(tmp_path)
    with locked(tmp_path):
        assert is_live(tmp_path)
        with pytest.raises(ValueError, match="being written by another process"), locked(tmp_path):
            pass
    assert not is_live(tmp_path)


def env_of(name: str) -> EnvSpec:
    actions = ActionSpace("discrete", 2, (), (), ())
    return EnvSpec(name, {}, Preprocessing((0, 0, 0, 0), 64, False), 1, actions, 20)


def write_run(path: Path, **values: object) -> Path:
    path.mkdir(parents=True)
    values = {"ended": values.get("created", "2026-01-01T00:00:00"), **values}
    base = {
        "stage": "vae",
        "status": "finished",
        "env": env_of("A").to_dict(),
        "experiment": None,
        "created": "2026-01-01T00:00:00",
        "inputs": [],
    }
    (path / "manifest.json").write_text(json.dumps({**base, **values}))
    return path


def test_latest_is_the_newest_finished_run_that_fits(tmp_path: Path) -> None:
    write_run(tmp_path / "A/old", created="2026-01-01T00:00:00")
    wanted = write_run(tmp_path / "A/pipeline/vae", created="2026-01-02T00:00:00")
    write_run(tmp_path / "A/unfinished", created="2026-01-03T00:00:00", status="running")
    write_run(tmp_path / "A/other-experiment", created="2026-01-03T00:00:00", experiment="demo")
    write_run(tmp_path / "B/other-env", created="2026-01-03T00:00:00", env=env_of("B").to_dict())
    write_run(tmp_path / "A/other-stage", created="2026-01-03T00:00:00", stage="mdrnn")
    write_run(tmp_path / "sweeps/day/time/0", created="2026-01-03T00:00:00")
    write_run(tmp_path / "A/later", created="2026-01-04T00:00:00", ended="2026-01-09T00:00:00")
    found = latest(tmp_path, "vae", env_of("A"), None, before="2026-01-05T00:00:00")
    assert found is not None and found.path == wanted
    assert latest(tmp_path, "vae", env_of("C"), None, before="2026-01-05T00:00:00") is None


def test_a_newer_run_that_is_not_finished_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    taken = PastRun(write_run(tmp_path / "A/a", created="2026-01-02T00:00:00"))
    cut_off = {"status": "interrupted"}
    write_run(tmp_path / "A/before", created="2026-01-01T00:00:00", **cut_off)
    other = {"created": "2026-01-03T00:00:00", **cut_off}
    write_run(tmp_path / "A/experiment", experiment="demo", **other)
    write_run(tmp_path / "B/env", env=env_of("B").to_dict(), **other)
    write_run(tmp_path / "A/stage", stage="mdrnn", **other)
    write_run(tmp_path / "sweeps/day/time/0", **other)
    given = (taken, "vae", env_of("A"), tmp_path, "2026-01-05T00:00:00")
    assert newer_unfinished(*given) is None
    write_run(tmp_path / "A/later", created="2026-01-06T00:00:00", **cut_off)
    wanted = write_run(tmp_path / "A/newer", created="2026-01-04T00:00:00", **cut_off)
    found = newer_unfinished(*given)
    assert found is not None and found.path == wanted
    with caplog.at_level(logging.INFO):
        say_upstream(Upstream(taken, "vae"))
        say_upstream(Upstream(taken, "vae", found))
    newer = f"; a newer run, {found.name}, is interrupted and was left out"
    assert [line.getMessage() for line in caplog.records] == [
        f"upstream: {taken.name}",
        f"upstream: {taken.name}{newer}",
    ]


def test_recorded_inputs_are_checked(tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_text("weights")
    entry = {"kind": "vae", "path": "../best.pt", "sha256": sha256(tmp_path / "best.pt")}
    run = PastRun(write_run(tmp_path / "run", inputs=[entry]))
    assert run.input("vae") == tmp_path / "best.pt"
    with pytest.raises(ValueError, match="records no input of kind 'mdrnn'"):
        run.input("mdrnn")
    (tmp_path / "best.pt").write_text("other weights")
    with pytest.raises(ValueError, match=r"best\.pt has changed since"):
        run.input("vae")
    (tmp_path / "best.pt").unlink()
    with pytest.raises(ValueError, match="is gone"):
        run.input("vae")


def test_seeds_are_a_tree() -> None:
    draw = seeding.generator(0, "vae", "epoch", 3).random(4)
    np.testing.assert_array_equal(draw, seeding.generator(0, "vae", "epoch", 3).random(4))
    for other in ((1, "vae", "epoch", 3), (0, "vae", "epoch", 4), (0, "mdrnn", "epoch", 3)):
        assert not np.array_equal(draw, seeding.generator(*other).random(4))


def test_ranges_of_episode_seeds_are_disjoint_and_fit_32_bits() -> None:
    starts = sorted(purpose.value for purpose in seeding.Purpose)
    assert all(
        after - before >= seeding.SEEDS_PER_PURPOSE for before, after in itertools.pairwise(starts)
    )
    assert starts[-1] + seeding.SEEDS_PER_PURPOSE <= 2**31
    held_out = {purpose.name for purpose in seeding.Purpose if purpose.value >= seeding.HELD_OUT}
    assert held_out == {"validation", "selection", "final_test"}


def test_fresh_seeds_differ_by_use_and_fixed_ones_do_not() -> None:
    search = seeding.Purpose.search
    first = seeding.fresh_seeds(search, 50, 0, "generation", 1)
    assert first == seeding.fresh_seeds(search, 50, 0, "generation", 1) and len(set(first)) == 50
    assert first != seeding.fresh_seeds(search, 50, 0, "generation", 2)
    assert seeding.fixed_seeds(seeding.Purpose.final_test, 3) == [
        seeding.Purpose.final_test.value + i for i in range(3)
    ]


def test_seeded_weights_leave_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with seeding.seeded_weights(0, "a"):
        first = torch.nn.Linear(3, 3).weight
    with seeding.seeded_weights(0, "a"):
        again = torch.nn.Linear(3, 3).weight
    assert torch.equal(first, again) and torch.equal(torch.rand(1), expected)


def test_summary_against_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(700, 100, 400)
    summary = summarize(values)
    half = 1.96 * values.std() / np.sqrt(400)
    assert summary.mean == pytest.approx(values.mean()) and summary.median == pytest.approx(
        np.median(values)
    )
    assert summary.low == pytest.approx(values.mean() - half, abs=1.0)
    assert summary.high == pytest.approx(values.mean() + half, abs=1.0)
    assert summarize([5.0]).low == summarize([5.0]).high == 5.0


def test_number_of_workers() -> None:
    assert (
        num_workers(-1) == len(os.sched_getaffinity(0))
        and num_workers(0) == 0
        and num_workers(5) == 5
    )
    with pytest.raises(ValueError, match=r"stage\.workers is -2"):
        num_workers(-2)


def test_items_are_spaced_evenly() -> None:
    assert evenly_spaced(10, 4).tolist() == [0, 3, 6, 9]
    assert evenly_spaced(9, 4).tolist() == [0, 3, 5, 8], "2.67 and 5.33 to the nearest"
    assert evenly_spaced(9, 4, rounded=False).tolist() == [0, 2, 5, 8], "and down"
    assert evenly_spaced(2, 4).tolist() == [0, 0, 1, 1] and evenly_spaced(5, 1).tolist() == [0]


@pytest.mark.parametrize("device", [Device.cpu, Device.cuda])
def test_a_placed_model_is_compiled_in_place_and_on_a_gpu_alone(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[str] = []
    model = torch.nn.Conv2d(3, 4, 2)
    to, compiled = model.to, []
    monkeypatch.setattr(model, "to", lambda name, **how: moved.append(name) or to("cpu", **how))
    monkeypatch.setattr(model, "compile", lambda: compiled.append(device))
    place(model, device)
    assert moved == [device.value] and not compiled
    assert model.weight.is_contiguous(memory_format=torch.channels_last)
    assert place(model, device, compile=True) is model
    assert compiled == [device] * (device is Device.cuda)


def test_the_plateau_is_judged_alike_below_zero() -> None:
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = plateau(optimizer, 0.5, 1)
    for loss in (-1.0, -0.99999, -0.99998, -0.99997):
        scheduler.step(loss)
    assert optimizer.param_groups[0]["lr"] == 0.5
    with pytest.raises(ValueError, match=r"stage\.scheduler_factor is 1\.5"):
        check_factor(1.5)
