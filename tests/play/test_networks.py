"""ONNX files, run by ONNX Runtime, give what torch and numpy give."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from world_models.agents.agent import load_agent
from world_models.agents.control import ControllerPolicy
from world_models.agents.trained import find_agent
from world_models.envs.config import Backend
from world_models.play import networks
from world_models.play.cast import Cast, cast_of_agent
from world_models.play.networks import TOLERANCE, networks_of, write_networks
from world_models.runs.files import read_json

ROWS = 5


def close(given: np.ndarray, expected: torch.Tensor | np.ndarray) -> None:
    np.testing.assert_allclose(given, np.asarray(expected), rtol=TOLERANCE, atol=TOLERANCE)


def run(folder: Path, name: str, **reads: torch.Tensor) -> dict[str, np.ndarray]:
    """What a file gives, by name."""
    session = onnxruntime.InferenceSession(
        folder / f"{name}.onnx", providers=["CPUExecutionProvider"]
    )
    outputs = [output.name for output in session.get_outputs()]
    given = {key: value.numpy() for key, value in reads.items()}
    return dict(zip(outputs, session.run(outputs, given), strict=True))


@torch.inference_mode()
def as_in_torch(cast: Cast, folder: Path) -> None:
    """Every network on other inputs than those with which it was checked, and more of them."""
    model, rng = cast.model, torch.Generator().manual_seed(1)
    assert model is not None and cast.controller is not None
    frames = torch.rand(ROWS, model.vae.config["img_channels"], 64, 64, generator=rng)
    mean, log_std = model.vae.encoder(frames)
    told = run(folder, "encoder", frames=frames)
    close(told["mean"], mean)
    close(told["log_std"], log_std)
    close(run(folder, "decoder", z=mean)["pictures"], model.vae.decoder(mean))
    h, c = (torch.rand(ROWS, model.mdrnn.hiddens, generator=rng) * 2 - 1 for _ in "hc")
    numbers = np.random.default_rng(0)
    actions = cast.env.action_space.to_model(cast.env.action_space.sample(numbers, ROWS))
    executed = torch.from_numpy(actions)
    *expected, hidden = model.cell(executed, mean, (h, c))
    told = run(folder, "memory", action=executed, z=mean, h=h, c=c)
    for given, value in zip(told.values(), (*expected, *hidden), strict=True):
        close(given, value)
    seen = {"z": mean, "h": h, "c": c}
    reads = read_json(folder / "about.json")["networks"]["controller"]["reads"]
    policy = ControllerPolicy(model.controller_inputs, cast.env.action_space, cast.controller[None])
    policy.reset(range(ROWS))
    acted = policy.act(model.features(mean, h, c), np.arange(ROWS))
    told = run(folder, "controller", **{name: seen[name] for name in reads})
    assert told["action"].dtype == acted.dtype
    close(told["action"], acted)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["packaged", "pellet"])
def test_every_network_gives_what_torch_gives(which: str, cast: Cast, tmp_path: Path) -> None:
    if which == "packaged":
        cast = cast_of_agent(load_agent(find_agent("car_racing")), Backend.gymnasium)
    distances = write_networks(cast, tmp_path)
    assert all(distance <= TOLERANCE for distance in distances.values())
    names = ["controller", "decoder", "encoder", "memory"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "about.json",
        *(f"{name}.onnx" for name in names),
    ]
    about = read_json(tmp_path / "about.json")
    assert about["env"] == cast.env.to_dict() and sorted(about["networks"]) == names
    as_in_torch(cast, tmp_path)


def test_without_a_controller_there_is_none(cast: Cast) -> None:
    names = [network.name for network in networks_of(replace(cast, controller=None))]
    assert names == ["encoder", "decoder", "memory"]


def test_a_network_that_differs_is_not_written(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "TOLERANCE", 0.0)
    with pytest.raises(ValueError, match=r"encoder\.onnx is not written"):
        write_networks(cast, tmp_path)
    assert list(tmp_path.iterdir()) == []
