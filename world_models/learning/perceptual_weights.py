"""The weights of LPIPS, from files that the user has put into a folder."""

from pathlib import Path

import torch

from world_models.models.perceptual import Lpips, weight_shapes
from world_models.runs.checkpoint import UNREADABLE
from world_models.runs.files import require_regular
from world_models.runs.folder import display_path

VGG_FILE, LINEAR_FILE = "vgg16.pth", "lpips.pth"
"""Weights of VGG16 as torchvision names them, and LPIPS's own five linear maps."""
HOW = (
    f"put torchvision's vgg16-397923af.pth there as {VGG_FILE} and the vgg.pth of LPIPS 0.1 as "
    f"{LINEAR_FILE}, or set stage.perceptual=multiscale, which needs none"
)


def require_weight_files(folder: str | None) -> list[Path]:
    """The two files in a folder; a key that is not set, and a file that is not there: ValueError.

    Nothing is ever fetched.
    """
    if folder is None:
        raise ValueError(
            "stage.perceptual=lpips needs stage.perceptual_weights, a folder with its weights: "
            f"{HOW}"
        )
    paths = [Path(folder) / name for name in (VGG_FILE, LINEAR_FILE)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise ValueError(
            f"stage.perceptual_weights={folder} has no file {' and no '.join(missing)}: {HOW}"
        )
    return paths


def load_lpips(folder: str | None, device: str) -> Lpips:
    """LPIPS with the weights of a folder; others than its own are a ValueError."""
    weights: dict[str, torch.Tensor] = {}
    vgg_path, linear_path = require_weight_files(folder)
    vgg, linear = _read(vgg_path), _read(linear_path)
    for name, shape in weight_shapes().items():
        path, tensors = (linear_path, linear) if name.startswith("lin") else (vgg_path, vgg)
        found = tensors.get(name)
        if found is None or tuple(found.shape) != shape:
            what = "is missing" if found is None else f"is {tuple(found.shape)}"
            raise ValueError(
                f"{display_path(path)} is not what LPIPS needs: {name} {what}, where it must be "
                f"{shape}; {HOW}"
            )
        weights[name] = found
    return Lpips(weights).to(device)


def _read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file, by name."""
    require_regular(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
    except UNREADABLE:
        raise ValueError(f"{display_path(path)} is damaged, or no file of weights: {HOW}") from None
