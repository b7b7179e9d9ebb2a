"""The pixel model as users train it: what a run leaves, that it is resumed exactly,
and that bad keys are refused.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import SMALL, misfits, newest, small
from equality import assert_equal_runs, fails_at

from world_models.agents.policy import RandomPolicy
from world_models.agents.rollout import play
from world_models.data.store import EpisodeStore
from world_models.envs.procgen import make_gym3
from world_models.main import main
from world_models.measures.horizons import best_rollout, skill
from world_models.measures.rows import HorizonRow
from world_models.models.pixel import roll_out
from world_models.report.headline import headline
from world_models.report.pixel import ROLLOUTS
from world_models.runs.files import read_json, sha256
from world_models.runs.metrics import read_csv, read_rows
from world_models.runs.training import Training
from world_models.stages.runs import score
from world_models.worlds.dream_env import open_dream
from world_models.worlds.pixel import load_pixel_predictor


def trained(finished: Path, outputs: Path, *keys: str) -> Path:
    assert (
        main(small("pixel", f"upstream={finished / 'rollout'}", f"outputs={outputs}", *keys)) == 0
    )
    return newest(outputs)


@pytest.fixture(scope="module")
def run(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; for reading only."""
    return trained(finished, tmp_path_factory.mktemp("pixel"))


def test_a_run_leaves_what_it_promises(run: Path) -> None:
    assert misfits(run) == []
    assert [int(row["step"]) for row in read_csv(run / "metrics.csv")] == [2, 4, 6, 7]
    assert [float(row["unroll"]) for row in read_csv(run / "metrics.csv")] == [1, 1, 1.5, 2]
    assert [int(row["step"]) for row in read_csv(run / "val_metrics.csv")] == [3, 6, 7]
    rollouts = read_csv(run / "val_rollout_metrics.csv")
    assert [(int(row["step"]), int(row["horizon"])) for row in rollouts] == [
        (step, horizon) for step in (3, 6, 7) for horizon in (1, 2, 3, 4)
    ]
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    for step in (2, 4, 6, 7):
        assert f"images/train_step_{step:08d}.png" in files
    for step in (3, 6, 7):
        wanted = {
            f"plots/val_rollout_step_{step:08d}.png",
            f"videos/val_rollout_step_{step:08d}.mp4",
        }
        assert wanted | {f"images/val_step_{step:08d}.png"} <= files
    assert {
        "checkpoints/best.pt",
        "checkpoints/last.pt",
        "report.html",
        "eval.sh",
        "config.yaml",
    } <= files
    assert (run / "eval.sh").stat().st_mode & 0o100


def test_its_report_tells_the_skill_and_shows_film_and_table(run: Path) -> None:
    page = (run / "report.html").read_text()
    shown = skill(best_rollout(read_rows(run / "val_rollout_metrics.csv", HorizonRow)))
    assert (
        f"{abs(shown):.0%}" in page
        and "error than a copy of the last frame, 1 to 4 frames ahead" in page
    )
    assert page.count("data:video/mp4") == 1 and "Shuffled actions" in page
    found = headline(run)
    assert found is not None and found.value == shown and score(run) == f"skill {shown:.2f}"


@pytest.mark.slow
@pytest.mark.slow
def test_a_chain_of_its_own_runs_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [
        f"stage.{stage}.{item}"
        for stage in ("rollout", "pixel", "evaluate")
        for item in SMALL[stage]
    ]
    command = ["stage=pixel_pipeline", "env=pellet", *keys]
    assert main([*command, f"outputs={tmp_path / 'whole'}"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", fails_at(4, Training.update))
        assert main([*command, f"outputs={tmp_path / 'cut'}"]) == 130
    whole, cut = (min((tmp_path / name).glob("*/*/*")) for name in ("whole", "cut"))
    assert read_json(cut / "manifest.json")["status"] == "interrupted"
    assert main([f"resume={cut}"]) == 0
    assert_equal_runs(whole, cut)
    assert open_dream(str(whole), 2).reset(seed=[1, 2])[0].shape == (2, 64, 64, 3)
    page = (whole / "report.html").read_text()
    assert all(f"<h2>{title}" in page for title in ("Episodes", "Next frame", "Evaluation"))
    assert 'upstream="$here"' in (whole / "eval.sh").read_text()


def test_tiny_budgets_leave_every_file_too(finished: Path, tmp_path: Path) -> None:
    run = trained(
        finished, tmp_path, "stage.max_steps=1", "stage.log_every=500", "stage.val_every_steps=1000"
    )
    for name in ("metrics.csv", "val_metrics.csv", "val_rollout_metrics.csv", "timing.csv"):
        assert read_csv(run / name), name
    for pattern in ("images/*.png", "plots/*.png", "videos/*.mp4", "checkpoints/best.pt"):
        assert list(run.glob(pattern)), pattern


@pytest.mark.parametrize("call", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_ctrl_c_then_resume_equals_uninterrupted(
    run: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Also in the middle of a phase, and before the first checkpoint that follows a step."""
    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", fails_at(call, Training.update))
        assert (
            main(small("pixel", f"upstream={finished / 'rollout'}", f"outputs={tmp_path}")) == 130
        )
    cut = newest(tmp_path)
    assert read_json(cut / "manifest.json")["status"] == "interrupted"
    assert main([f"resume={cut}"]) == 0
    assert_equal_runs(run, cut)


@pytest.mark.slow
def test_minutes_become_steps_once(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ["stage.max_steps=null", "stage.minutes=0.001"]
    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", fails_at(1, Training.update))
        assert (
            main(small("pixel", f"upstream={finished / 'rollout'}", f"outputs={tmp_path}", *keys))
            == 130
        )
    cut = newest(tmp_path)
    steps = torch.load(cut / "checkpoints/last.pt")["total_steps"]
    assert steps >= 1
    assert main([f"resume={cut}"]) == 0
    state = torch.load(cut / "checkpoints/last.pt")
    assert state["step"] == state["total_steps"] == steps


def test_best_is_the_average_that_was_judged(run: Path, finished: Path) -> None:
    best, last = (torch.load(run / "checkpoints" / name) for name in ("best.pt", "last.pt"))
    rows = read_csv(run / "val_rollout_metrics.csv")
    errors = {
        step: sum(float(row["mse"]) for row in rows if int(row["step"]) == step)
        for step in (3, 6, 7)
    }
    assert best["step"] == min(errors, key=lambda step: errors[step])
    if best["step"] == last["step"]:
        assert all(
            torch.equal(best["model"][name], value)
            for name, value in last["average"]["model"].items()
        )
    assert any(
        not torch.equal(last["model"][name], value)
        for name, value in last["average"]["model"].items()
    )


def test_the_checkpoint_says_all_that_is_needed(run: Path, finished: Path) -> None:
    world = load_pixel_predictor(run / "checkpoints/best.pt")
    assert world.env.id == "WorldModels/Pellet-v0" and world.env.action_space.size == 5
    assert world.mean.shape == (3, 64, 64) and world.fade.shape == (4,)
    episode = EpisodeStore.open(finished / "rollout/episodes").rows[0]
    store = EpisodeStore.open(finished / "rollout/episodes")
    frames = world.view(torch.from_numpy(np.array(store.episode(episode).frames[:4])), "cpu")[None]
    actions = torch.from_numpy(
        np.asarray(world.env.action_space.to_model(store.episode(episode).actions[:5]))
    )[None]
    assert [found.frame.shape for found in roll_out(world.model, frames, actions)] == [
        (1, 3, 64, 64)
    ] * 2


def test_it_is_evaluated_from_its_checkpoint_without_naming_the_env(
    run: Path, tmp_path: Path
) -> None:
    keys = ["stage.windows=12", "stage.horizon=4", f"outputs={tmp_path}"]
    assert main(["stage=evaluate", f"upstream={run}", *keys]) == 0
    judged = newest(tmp_path)
    assert misfits(judged) == []
    for name in (
        "videos/rollout.mp4",
        "videos/rollout.gif",
        "plots/rollout_metrics_vs_horizon.png",
    ):
        assert (judged / name).stat().st_size > 1000, name
    scores = read_json(judged / "scores.json")
    assert scores["env"] == "WorldModels/Pellet-v0" and [
        row["horizon"] for row in scores["horizons"]
    ] == [1, 2, 3, 4]
    best = torch.load(run / "checkpoints/best.pt")["step"]
    rows = [row for row in read_csv(run / "val_rollout_metrics.csv") if int(row["step"]) == best]
    for ours, theirs in zip(scores["horizons"], rows, strict=True):
        assert ours["mse"] == pytest.approx(float(theirs["mse"]), rel=1e-4)  # the same windows


def evaluated(run: Path, outputs: Path, *keys: str) -> Path:
    assert (
        main(
            [
                "stage=evaluate",
                f"upstream={run}",
                "stage.windows=12",
                "stage.horizon=4",
                *keys,
                f"outputs={outputs}",
            ]
        )
        == 0
    )
    return newest(outputs)


@pytest.mark.slow
def test_it_is_evaluated_on_other_episodes(
    run: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ["stage.windows=12", "stage.horizon=4", f"outputs={tmp_path / 'judged'}"]
    assert main(small("rollout", f"outputs={tmp_path / 'other'}", "seed=7")) == 0
    other = newest(tmp_path / "other")
    assert main(["stage=evaluate", f"upstream={run}", f"stage.source={other}", *keys]) == 0
    judged = newest(tmp_path / "judged")
    inputs = {
        item["kind"]: item["sha256"] for item in read_json(judged / "manifest.json")["inputs"]
    }
    assert inputs["episodes"] == sha256(other / "episodes/manifest.json")
    ours, theirs = (
        read_csv(path)[-1]["copy_mse"] for path in (judged / "rollout_metrics.csv", run / ROLLOUTS)
    )
    assert ours != theirs
    agent = [
        f"agent={finished}",
        "env=pellet",
        f"stage.source={other}",
        f"outputs={tmp_path / 'judged'}",
    ]
    assert main(["stage=evaluate", *agent]) == 1
    assert "stage.source is of no use: it is for a pixel model" in capsys.readouterr().err
    assert (
        main(small("rollout", f"outputs={tmp_path / 'other'}", "seed=8", "stage.val_fraction=0"))
        == 0
    )
    assert (
        main(
            [
                "stage=evaluate",
                f"upstream={run}",
                f"stage.source={newest(tmp_path / 'other')}",
                *keys,
            ]
        )
        == 1
    )
    assert "has no validation episodes" in capsys.readouterr().err
    assert (
        main(small("rollout", f"outputs={tmp_path / 'other'}", "seed=9", "env.frame_skip=2")) == 0
    )
    assert (
        main(
            [
                "stage=evaluate",
                f"upstream={run}",
                f"stage.source={newest(tmp_path / 'other')}",
                *keys,
            ]
        )
        == 1
    )
    assert (
        "another environment than the model's, WorldModels/Pellet-v0: frame_skip is 2 and not 1"
        in capsys.readouterr().err
    )


@pytest.mark.slow
def test_other_episodes_are_split_as_they_say(finished: Path, tmp_path: Path) -> None:
    run = trained(finished, tmp_path / "run", "stage.max_steps=1", "stage.data.val_ratio=0.5")
    assert main(small("rollout", f"outputs={tmp_path / 'other'}", "seed=7")) == 0
    other = newest(tmp_path / "other")
    held_out = len(EpisodeStore.open(other / "episodes").episodes("validation"))
    judged = evaluated(run, tmp_path / "judged", f"stage.source={other}")
    assert read_json(judged / "scores.json")["levels"] <= held_out


def test_columns_are_those_promised(run: Path) -> None:
    columns = {path.stem: path.read_text().split("\n")[0].split(",") for path in run.glob("*.csv")}
    assert set(columns["metrics"]) == {
        "step",
        "epoch",
        "lr",
        "loss",
        "mse",
        "motion",
        "unroll",
        "grad_norm",
    }
    assert columns["val_metrics"] == [
        "step",
        "val_loss",
        "val_mse",
        "val_psnr",
        "val_ssim",
        "copy_mse",
        "copy_psnr",
    ]
    assert columns["timing"] == ["step", "seconds", "rate", "frames_per_s"]
    assert [int(row["step"]) for row in read_csv(run / "timing.csv")] == [2, 4, 6, 7], (
        "as often as metrics"
    )
    promised = (
        "step,horizon,n,mse,psnr,ssim,"
        "copy_mse,copy_psnr,mean_mse,fade_mse,skill_copy,skill_best,win_rate"
    )
    assert {*promised.split(","), "shuffled_action_mse", "delta_psnr", "psnr_per_image"} <= set(
        columns[ROLLOUTS[:-4]]
    )
    for row in read_csv(run / "timing.csv"):
        assert float(row["frames_per_s"]) == pytest.approx(8 * float(row["rate"]), rel=0.02)


def test_few_windows_are_told(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained(finished, tmp_path, "stage.max_steps=1")
    assert "for figures to publish have 256 windows and 64 levels" in caplog.text


@pytest.mark.parametrize(
    "keys",
    [
        ["stage.model=pixel_world_model", "stage.width_mult=0.25"],
        pytest.param(
            ["stage.head=residual", "stage.rewards=true", "stage.ends=true", "stage.loss=mse"],
            marks=pytest.mark.slow,
        ),
        ["stage.precision=bfloat16"],
        [
            "stage.head=direct",
            "stage.grayscale=true",
            "stage.image_size=40",
            "stage.n_past_actions=1",
        ],
        [
            "stage.data.num_workers=1",
            "stage.data.prefetch_factor=2",
            "stage.data.val_ratio=0.5",
            "stage.loss=l1",
        ],
    ],
    ids=str,
)
def test_variants(finished: Path, tmp_path: Path, keys: list[str]) -> None:
    run = trained(finished, tmp_path, "stage.max_steps=2", *keys)
    world = load_pixel_predictor(run / "checkpoints/best.pt")
    columns = read_csv(run / "metrics.csv")[0]
    assert ("reward_mse" in columns) == ("end_bce" in columns) == ("stage.rewards=true" in keys)
    assert all(np.isfinite(float(row["val_mse"])) for row in read_csv(run / "val_metrics.csv"))
    if "stage.rewards=true" in keys:
        heads = read_csv(run / "val_head_scores.csv")
        assert [row["name"] for row in heads] == [
            "done_brier",
            "done_auroc",
            "reward_mse",
            "reward_r2",
        ]
        assert "Reward and end of episode, one step ahead" in (run / "report.html").read_text()
        judged = evaluated(run, tmp_path / "judged")
        scores = {
            row["name"]: float(row["value"]) for row in read_csv(judged / "calibration_scores.csv")
        }
        assert [row["name"] for row in read_json(judged / "scores.json")["heads"]] == list(scores)
        assert scores["reward_mse"] == pytest.approx(float(heads[2]["value"]), rel=1e-4)
        assert read_csv(judged / "calibration.csv")
        assert "Reward: predicted and actual" in (judged / "report.html").read_text()
    if "stage.grayscale=true" in keys:
        assert world.mean.shape == (1, 40, 40) and world.model.config["img_channels"] == 1
    if "stage.data.val_ratio=0.5" in keys:
        assert world.val_ratio == 0.5
        rows = read_csv(run / "val_rollout_metrics.csv")
        assert int(rows[0]["levels"]) > 2


@pytest.mark.slow
def test_continuous_actions_and_dreams_of_them(tmp_path: Path) -> None:
    keys = ["stage.episodes=4", "stage.max_steps=25", "stage.workers=0", "stage.val_fraction=0.5"]
    assert main(["stage=rollout", "env=car_racing", *keys, f"outputs={tmp_path}"]) == 0
    command = [
        item
        for item in small("pixel", f"outputs={tmp_path}", "stage.max_steps=2")
        if item != "env=pellet"
    ]
    assert main([*command, "env=car_racing"]) == 0
    dream = open_dream(newest(tmp_path), 3, max_steps=4)
    scores = play(dream, RandomPolicy(dream.env_spec.action_space), [1, 2, 3])
    assert [score.length for score in scores] == [4, 4, 4]
    assert dream.single_action_space.shape == (3,) and dream.single_observation_space.shape == (
        64,
        64,
        3,
    )


@pytest.mark.slow
def test_a_second_chain_takes_what_is_finished(tmp_path: Path) -> None:
    keys = [
        f"stage.{stage}.{item}"
        for stage in ("rollout", "pixel", "evaluate")
        for item in SMALL[stage]
    ]
    command = ["stage=pixel_pipeline", "env=pellet", *keys, f"outputs={tmp_path}", "reuse=true"]
    assert main([*command, "stage.pixel.max_steps=2"]) == 0
    first = newest(tmp_path).parent
    assert main([*command, "stage.pixel.max_steps=2", "stage.evaluate.windows=5"]) == 0
    second = max(tmp_path.glob("*/*/*"))
    assert second != first and [
        (second / part).is_symlink() for part in ("rollout", "pixel", "evaluate")
    ] == [
        True,
        True,
        False,
    ]


@pytest.mark.slow
def test_worker_processes_change_no_number(run: Path, finished: Path, tmp_path: Path) -> None:
    keys = [
        "stage.data.num_workers=2",
        "stage.data.prefetch_factor=2",
        "stage.data.persistent_workers=true",
    ]
    other = trained(finished, tmp_path, *keys)
    assert (run / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["stage.minutes=3"], "give one of stage.max_steps and stage.minutes"),
        (["stage.n_past_actions=5"], "stage.n_past_actions is 5"),
        (["stage.unroll=[1]"], "lists of equal length"),
        (["stage.widths=[10]"], "multiple of 4"),
        (["stage.model=pixel_world_model", "stage.rewards=true"], "are for stage.model=pixel_unet"),
        (["stage.data.pin_memory=true"], "pin_memory=true is for device=cuda"),
        (["stage.data.prefetch_factor=2"], "num_workers is 0"),
        (["stage.image_size=41"], "takes pictures with an even side, not 41"),
        (["stage.image_size=8"], "stage.image_size is 8; it must be at least 16"),
        (["stage.model=pixel_world_model", "stage.image_size=36"], "at least 38 pixels, not 36"),
        (
            ["stage.model=pixel_world_model", "stage.width_mult=0.05"],
            "layers of fewer than 4 channels",
        ),
        (["stage.val_rollout_horizon=500"], "has 504 frames: lower the horizon"),
        (["stage.data.workers=2"], "stage.data.workers is no key"),
    ],
    ids=str,
)
def test_bad_keys_are_refused(
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    keys: list[str],
    message: str,
) -> None:
    command = small("pixel", f"upstream={finished / 'rollout'}", f"outputs={tmp_path / 'o'}", *keys)
    assert main(command) == 1
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1, errors


def test_no_level_is_in_both_splits(tmp_path: Path) -> None:
    keys: dict[str, Any] = {
        "episodes": 6,
        "shard_size": 3,
        "workers": 0,
        "max_steps": 20,
        "policy": "mixed",
    }
    arguments = [f"stage.{key}={value}" for key, value in keys.items()]
    assert (
        main(
            ["stage=rollout", "env=coinrun", "env.num_levels=50", *arguments, f"outputs={tmp_path}"]
        )
        == 0
    )
    rows = read_csv(newest(tmp_path) / "episodes.csv")
    levels = {
        split: {int(row["level"]) for row in rows if row["split"] == split}
        for split in ("train", "validation")
    }
    assert levels["train"] <= set(range(50)) and min(levels["validation"]) >= 50
    store = EpisodeStore.open(newest(tmp_path) / "episodes")
    assert store.manifest["env"]["kwargs"]["num_levels"] == 50
    first = {row.index: store.episode(row).frames[0].tobytes() for row in store.rows}
    for row in rows:  # the level that is written down is the one that was played
        game = make_gym3(
            "coinrun",
            distribution_mode="easy",
            rand_seed=0,
            start_level=int(row["level"]),
            num_levels=1,
        )
        assert game.observe()[1]["rgb"][0].tobytes() == first[int(row["episode"])]
    with pytest.raises(ValueError, match=r"only their own split keeps the levels apart"):
        store.split_again(0.5)


@pytest.mark.slow
def test_the_experiment_leaves_every_file_with_a_tiny_budget(tmp_path: Path) -> None:
    """As README types it, but for its budget: episodes of CoinRun, training,
    evaluation on levels that it has never met.
    """
    rollout = ["episodes=6", "shard_size=3", "max_steps=30", "val_fraction=0.4", "workers=0"]
    pixel = [
        "max_steps=3",
        "minutes=null",
        "widths=[8,12]",
        "condition=16",
        "data.batch_size=8",
        "val_windows=6",
    ]
    keys = [f"stage.rollout.{key}" for key in rollout] + [f"stage.pixel.{key}" for key in pixel]
    keys += [
        "stage.pixel.val_rollout_horizon=5",
        "stage.evaluate.horizon=5",
        "stage.evaluate.windows=6",
    ]
    assert main(["experiment=coinrun_pixel", *keys, f"outputs={tmp_path}"]) == 0
    run = newest(tmp_path)
    promised = [
        *(
            "pixel/metrics.csv",
            "pixel/val_metrics.csv",
            "pixel/val_rollout_metrics.csv",
            "pixel/timing.csv",
        ),
        *("pixel/images/train_step_00000003.png", "pixel/images/val_step_00000003.png"),
        *(
            "pixel/videos/val_rollout_step_00000003.mp4",
            "pixel/plots/val_rollout_step_00000003.png",
        ),
        *("pixel/checkpoints/best.pt", "pixel/checkpoints/last.pt", "evaluate/rollout_metrics.csv"),
        *("evaluate/videos/rollout.mp4", "evaluate/videos/rollout.gif", "evaluate/scores.json"),
        *(
            "evaluate/plots/rollout_metrics_vs_horizon.png",
            "report.html",
            "config.yaml",
            "manifest.json",
        ),
    ]
    assert {name: (run / name).stat().st_size > 40 for name in promised} == dict.fromkeys(
        promised, True
    )
    assert all(len(path.read_text().splitlines()) > 1 for path in run.glob("*/*.csv"))
    levels = {(row["split"], int(row["level"])) for row in read_csv(run / "rollout/episodes.csv")}
    assert (
        all((level < 10000) == (split == "train") for split, level in levels) and len(levels) == 6
    )
