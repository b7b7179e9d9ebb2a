"""What the report says of a next-frame model that goes on by itself, and the newest of a series of
pictures."""

import math
from collections.abc import Sequence

from world_models.figures import plots
from world_models.figures.plots import BLUE, GREEN, GREY, HALF, INK, ORANGE, WIDE
from world_models.figures.wording import number
from world_models.measures.horizons import best_rollout, over, skill
from world_models.measures.rows import GUESSES, HORIZONS_SHOWN, HorizonRow
from world_models.report.curves import line
from world_models.report.horizon_findings import Errors, ahead
from world_models.report.page import Listing, Section
from world_models.report.verdict import Finding
from world_models.runs.rows import captions

COLOURS = dict(zip(GUESSES, (GREY, GREEN, ORANGE), strict=True))
HEADS = [
    "Frames ahead",
    "MSE: model",
    *GUESSES,
    "Model ÷ copy (95 % interval)",
    "Shuffled actions ÷ true",
    "PSNR, dB",
    "SSIM",
]
GUESSED = {
    "copy": "a copy of the last frame",
    "mean": "the mean of the training frames",
    "fade": "the best fade from one to the other",
}
ERRORS_NOTE = (
    "The model reads its own frames back; shuffled: with the actions of other windows. "
    "Without a model: a copy of the last frame, the mean of the training frames, "
    "the best fade from one to the other. All on the same windows"
)
TABLES = {
    "validation": "Held-out windows, open loop",
    "train": "Open loop, windows of episodes that it was trained on",
}
FILM = "Left what happened, right what the model went on to predict; dark between windows"

ERROR_CAPTIONS = (*captions(HorizonRow).values(), TABLES["validation"])


def error_findings(rows: Sequence[HorizonRow]) -> list[Finding]:
    """The model's errors at all horizons beside those of each guess."""
    ours = Errors("the model", {row.horizon: row.mse for row in rows})
    found = []
    for guess, name in GUESSED.items():
        theirs = Errors(name, {row.horizon: getattr(row, f"{guess}_mse") for row in rows})
        found += ahead(ours, theirs, "squared error", "frame")
    return found


def add_errors(section: Section, records: Sequence[HorizonRow]) -> None:
    """Headline, table, and the errors against the horizon, of the best validation."""
    rows = best_rollout(records)
    if not rows:
        return
    split = "train" if any(row.split == "train" for row in records) else "validation"
    if split == "train":
        section.notes.append(
            "There are no validation episodes: the model was judged on those it was trained on."
        )
    levels = f"{rows[0].levels:,} {'training' if split == 'train' else 'unseen'} levels"
    section.facts.append(("Windows", f"{rows[0].n:,}, of {levels}"))
    gain = skill(rows)
    compared = f"{'less' if gain >= 0 else 'more'} error than a copy of the last frame"
    section.headline = (f"{abs(gain):.0%}", f"{compared}, 1 to {len(rows)} frames ahead")
    cells = [_cells(row) for row in rows if row.horizon in (*HORIZONS_SHOWN, len(rows))]
    section.listings.append(Listing(TABLES[split], HEADS, cells))
    _add_curves(section, rows)


def _add_curves(section: Section, rows: list[HorizonRow]) -> None:
    words = captions(HorizonRow)
    errors = []
    for guess, colour in COLOURS.items():
        errors += line(guess, colour, rows, f"{guess}_mse", x="horizon")
    errors += line("shuffled", INK, rows, "shuffled_action_mse", x="horizon")
    errors += line("model", BLUE, rows, "mse", x="horizon", marked=True)
    source = plots.curves(errors, "frames ahead", WIDE, "Squared error")
    section.plot(source, words["mse"], WIDE, ERRORS_NOTE)
    for name in ("psnr", "ssim"):
        lines = line("model", BLUE, rows, name, x="horizon", marked=True)
        for guess, colour in COLOURS.items():
            lines += line(guess, colour, rows, f"{guess}_{name}", x="horizon")
        source = plots.curves(lines, "frames ahead", HALF, words[name])
        section.plot(source, words[name], HALF)


def _cells(row: HorizonRow) -> list[str]:
    errors = [f"{error:.4f}" for error in (row.mse, row.copy_mse, row.mean_mse, row.fade_mse)]
    low, high = 1 - row.skill_copy_high, 1 - row.skill_copy_low
    interval = f" ({low:.2f} to {high:.2f})" if math.isfinite(low + high) else ""
    ratio = f"{number(over(row.mse, row.copy_mse))}{interval}"
    used = number(over(row.shuffled_action_mse, row.mse), 10)
    return [f"{row.horizon}", *errors, ratio, used, f"{row.psnr:.1f}", f"{row.ssim:.3f}"]


def show_latest(section: Section, kind: str, pattern: str, caption: str) -> None:
    """The newest of a series of pictures or videos; the others need not appear."""
    paths = sorted((section.folder / kind).glob(pattern))
    for path in paths[-1:]:
        section.show(path, caption, section.videos if path.suffix == ".mp4" else section.pictures)
    section.shown.update(paths)
