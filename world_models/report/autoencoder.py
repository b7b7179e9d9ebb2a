"""What the report says of the autoencoder: its pictures beside the mean image, its latents, its
training."""

import math
from collections.abc import Sequence
from pathlib import Path

from world_models.figures import plots
from world_models.figures.plots import BLUE, GREY, HALF, ORANGE, WIDE
from world_models.figures.wording import number
from world_models.measures.rows import AutoencoderRow, PixelStepRow
from world_models.report.curves import finite, line, table_line
from world_models.report.headline import Headline
from world_models.report.next_frames import show_latest
from world_models.report.page import Section
from world_models.report.pixel import add_losses
from world_models.report.training import loss_headline
from world_models.report.verdict import PSNR, Finding, Side, better
from world_models.runs.metrics import read_rows
from world_models.runs.rows import captions

TITLE = "Autoencoder"
LEAD = (
    "A convolutional autoencoder squeezes each frame into a small map of latents, "
    "and draws it again."
)
IN_THE_LOSS = (
    "var_reg_lambda",
    "var_target",
    "var_form",
    "image_size",
    "grayscale",
    "upstream",
)
RECONSTRUCTIONS = "Frames that were held out, what comes back, and the error"
CAPTIONS = (
    *captions(AutoencoderRow).values(),
    captions(PixelStepRow)["grad_norm"],
    RECONSTRUCTIONS,
)


def headline(folder: Path) -> Headline | None:
    """The least validation loss so far."""
    return loss_headline(folder, AutoencoderRow, "val_loss", IN_THE_LOSS)


def findings(folder: Path) -> list[Finding]:
    """The best of its validations beside the mean image."""
    return autoencoder_findings(read_rows(folder / "val_metrics.csv", AutoencoderRow))


def autoencoder_findings(rows: Sequence[AutoencoderRow]) -> list[Finding]:
    """The validation with the best pictures decides."""
    known = [row for row in rows if math.isfinite(row.val_psnr)]
    if not known:
        return []
    best = max(known, key=lambda row: row.val_psnr)
    ours, theirs = Side("the autoencoder", best.val_psnr), Side("the mean image", best.mean_psnr)
    return better(ours, theirs, "draws held-out frames", PSNR)


def fill(section: Section) -> None:
    """Headline, plots and the latest reconstructions."""
    train = section.table("metrics.csv")
    val = section.rows("val_metrics.csv", AutoencoderRow)
    psnr, mean = finite(val, "val_psnr"), finite(val, "mean_psnr")
    if psnr.size and mean.size:
        section.headline = (
            f"{number(psnr.max())} dB",
            f"best PSNR of held-out frames; mean image {number(mean[-1])}",
        )
    add_losses(section, train, val)
    for name in ("recon_loss", "latent_var"):
        caption = captions(AutoencoderRow)[f"val_{name}"]
        lines = [
            *table_line("training", BLUE, train, name),
            *line("validation", ORANGE, val, f"val_{name}", marked=True),
        ]
        section.plot(plots.curves(lines, "step", HALF, caption), caption, HALF)
    lines = [
        *line("autoencoder", BLUE, val, "val_psnr"),
        *line("mean image", GREY, val, "mean_psnr"),
    ]
    caption = captions(AutoencoderRow)["val_psnr"]
    section.plot(plots.curves(lines, "step", WIDE, "PSNR, dB"), caption, WIDE)
    show_latest(section, "images", "reconstructions_step_*.png", RECONSTRUCTIONS)
