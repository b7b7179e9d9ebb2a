"""Checkpoints are parsed, not trusted: bytes, names, tensors, fields and positions."""

import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from world_models.models.convvae import ConvVAE
from world_models.models.mdrnn import MDRNN
from world_models.runs.checkpoint import Trained, load_checkpoint, save_checkpoint
from world_models.runs.device import Device
from world_models.runs.files import read_json, write_json
from world_models.runs.metrics import MetricsLog
from world_models.runs.run import Run
from world_models.runs.schedule import EarlyStopping, plateau, warmup_cosine
from world_models.runs.training import Average, Training
from world_models.runs.weights import model_of


class Small(nn.Linear):
    """A model of eight weights, with a config as checkpoints want it."""

    def __init__(self, inputs: int = 3, outputs: int = 2) -> None:
        super().__init__(inputs, outputs)
        self.config = {"inputs": inputs, "outputs": outputs}


def trained(kind: str) -> Training[Small]:
    """A training at step 0: by epochs, as V's and M's, or by steps, as a pixel model's."""
    torch.manual_seed(0)
    model = Small()
    optimizer = (torch.optim.Adam if kind == "steps" else torch.optim.RMSprop)(
        model.parameters(), lr=0.1
    )
    by_steps = kind == "steps"
    scheduler = warmup_cosine(optimizer, 20, 0.2) if by_steps else plateau(optimizer, 0.5, 1)
    average = Average(model, 0.9) if by_steps else None
    stopper = EarlyStopping(3)
    carried = () if by_steps else (torch.zeros(2, 4),)
    return Training("toy", model, optimizer, scheduler, stopper, average=average, carried=carried)


def a_run(path: Path) -> Run:
    path.mkdir(exist_ok=True)
    manifest = {"stage": "toy", "inputs": []}
    return Run(path, 0, Device.cpu, "gymnasium", {}, manifest=manifest)


def train(run: Run, kind: str) -> Path:
    """Some steps of training, and where they were saved."""
    training, metrics = trained(kind), MetricsLog(run.path)
    for step in range(6):
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
        loss = training.model(x).square().mean()
        training.update(loss, {"loss": loss}, metrics)
        if kind == "epochs" and step == 3:
            training.end_epoch(float(loss.detach()))
    training.save(run, metrics)
    return training.last(run)


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the content of a checkpoint; it is written as torch writes it."""
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def put(place: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    """A change of one field, by its place."""
    *above, last = [int(key) if key.isdigit() else key for key in place.split("/")]

    def change(content: Any) -> None:
        for key in above:
            content = content[key]
        if value is MISSING:
            del content[last]
        else:
            content[last] = value(content[last]) if callable(value) else value

    return change


MISSING = object()
NAN = float("nan")
ODD = {
    "epoch": [-5, 99, 1.0, "1", None, True, 10**30, MISSING],
    "step": [-7, 7, 6.0, 10**12, [6], MISSING],
    "batch": [-1, 7, 10**9, MISSING],
    "model/weight": [
        lambda weight: weight * NAN,
        lambda weight: weight / 0,
        lambda weight: weight.to(torch.int8),
        lambda weight: weight.double(),
        lambda weight: weight[:1],
        lambda weight: weight[:1].expand(10**6, 3),
        "weight",
        MISSING,
    ],
    "config": [{}, {"inputs": 4, "outputs": 2}, "Small", MISSING],
    "optimizer/state/0": [{}, MISSING, 3],
    "optimizer/state/0/step": [lambda step: step - 1, lambda step: -step, MISSING],
    "optimizer/param_groups": [[], "adam"],
    "optimizer/param_groups/0/lr": [-1.0, 5.0, NAN, "0.1"],
    "scheduler/last_epoch": [-1, 3.0, 99, MISSING],
    "stopper/waited": [-1, 50, "0", MISSING],
    "stopper/best": [NAN, "0", MISSING],
    "window": [[torch.zeros(9)], [torch.zeros(1) * NAN], "window", MISSING],
    "names": [("a", "b"), 3],
    "csv_offsets": [{"metrics": -1}, {"metrics": 1.5}, ["metrics"], MISSING],
    "inputs": [[{"kind": "vae"}], "none", MISSING],
    "kind": ["vae", ["toy"], MISSING],
    "schema": [2, "1", MISSING],
}


@pytest.mark.parametrize("kind", ["epochs", "steps"])
@pytest.mark.parametrize("place", ODD)
def test_a_last_pt_in_which_something_cannot_be_is_refused(
    tmp_path: Path, place: str, kind: str
) -> None:
    run = a_run(tmp_path / "run")
    path = train(run, kind)
    shutil.copy(path, tmp_path / "whole.pt")
    for value in ODD[place]:
        shutil.copy(tmp_path / "whole.pt", path)
        edit(path, put(place, value))
        before = (run.path / "metrics.csv").exists()
        with pytest.raises(ValueError, match=r"last\.pt"):
            trained(kind).resume(run)
        assert (run.path / "metrics.csv").exists() == before


@pytest.mark.parametrize(
    ("kind", "place", "value"),
    [
        ("steps", "average", None),
        ("steps", "average/updates", 2),
        ("steps", "average/model/bias", lambda bias: bias.half()),
        ("steps", "optimizer/state/1/exp_avg_sq", lambda moment: -moment - 1),
        ("epochs", "optimizer/state/1/square_avg", lambda moment: moment[:1]),
        ("epochs", "scheduler/best", "low"),
        ("epochs", "scheduler/num_bad_epochs", 7),
        ("epochs", "carried", ()),
        ("epochs", "carried", (torch.zeros(2, 5),)),
    ],
)
def test_what_only_one_kind_of_training_has_is_checked_too(
    tmp_path: Path, kind: str, place: str, value: Any
) -> None:
    run = a_run(tmp_path / "run")
    edit(train(run, kind), put(place, value))
    with pytest.raises(ValueError, match=r"last\.pt"):
        trained(kind).resume(run)


@pytest.mark.parametrize("kind", ["epochs", "steps"])
def test_what_was_saved_comes_back_whatever_else_the_checkpoint_claims(
    tmp_path: Path, kind: str
) -> None:
    run = a_run(tmp_path / "run")
    path = train(run, kind)
    edit(path, put("optimizer/param_groups/0/weight_decay", 0.5))
    edit(path, put("scheduler/step", "no method"))
    training = trained(kind)
    training.resume(run)
    assert training.step == 6 and training.optimizer.param_groups[0]["weight_decay"] == 0
    assert callable(training.scheduler.step)
    training.save(run, MetricsLog(tmp_path))
    edited, again = (torch.load(each, weights_only=True) for each in (path, training.last(run)))
    assert torch.equal(edited["model"]["weight"], again["model"]["weight"])


def test_every_changed_byte_is_found_or_changes_nothing(tmp_path: Path) -> None:
    path = train(a_run(tmp_path / "run"), "steps")
    whole = path.read_bytes()
    weight = torch.load(path, weights_only=True)["model"]["weight"]
    refused = 0
    for number in range(0, len(whole), len(whole) // 150):
        path.write_bytes(
            whole[:number] + bytes([whole[number] ^ 1 << number % 8]) + whole[number + 1 :]
        )
        try:
            state = load_checkpoint(path, "toy", fields=Trained)
        except ValueError as error:
            refused += 1
            assert str(path) in str(error)
        else:
            assert torch.equal(state["model"]["weight"], weight) and state["step"] == 6
    assert refused > 30


def packed(path: Path, pickled: bytes, how: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")


@pytest.mark.parametrize(
    ("pickled", "how"),
    [
        (b"cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR.", zipfile.ZIP_STORED),
        (pickle.dumps(os.getcwd, 4), zipfile.ZIP_STORED),
        (pickle.dumps({"kind": "vae", "pad": "0" * 10**7}, 2), zipfile.ZIP_DEFLATED),
        (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", zipfile.ZIP_STORED),
    ],
)
def test_archives_that_ask_for_more_than_they_hold_are_refused(
    tmp_path: Path, pickled: bytes, how: int
) -> None:
    packed(tmp_path / "last.pt", pickled, how)
    with pytest.raises(ValueError, match=r"last\.pt is (truncated or )?no checkpoint of ours"):
        load_checkpoint(tmp_path / "last.pt", "vae")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_only_a_regular_file_is_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "best.pt")
    with pytest.raises(ValueError, match=r"best\.pt is no regular file"):
        load_checkpoint(tmp_path / "best.pt", "vae")


@pytest.mark.parametrize(
    "config",
    [
        {"img_channels": 3, "latent_size": 10**9},
        {"img_channels": 3, "latent_size": -4},
        {"img_channels": 3, "latent_size": 4.0},
        {"img_channels": 3, "latent_size": True},
        {"img_channels": 3, "latent_size": 10**40},
        {"img_channels": 3},
        {"img_channels": 3, "latent_size": 4, "more": 1},
    ],
)
def test_a_model_is_made_only_of_sizes_that_its_weights_have(config: dict[str, Any]) -> None:
    state = {"config": config, "model": {"weight": torch.zeros(2)}}
    with pytest.raises(ValueError, match=r"best\.pt"):
        model_of(ConvVAE, state, "best.pt")


def test_weights_in_half_precision_are_taken_where_they_may_be() -> None:
    model = MDRNN(2, 1, 3, 2)
    halves = {name: value.half() for name, value in model.state_dict().items()}
    state = {"config": model.config, "model": halves}
    with pytest.raises(ValueError, match=r"gmm_linear\.weight is torch\.float16"):
        model_of(MDRNN, state, "best.pt")
    again = model_of(MDRNN, state, "agent.pt", half=True)
    assert torch.equal(again.gmm_linear.weight, halves["gmm_linear.weight"].float())


@pytest.mark.parametrize("writes", [False, True])
def test_a_finished_run_stays_finished_where_going_on_fails_at_once(
    tmp_path: Path, writes: bool
) -> None:
    finished = {"stage": "toy", "status": "finished", "resumed": [], "wall_seconds": 3.0}
    write_json(tmp_path / "manifest.json", finished)
    run = a_run(tmp_path)
    run.manifest = {**finished, "resumed": [{"overrides": ["stage.num_epochs=9"]}]}
    with pytest.raises(ValueError, match="damaged"), run.recording():
        if writes:
            save_checkpoint(run.last, "toy", {})
        raise ValueError("last.pt is damaged")
    found = read_json(tmp_path / "manifest.json")
    assert found == finished if not writes else found["status"] == "failed"


def test_a_device_that_is_not_there_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "best.pt"
    save_checkpoint(path, "toy", {})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device, said in (("cuda", "torch finds no GPU here: use cpu"), ("auto", "use cpu or cuda")):
        with pytest.raises(ValueError, match=f"device={device} .*{said}"):
            load_checkpoint(path, "toy", device)
