"""V's part of the report: numbers beside their baselines, plots with levels, pictures,
and calm about what is missing.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report.fabricated import vision_row, write_rows

from world_models.figures.media import save_png
from world_models.figures.plots import HALF, bars
from world_models.measures.rows import BaselineRow, BlobRow
from world_models.report.page import Section
from world_models.report.sections import make_section

BASELINES = [
    BaselineRow(name="PCA", components=16, mse=0.005, psnr=23.0, psnr_moving=19.0),
    BaselineRow(name="mean image", components=0, mse=0.03, psnr=15.0, psnr_moving=14.0),
]
QUALITY = {
    "pictures": [
        {"name": "V", "components": 16, "mse": 0.007, "psnr": 21.54, "psnr_moving": 16.04},
        {"name": "PCA", "components": 16, "mse": 0.005, "psnr": 23.01, "psnr_moving": 9.04},
        {"name": "mean image", "components": 0, "mse": 0.03, "psnr": 15.2, "psnr_moving": None},
    ],
    "active": 14,
    "latent_size": 16,
    "at_floor": 0.25,
    "kl_tolerance": 0.5,
    "kl_per_latent": [0.1, 3.0, 0.2, 1.0],
}


def section(
    folder: Path, quality: Any = QUALITY, baselines: Sequence[BaselineRow] = BASELINES
) -> Section:
    write_rows(folder / "val_metrics.csv", [vision_row(1, 90.0), vision_row(2, 80.0)])
    write_rows(folder / "baselines.csv", baselines)
    (folder / "quality.json").write_text(
        quality if isinstance(quality, str) else json.dumps(quality)
    )
    for name in ("reconstructions_0001", "reconstructions", "traversals", "prior"):
        save_png(folder / "images" / f"{name}.png", np.zeros((8, 8, 3), np.uint8))
    return make_section(folder, "vae", {}, "finished")


def test_facts_stand_beside_their_baselines(tmp_path: Path) -> None:
    facts = dict(section(tmp_path).facts)
    assert facts["PSNR"] == "21.5 dB (PCA 23.0, mean image 15.2)"
    assert facts["PSNR of what moves"] == "16.0 dB (PCA 9.0, mean image –)"
    assert facts["Active latents"] == "14 of 16" and facts["Latents at the floor"] == "25%"


def test_bright_moving_things_stand_in_a_table_by_their_sizes(tmp_path: Path) -> None:
    def row(name: str, pixels: str, recall: float, precision: float) -> BlobRow:
        return BlobRow(
            name=name, pixels=pixels, blobs=8, recall=recall, drawn=5, precision=precision
        )

    of_v = [row("V", "1 to 3", 0.25, 0.8), row("V", "all", 0.75, 0.9)]
    of_pca = [row("PCA", "1 to 3", 0.0, np.nan), row("PCA", "all", 0.5, 1.0)]
    write_rows(tmp_path / "blobs.csv", [*of_v, *of_pca])
    save_png(tmp_path / "images" / "blobs.png", np.zeros((8, 8, 3), np.uint8))
    found = section(tmp_path)
    (listing,) = found.listings
    assert listing.columns[:3] == ["pixels", "things", "V: drawn"] and len(listing.columns) == 6
    assert listing.rows == [
        ["1 to 3", "8", "25%", "80%", "0%", "–"],
        ["all", "8", "75%", "90%", "50%", "100%"],
    ]
    assert any("green" in figure.caption for figure in found.pictures)


def test_the_page_leads_with_pictures_beside_the_baselines(tmp_path: Path) -> None:
    found = section(tmp_path)
    said = ("22.0 dB", "PSNR of held-out frames; PCA 23.0, mean image 15.0")
    assert found.headline == said
    assert next(iter(dict(found.facts))) == "PSNR" and found.plots[0].caption.startswith("PSNR")
    assert section(tmp_path, baselines=[]).headline == ("22.0 dB", "PSNR of held-out frames")


def test_baselines_are_levels_in_the_plot(tmp_path: Path) -> None:
    source = next(
        str(plot.source)
        for plot in section(tmp_path).plots
        if plot.caption.startswith("PSNR of held")
    )
    assert ">PCA<" in source and ">mean image<" in source and ">V<" in source
    without = next(
        str(plot.source) for plot in section(tmp_path, baselines=[]).plots if "held" in plot.caption
    )
    assert ">PCA<" not in without and ">V<" in without


def test_pictures_are_shown_in_order_and_older_ones_are_not(tmp_path: Path) -> None:
    found = section(tmp_path)
    assert [picture.caption.split()[0] for picture in found.pictures] == [
        "Frames",
        "One",
        "What",
    ] and not found.more


@pytest.mark.parametrize(
    "quality", ["{", "[]", '{"pictures": []}', '{"pictures": [{"name": "V"}]}']
)
def test_a_damaged_quality_is_said(tmp_path: Path, quality: str) -> None:
    found = section(tmp_path, quality)
    assert [note for note in found.notes if "quality.json is damaged: " in note]
    assert "Active latents" not in dict(found.facts) and len(found.plots) == 5


def test_odd_numbers_do_no_harm(tmp_path: Path) -> None:
    found = section(tmp_path)
    (tmp_path / "baselines.csv").write_text(
        "name,components,mse,psnr,psnr_moving\nPCA,many,nan,,\n,,,,\n"
    )
    (tmp_path / "val_metrics.csv").write_text("epoch,step,psnr\n1,nan,nan\n")
    assert len(make_section(tmp_path, "vae", {}, "running").plots) < len(found.plots)


def test_bars_fall_and_a_level_is_drawn_above_zero_only() -> None:
    values = np.array([1.0, np.nan, 3.0, 2.0])
    plain, levelled = (str(bars(values, "latents", HALF, "KL", level)) for level in (0.0, 0.5))
    assert "--orange" not in plain and "--orange" in levelled
    assert plain.count("var(--blue)") == 3
    assert bars(np.array([np.nan]), "latents", HALF, "KL") is None
