"""What the report says of next-frame models and of the autoencoder: errors beside guesses that need no model."""

import math

import numpy as np

from world_models.figures import plots
from world_models.figures.plots import BLUE, GREEN, GREY, HALF, INK, ORANGE, WIDE, Line, Table
from world_models.figures.wording import number
from world_models.report.memory import add_calibration, add_head_scores
from world_models.report.page import Listing, Section, as_float

COLOURS = {"copy": GREY, "mean": GREEN, "fade": ORANGE}
SHOWN = (1, 2, 4, 8, 16, 32)
HEADS = ["Frames ahead", "MSE: model", "copy", "mean", "fade", "Model ÷ copy (95 % interval)", "Shuffled actions ÷ true", "PSNR, dB", "SSIM"]  # fmt: skip
NOTE = (
    "The model reads its own frames back; shuffled: with the actions of other windows. Without a model: a copy of the last "
    "frame, the mean of the training frames, the best fade from one to the other. All on the same windows"
)
ROLLOUTS = "val_rollout_metrics.csv"

Record = dict[str, float]


def best_rollout(records: list[dict[str, str]]) -> list[Record]:
    """The rows, one per horizon, of the validation whose error is lowest over all horizons; empty without a whole one."""
    rows = [{name: as_float(cell) for name, cell in record.items()} for record in records]
    steps: dict[float, list[Record]] = {}
    for row in rows:
        steps.setdefault(row.get("step", 0.0), []).append(row)
    longest = max((len(found) for found in steps.values()), default=0)
    whole = [
        found
        for found in steps.values()
        if len(found) == longest and np.isfinite(_column(found, "mse")).all()
    ]
    return min(whole, key=lambda found: _column(found, "mse").mean(), default=[])


def over(above: float, below: float) -> float:
    """above / below; NaN where there is nothing below."""
    return above / below if below else math.nan


def skill(rows: list[Record]) -> float:
    """1 - error / copy's error, over all horizons."""
    return 1 - over(float(_column(rows, "mse").sum()), float(_column(rows, "copy_mse").sum()))


def _column(rows: list[Record], name: str) -> np.ndarray:
    return np.array([row.get(name, math.nan) for row in rows])


def fill_pixel(section: Section) -> None:
    """Headline, table, plots, the latest strip and video, as far as the files are there."""
    _add_rollout(section, ROLLOUTS)
    _add_heads(section)
    train, val = section.table("metrics.csv"), section.table("val_metrics.csv")
    _add_losses(section, train, val)
    _latest(
        section,
        "images",
        "val_step_*.png",
        "Held-out windows: what was seen, what came, what the model predicted",
    )
    _latest(
        section,
        "videos",
        "val_rollout_step_*.mp4",
        "Left what happened, right what the model went on to predict",
    )
    section.shown.update(section.folder.glob("images/train_step_*.png"))


def fill_pixel_evaluation(section: Section) -> None:
    """The same of stage=evaluate."""
    _add_rollout(section, "rollout_metrics.csv")
    add_calibration(section, "Model")
    video = section.folder / "videos" / "rollout.mp4"
    section.show(
        video, "Left what happened, right what the model went on to predict", section.videos
    )


def fill_autoencoder(section: Section) -> None:
    """Headline, plots and the latest reconstructions."""
    train, val = section.table("metrics.csv"), section.table("val_metrics.csv")
    psnr, mean = (
        values[np.isfinite(values)]
        for values in (val.get(n, np.empty(0)) for n in ("val_psnr", "mean_psnr"))
    )
    if psnr.size and mean.size:
        section.headline = (
            f"{number(psnr.max())} dB",
            f"best PSNR of held-out frames; mean image {number(mean[-1])}",
        )
    _add_losses(section, train, val)
    for name, caption in (
        ("recon_loss", "Reconstruction: Huber's loss"),
        ("latent_var", "Variance of the latents"),
    ):
        lines = [
            *_line("training", BLUE, train, name),
            *_line("validation", ORANGE, val, f"val_{name}"),
        ]
        section.plot(plots.curves(lines, "step", HALF, caption), caption, HALF)
    lines = [
        *_line("autoencoder", BLUE, val, "val_psnr"),
        *_line("mean image", GREY, val, "mean_psnr"),
    ]
    section.plot(plots.curves(lines, "step", WIDE, "PSNR, dB"), "PSNR of held-out frames, dB", WIDE)
    _latest(
        section,
        "images",
        "reconstructions_step_*.png",
        "Frames that were held out, what comes back, and the error",
    )


def _add_rollout(section: Section, file: str) -> None:
    """Headline, table, and the errors against the horizon."""
    records = section.records(file)
    rows = best_rollout(records)
    if not rows or not {
        "copy_mse",
        "mean_mse",
        "fade_mse",
        "shuffled_action_mse",
        "psnr",
        "ssim",
    } <= set(rows[0]):
        return
    seen = any(record.get("split") == "train" for record in records)
    if seen:
        section.notes.append(
            "There are no validation episodes: the model was judged on those it was trained on."
        )
    counts = [f"{rows[0].get(name, math.nan):,.0f}" for name in ("n", "levels")]
    section.facts.append(
        ("Windows", f"{counts[0]}, of {counts[1]} {'training' if seen else 'unseen'} levels")
    )
    gain = skill(rows)
    compared = f"{'less' if gain >= 0 else 'more'} error than a copy of the last frame, 1 to {len(rows)} frames ahead"
    section.headline = (f"{abs(gain):.0%}", compared)
    table = [_cells(row) for row in rows if row["horizon"] in (*SHOWN, len(rows))]
    section.listings.append(
        Listing(
            "Open loop, windows of episodes that it was trained on"
            if seen
            else "Held-out windows, open loop",
            HEADS,
            table,
        )
    )
    at = _column(rows, "horizon")
    mse = [Line(name, colour, at, _column(rows, f"{name}_mse")) for name, colour in COLOURS.items()]
    mse.append(Line("shuffled", INK, at, _column(rows, "shuffled_action_mse")))
    mse.append(Line("model", BLUE, at, _column(rows, "mse"), marked=True))
    section.plot(
        plots.curves(mse, "frames ahead", WIDE, "Squared error"), "Mean squared error", WIDE, NOTE
    )
    for name, caption in (("psnr", "PSNR, dB"), ("ssim", "SSIM")):
        lines = [Line("model", BLUE, at, _column(rows, name), marked=True)]
        lines += [
            Line(guess, colour, at, _column(rows, f"{guess}_{name}"))
            for guess, colour in COLOURS.items()
        ]
        section.plot(plots.curves(lines, "frames ahead", HALF, caption), caption, HALF)


def _cells(row: Record) -> list[str]:
    errors = [f"{row[name]:.4f}" for name in ("mse", "copy_mse", "mean_mse", "fade_mse")]
    low, high = (1 - row.get(f"skill_copy_{end}", math.nan) for end in ("high", "low"))
    interval = f" ({low:.2f} to {high:.2f})" if math.isfinite(low + high) else ""
    ratio = f"{number(over(row['mse'], row['copy_mse']))}{interval}"
    used = number(over(row["shuffled_action_mse"], row["mse"]), 10)
    return [
        f"{row['horizon']:.0f}",
        *errors,
        ratio,
        used,
        f"{row['psnr']:.1f}",
        f"{row['ssim']:.3f}",
    ]


def _add_heads(section: Section) -> None:
    """The scores of the heads in the validation of the checkpoint that was kept."""
    best = best_rollout(section.records(ROLLOUTS))
    records = [
        row
        for row in section.records("val_head_scores.csv")
        if best and as_float(row["step"]) == best[0]["step"]
    ]
    scores = [
        (row["name"], {name: as_float(row[name]) for name in ("value", "baseline")})
        for row in records
    ]
    add_head_scores(section, scores, "Model")


def _add_losses(section: Section, train: Table, val: Table) -> None:
    """The loss in training and validation, and the norm of its gradient."""
    if (steps := train.get("step", np.empty(0))).size:
        section.facts.append(("Training steps", f"{np.nanmax(steps):,.0f}"))
    lines = [*_line("training", BLUE, train, "loss"), *_line("validation", ORANGE, val, "val_loss")]
    section.plot(plots.curves(lines, "step", WIDE, "Loss"), "Loss", WIDE)
    for name, caption in (
        ("unroll", "Frames rolled on in training"),
        ("grad_norm", "Gradient norm before clipping"),
    ):
        section.plot(
            plots.curves(_line(name, BLUE, train, name), "step", HALF, caption), caption, HALF
        )


def _line(label: str, colour: str, table: Table, name: str) -> list[Line]:
    known = {"step", name} <= set(table)
    return (
        [Line(label, colour, table["step"], table[name], marked=label == "validation")]
        if known
        else []
    )


def _latest(section: Section, kind: str, pattern: str, caption: str) -> None:
    """The newest of a series of pictures or videos; the others need not appear."""
    paths = sorted((section.folder / kind).glob(pattern))
    for path in paths[-1:]:
        section.show(path, caption, section.videos if path.suffix == ".mp4" else section.pictures)
    section.shown.update(paths)
