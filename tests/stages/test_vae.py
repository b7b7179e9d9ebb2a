"""Stage vae: its keys, its tables, what it says of the best V,
and that resuming changes none of it.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import misfits, newest, small
from equality import assert_equal_runs, fails_at

from world_models.config.stage import Setting
from world_models.data.store import EpisodeStore
from world_models.envs import families
from world_models.envs.make import Backend, EnvConfig, make_spec
from world_models.losses import latent_kl
from world_models.main import main
from world_models.measures.vision import LatentStatistics
from world_models.models.convvae import VAES, ConvVAE
from world_models.runs.checkpoint import load_checkpoint, save_checkpoint
from world_models.runs.device import Device, Precision
from world_models.runs.files import read_json, sha256
from world_models.runs.metrics import read_csv
from world_models.runs.past import PastRun
from world_models.runs.run import Run
from world_models.runs.threads import use_threads
from world_models.runs.training import Training
from world_models.stages.vae import SILENT, pace, watching
from world_models.stages.vae.config import VAEConfig, resolve
from world_models.stages.vae.learning import build, flipped, loss_terms

COLUMNS = [
    "epoch",
    "step",
    "loss",
    "reconstruction",
    "kl",
    "psnr",
    "psnr_moving",
    "active",
    "at_floor",
]
UNCHANGED = ["stage.learning_rate=1e-12", "stage.num_epochs=1"]


def train(finished: Path, outputs: Path, *keys: str) -> Path:
    assert main(small("vae", f"upstream={finished / 'rollout'}", *keys, f"outputs={outputs}")) == 0
    return newest(outputs)


def validation_frames(finished: Path) -> tuple[np.ndarray, np.ndarray]:
    """Held-out frames (N, 64, 64, C) of Pellet, and those before them."""
    store = EpisodeStore.open(finished / "rollout/episodes")
    episodes = [np.asarray(store.episode(row).frames) for row in store.episodes("validation")]
    return np.concatenate(episodes), np.concatenate(
        [np.concatenate([part[:1], part[:-1]]) for part in episodes]
    )


def best(run: Path) -> ConvVAE:
    state = load_checkpoint(run / "checkpoints/best.pt", "vae")
    model = VAES[state["architecture"]](**state["config"])
    model.load_state_dict(state["model"])
    return model.eval()


def test_tables_have_their_columns(finished: Path) -> None:
    rows = read_csv(finished / "vae/val_metrics.csv")
    assert list(rows[0]) == COLUMNS and len(rows) == 2
    table = read_csv(finished / "vae/baselines.csv")
    assert [(row["name"], row["components"]) for row in table] == [
        ("PCA", "4"),
        ("mean image", "0"),
    ]
    assert list(table[0]) == ["name", "components", "mse", "psnr", "psnr_moving"]
    text = (finished / "vae/log.txt").read_text()
    assert re.search(
        (
            r"epoch 2: .*KL \d+\.\d\d nats\), "
            r"PSNR \d+\.\d\d dB \(PCA [\d.]+, mean image [\d.]+\), \d lat"
        ),
        text,
    )


def test_quality_is_that_of_the_best_v(finished: Path) -> None:
    quality = read_json(finished / "vae/quality.json")
    frames, before = validation_frames(finished)
    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    model = best(finished / "vae")
    with torch.no_grad():
        mu, logsigma = model.encoder(x)
        squared = (model.decoder(mu) - x).square().permute(0, 2, 3, 1).double().numpy()
    moving = (np.abs(frames.astype(int) - before) > 8).any(-1)
    ours = quality["pictures"][0]
    assert ours["psnr"] == pytest.approx(-10 * np.log10(squared.mean()), abs=1e-4)
    assert ours["psnr_moving"] == pytest.approx(-10 * np.log10(squared[moving].mean()), abs=1e-4)
    assert quality["moving"] == pytest.approx(moving.mean()) and 0 < moving.mean() < 0.5
    kl = (-0.5 * (1 + 2 * logsigma - mu**2 - (2 * logsigma).exp())).double().mean(0)
    np.testing.assert_allclose(quality["kl_per_latent"], kl, rtol=1e-4)
    assert quality["kl"] == pytest.approx(float(kl.sum()), rel=1e-4)
    assert quality["active"] == int((mu.double().var(0, correction=0) > 0.01).sum())
    assert (quality["frames"], quality["split"], quality["latent_size"]) == (
        len(frames),
        "validation",
        4,
    )


def test_quality_repeats_the_best_epoch_and_the_baselines(finished: Path) -> None:
    quality = read_json(finished / "vae/quality.json")
    row = min(read_csv(finished / "vae/val_metrics.csv"), key=lambda row: float(row["loss"]))
    found = {**quality, **quality["pictures"][0]}
    # it may be bfloat16
    assert all(found[name] == pytest.approx(float(row[name]), rel=0.02) for name in COLUMNS[2:])
    table = [
        {**row, "components": int(row["components"])}
        for row in read_csv(finished / "vae/baselines.csv")
    ]
    assert [
        {name: str(value) for name, value in row.items()} for row in quality["pictures"][1:]
    ] == [{name: str(value) for name, value in row.items()} for row in table]


def a_run(path: Path) -> Run:
    env = make_spec(EnvConfig(id="WorldModels/Pellet-v0"))
    return Run(path, 0, Device.cpu, Backend.gymnasium, env)


def test_free_bits_and_weight_are_in_the_loss_and_not_in_the_kl(tmp_path: Path) -> None:
    model = build(VAEConfig(latent_size=4), a_run(tmp_path)).model
    x = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    x[:3] *= 5  # far from the prior
    with torch.no_grad():
        for weight in model.encoder.fc_mu.parameters():
            weight.mul_(20)
        mu, logsigma = model.encoder(x)
    kl = latent_kl(mu, logsigma).sum(1)
    floor = float(kl.median()) + 1e-3
    cfg = VAEConfig(
        latent_size=4, kl_tolerance=floor / 4, kl_weight=0.5, precision=Precision.float32
    )
    draw = torch.Generator().manual_seed(0)
    loss, terms, posterior = loss_terms(cfg, Device.cpu, model, x, draw)
    assert kl.min() < floor < kl.max()
    torch.testing.assert_close(terms["kl"], kl.mean())
    torch.testing.assert_close(loss, terms["reconstruction"] + 0.5 * kl.clamp(min=floor).mean())
    torch.testing.assert_close(posterior, (mu, logsigma))


def test_nothing_is_compiled_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert VAEConfig().compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda *rest, **options: pytest.fail("compiled")
    )
    build(VAEConfig(), a_run(tmp_path))


def test_flipped_frames_are_mirrored_left_to_right() -> None:
    frames = torch.randint(
        0, 256, (200, 4, 6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    found = flipped(frames, torch.Generator().manual_seed(1))
    mirrored = [bool((found[i] != frames[i]).any()) for i in range(200)]
    assert 70 < sum(mirrored) < 130
    assert all(torch.equal(found[i], frames[i].flip(1)) for i in range(200) if mirrored[i])


@pytest.mark.slow
def test_flips_change_training_and_survive_a_cut(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(finished, tmp_path / "whole", "stage.horizontal_flip=true")
    arguments = small("vae", f"upstream={finished / 'rollout'}", "stage.horizontal_flip=true")
    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", fails_at(40, Training.update))
        assert main([*arguments, f"outputs={tmp_path / 'cut'}"]) == 130
    cut = newest(tmp_path / "cut")
    with monkeypatch.context() as patch:
        patch.setattr(watching, "baselines", lambda *rest: pytest.fail("they are known already"))
        assert main([f"resume={cut}"]) == 0
    assert_equal_runs(whole, cut)
    assert (whole / "baselines.csv").read_bytes() == (finished / "vae/baselines.csv").read_bytes()
    plain, mirrored = ((run / "metrics.csv").read_bytes() for run in (finished / "vae", whole))
    assert plain != mirrored


@pytest.mark.slow
def test_what_moves_weighs_more_and_is_counted_and_survives_a_cut(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [replace(family, bright_movers=True) for family in families.FAMILIES]
    monkeypatch.setattr(families, "FAMILIES", tuple(rows))
    whole = train(finished, tmp_path / "whole", "stage.motion_weight=8")
    arguments = small("vae", f"upstream={finished / 'rollout'}", "stage.motion_weight=8")
    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", fails_at(40, Training.update))
        assert main([*arguments, f"outputs={tmp_path / 'cut'}"]) == 130
    assert main([f"resume={newest(tmp_path / 'cut')}"]) == 0
    assert_equal_runs(whole, newest(tmp_path / "cut"))
    sizes = ["1 to 3", "4 to 9", "10 to 29", "30 or more", "all"]
    assert misfits(whole) == []
    table = read_csv(whole / "blobs.csv")
    assert [(row["name"], row["pixels"]) for row in table] == [
        (name, pixels) for name in ("V", "PCA") for pixels in sizes
    ]
    assert int(table[4]["blobs"]) == int(table[9]["blobs"]) > 0
    assert (whole / "images/blobs.png").is_file()
    assert not (finished / "vae/blobs.csv").exists()
    rows_of_both = [read_csv(run / "val_metrics.csv")[0] for run in (whole, finished / "vae")]
    shares = [float(row["loss"]) / float(row["reconstruction"]) for row in rows_of_both]
    assert shares[0] > 2 and shares[1] == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_a_cut_before_the_first_checkpoint_changes_no_baseline(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = small("vae", f"upstream={finished / 'rollout'}", f"outputs={tmp_path}")
    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", fails_at(3, Training.update))
        assert main(arguments) == 130
    assert main([f"resume={newest(tmp_path)}"]) == 0
    assert_equal_runs(finished / "vae", newest(tmp_path))


@pytest.mark.slow
def test_training_begins_at_the_weights_it_starts_from_and_goes_on_without_them(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pipeline)
    path, keys = pipeline / "vae/checkpoints/best.pt", [*UNCHANGED, "stage.start_from=vae"]
    whole = train(pipeline, tmp_path / "whole", *keys)
    theirs = min(float(row["loss"]) for row in read_csv(pipeline / "vae/val_metrics.csv"))
    assert float(read_csv(whole / "val_metrics.csv")[0]["loss"]) == pytest.approx(theirs, rel=1e-6)
    assert f"start_from: {path}" in (whole / "config.yaml").read_text()
    inputs = {item["kind"]: item for item in read_json(whole / "manifest.json")["inputs"]}
    assert inputs["start_from"]["sha256"] == sha256(path)
    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", fails_at(10, Training.update))
        assert (
            main(
                small(
                    "vae", f"upstream={pipeline / 'rollout'}", *keys, f"outputs={tmp_path / 'cut'}"
                )
            )
            == 130
        )
    path.unlink()
    assert main([f"resume={newest(tmp_path / 'cut')}"]) == 0
    assert_equal_runs(whole, newest(tmp_path / "cut"))


def test_a_folder_stands_for_its_best_checkpoint(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished)
    setting = Setting(PastRun(finished / "vae").env, Device.cpu)
    path = finished / "vae/checkpoints/best.pt"
    for given in ("vae", "vae/checkpoints/best.pt", str(path)):
        cfg = resolve(VAEConfig(4, model="conv_small", start_from=given), setting)
        assert cfg.start_from == str(path)
    assert resolve(VAEConfig(), setting) == VAEConfig()


REFUSED = {
    "missing": r"missing/best\.pt does not exist",
    "mdrnn": r"holds a checkpoint of kind 'mdrnn' where 'vae' or 'agent' is needed",
    "rollout": r"rollout/checkpoints/best\.pt does not exist: finish the vae stage first",
    "size": (
        r"does not fit: it has img_channels=3, latent_size=4, model=conv_small "
        r"and this run img_channels=3, latent_size=5, model=conv_small; "
        r"set stage\.model, stage\.latent_size and env\.grayscale as they were there"
    ),
    "channels": (
        r"does not fit: it has img_channels=1, latent_size=4, model=conv_small "
        r"and this run img_channels=3, latent_size=4, model=conv_small"
    ),
    "kind": (
        r"does not fit: it has img_channels=3, latent_size=4, model=conv "
        r"and this run img_channels=3, latent_size=4, model=conv_small"
    ),
    "damaged": r"is truncated or no checkpoint of ours",
}


@pytest.mark.parametrize("fault", REFUSED)
def test_weights_that_do_not_fit_are_refused_before_anything_is_written(
    finished: Path, tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    grey, large, damaged = (tmp_path / name for name in ("grey.pt", "large.pt", "damaged.pt"))
    small_one = {"architecture": "conv_small", "model": {}}
    save_checkpoint(grey, "vae", {"config": {"img_channels": 1, "latent_size": 4}, **small_one})
    save_checkpoint(large, "vae", {"config": {"img_channels": 3, "latent_size": 4}, "model": {}})
    damaged.write_bytes(b"no")
    given = {
        "missing": tmp_path / "missing/best.pt",
        "size": finished / "vae",
        "channels": grey,
        "kind": large,
        "damaged": damaged,
    }
    path = given.get(fault, finished / fault)
    size = 5 if fault == "size" else 4
    keys = [
        f"upstream={finished / 'rollout'}",
        f"stage.start_from={path}",
        f"stage.latent_size={size}",
    ]
    assert main([*small("vae", *keys), f"outputs={tmp_path / 'outputs'}"]) == 1
    error = capsys.readouterr().err
    assert re.search(REFUSED[fault], error) and error.count("\n") == 1, error
    assert not (tmp_path / "outputs").exists()


def test_a_pipeline_settles_where_its_v_starts_from(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "stage=pipeline",
        "env=pellet",
        f"stage.vae.start_from={finished / 'vae'}",
        f"outputs={tmp_path / 'o'}",
    ]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "latent_size=4, model=conv_small and this run img_channels=3, latent_size=32" in error
    assert not (tmp_path / "o").exists()


def test_compiled_weights_keep_their_plain_names(tmp_path: Path) -> None:
    model = ConvVAE(3, 4)
    names = list(model.state_dict())
    model.compile(backend="eager")
    x, noise = torch.rand(2, 3, 64, 64), torch.zeros(2, 4)
    recon, _, _ = model(x, noise=noise)
    save_checkpoint(tmp_path / "v.pt", "vae", {"config": model.config, "model": model.state_dict()})
    state = load_checkpoint(tmp_path / "v.pt", "vae")
    plain = ConvVAE(**state["config"])
    plain.load_state_dict(state["model"])
    assert list(state["model"]) == names
    torch.testing.assert_close(plain(x, noise=noise)[0], recon)


def test_one_thread_trains_where_several_wait_for_each_other(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed run keeps to it, whatever would be measured then."""
    seen = []

    def update(self: Training[ConvVAE], *given: Any, **more: Any) -> None:
        seen.append(torch.get_num_threads())
        real(self, *given, **more)

    real = Training.update
    monkeypatch.setattr(pace, "seconds_per_step", lambda *_: float(torch.get_num_threads()))
    keys = ["stage.minutes=0.1", "stage.checkpoint_interval=1", "threads=2"]
    upstream = f"upstream={finished / 'rollout'}"
    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", fails_at(3, update))
        assert main(small("vae", upstream, *keys, f"outputs={tmp_path}")) == 130
    monkeypatch.setattr(pace, "seconds_per_step", lambda *_: 1e-9)
    monkeypatch.setattr(Training, "update", update)
    assert main([f"resume={newest(tmp_path)}"]) == 0
    assert set(seen) == {1} and torch.get_num_threads() == 2


@pytest.mark.parametrize(("alone", "chosen"), [(1.0, 2), (0.9, 2), (0.5, 1)])
def test_several_threads_train_unless_one_is_clearly_quicker(alone: float, chosen: int) -> None:
    use_threads(2)
    found = pace.quickest(lambda: alone if torch.get_num_threads() == 1 else 1.0, 2)
    assert found == (chosen, alone if chosen == 1 else 1.0)


@pytest.mark.slow
def test_minutes_become_frames_once(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two epochs of 0.1 minutes together, at 2 seconds for a step of 16 frames: 1.5 steps each."""
    monkeypatch.setattr(pace, "seconds_per_step", lambda *_: 2.0)
    whole = train(finished, tmp_path / "whole", "stage.minutes=0.1")
    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", fails_at(3, Training.update))
        keys = ["stage.minutes=0.1", "stage.checkpoint_interval=1"]
        upstream = f"upstream={finished / 'rollout'}"
        assert main(small("vae", upstream, *keys, f"outputs={tmp_path / 'cut'}")) == 130
    monkeypatch.setattr(pace, "seconds_per_step", lambda *_: 1e-9)
    cut = newest(tmp_path / "cut")
    assert main([f"resume={cut}"]) == 0
    for run in (whole, cut):
        state = load_checkpoint(run / "checkpoints/last.pt", "vae")
        assert (state["step"], state["epoch"], state["frames_per_epoch"]) == (4, 2, 32)
        steps = [row["step"] for row in read_csv(run / "val_metrics.csv")]
        assert steps == ["2", "4"]
    best = [load_checkpoint(run / "checkpoints/best.pt", "vae")["model"] for run in (whole, cut)]
    assert all(torch.equal(weight, best[1][name]) for name, weight in best[0].items())


@pytest.mark.slow
def test_without_haste_an_epoch_has_all_frames(finished: Path, tmp_path: Path) -> None:
    hurried = train(finished, tmp_path / "hurried", "stage.minutes=100", "stage.num_epochs=1")
    plain = train(finished, tmp_path / "plain", "stage.num_epochs=1")
    models = [
        load_checkpoint(run / "checkpoints/best.pt", "vae")["model"] for run in (hurried, plain)
    ]
    assert all(torch.equal(weight, models[1][name]) for name, weight in models[0].items())


@pytest.mark.parametrize("active", [0, 3])
def test_it_says_when_no_latent_says_anything(
    active: int, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LatentStatistics, "active", active)
    run = train(finished, tmp_path, *UNCHANGED)
    assert (SILENT in (run / "log.txt").read_text()) == (active == 0)
