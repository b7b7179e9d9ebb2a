"""The sections of the report: what each stage shows of its files."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from world_models.figures import plots
from world_models.figures.plots import BLUE, GREY, HALF, ORANGE, THIRD, WIDE, Line, Table
from world_models.figures.wording import number, plus_minus
from world_models.report import memory as memory_section
from world_models.report import pixel as pixel_section
from world_models.report import vision as vision_section
from world_models.report.headline import selection_score
from world_models.report.page import Section
from world_models.runs.files import read_json
from world_models.runs.statistics import Summary

TITLES = {
    "rollout": ("Episodes", "What the models learn from: episodes played by a simple policy."),
    "convert": (
        "Episodes",
        "Episodes from elsewhere, in the order of ours: what was seen, what was done, what followed.",
    ),
    "vae": (
        "V · vision",
        "A variational autoencoder squeezes each frame into a short vector z, and draws it again from z.",
    ),
    "mdrnn": (
        "M · memory",
        "A recurrent network predicts the next z, so that it can dream on by itself.",
    ),
    "controller": (
        "C · controller",
        "A small controller acts on what V and M give it; CMA-ES searches for its weights.",
    ),
    "evaluate": (
        "Evaluation",
        "The agent on episodes that it has never met, beside a policy that acts at random.",
    ),
    "pixel": (
        "Next frame",
        "A model of pixels predicts the next frame from the last ones and what was done.",
    ),
    "autoencoder": (
        "Autoencoder",
        "A convolutional autoencoder squeezes each frame into a small map of latents, and draws it again.",
    ),
}
PIXEL_EVALUATION = (
    "Evaluation",
    "A next-frame model that goes on by itself, beside guesses without a model.",
)
SEARCH_NOTE = "Best, mean and worst candidate; dots: the mean vector on the selection episodes, with its 95 % interval"
PUBLISHED_AXES = {
    "episodes": "episodes played by candidates",
    "hours": "hours of search, tests included",
}
PUBLISHED_NOTE = (
    "Orange: the mean vector of this search; grey: that of Ha & Schmidhuber (2018), on 64 cores"
)
TERMS = {
    "loss": "Loss",
    "reconstruction": "Reconstruction error per frame",
    "kl": "KL divergence per frame",
    "gmm": "Next z: negative log-likelihood",
    "bce": "End of episode: cross-entropy",
    "mse": "Reward: squared error",
    "grad_norm": "Norm of the gradient before clipping",
}
COLOURS = {"agent": BLUE, "random": GREY}


def make_section(folder: Path, stage: str, manifest: dict[str, Any], status: str) -> Section:
    """The section of the stage that ran in `folder`."""
    of_pixels = stage == "evaluate" and (folder / "rollout_metrics.csv").is_file()
    title = PIXEL_EVALUATION if of_pixels else TITLES.get(stage, (stage, ""))
    section = Section(stage, *title, folder, status, manifest)
    fill = pixel_section.fill_pixel_evaluation if of_pixels else FILL.get(stage, _fill_training)
    fill(section)
    rates = _finite(section.table("timing.csv"), "rate")
    if rates.size:
        section.facts.append(("Speed", f"{number(float(np.median(rates)))} steps/s"))
    for path in sorted([*folder.glob("images/*.png"), *folder.glob("videos/*.mp4")]):
        section.show(path, path.stem.replace("_", " "), section.more)
    if status not in ("not started", "damaged") and not (
        section.facts or section.plots or section.shown
    ):
        section.notes.append("Nothing has been recorded yet.")
    return section


def _fill_rollout(section: Section) -> None:
    table = section.table("episodes.csv")
    lengths, returns = _finite(table, "length"), _finite(table, "return")
    if lengths.size:
        section.headline = (f"{lengths.size:,}", f"episodes, {lengths.sum():,.0f} steps")
        section.facts += [("Episodes", f"{lengths.size:,}"), ("Steps", f"{lengths.sum():,.0f}")]
        section.facts.append(("Mean length", f"{number(lengths.mean())} steps"))
    if returns.size:
        section.facts.append(("Return", plus_minus(returns.mean(), returns.std())))
    section.plot(
        plots.histogram(returns, "return", HALF, "Episodes by return"), "Episodes by return", HALF
    )
    section.plot(
        plots.histogram(lengths, "steps", HALF, "Episodes by length"), "Episodes by length", HALF
    )
    section.show(
        section.folder / "images" / "frames.png",
        "Frames of some episodes, from first to last",
        section.pictures,
    )


def _fill_training(section: Section) -> None:
    train, val = section.table("metrics.csv"), section.table("val_metrics.csv")
    losses, steps = _finite(val, "loss"), _finite(train, "step")
    if losses.size:
        section.headline = (number(losses.min()), "best validation loss")
        section.facts += [
            ("Best validation loss", number(losses.min())),
            ("Epochs", f"{losses.size:,}"),
        ]
    if steps.size:
        section.facts.append(("Training steps", f"{steps.max():,.0f}"))
    elsewhere = ("step", "epoch", "lr", "loss", *vision_section.COLUMNS)
    terms = [name for name in (train or val) if name not in elsewhere]
    small = THIRD if len(terms) % 3 == 0 else HALF
    for name, size in [("loss", WIDE), *((term, small) for term in terms)]:
        lines = [
            *_line("training", BLUE, train, "step", name),
            *_line("validation", ORANGE, val, "step", name),
        ]
        section.plot(
            plots.curves(lines, "step", size, f"{section.title}: {name}"),
            TERMS.get(name, name),
            size,
        )


def _line(label: str, colour: str, table: Table, x: str, y: str) -> list[Line]:
    return (
        [Line(label, colour, table[x], table[y], marked=label == "validation")]
        if {x, y} <= set(table)
        else []
    )


def _fill_vae(section: Section) -> None:
    _fill_training(section)
    vision_section.fill_vision(section)


def _fill_mdrnn(section: Section) -> None:
    _fill_training(section)
    memory_section.fill_memory(section)


def _fill_controller(section: Section) -> None:
    metrics, selection = section.table("metrics.csv"), section.table("selection.csv")
    title = "Return in each generation"
    section.plot(plots.search(metrics, selection, title), title, note=SEARCH_NOTE)
    for name, colour, caption in (
        ("sigma", BLUE, "Step size σ of the search"),
        ("length", BLUE, "Steps per episode"),
    ):
        line = _line(name, colour, metrics, "generation", name)
        section.plot(plots.curves(line, "generation", HALF, caption), caption, HALF)
    _fill_published(section, metrics, selection)
    try:
        best = selection_score(section.folder)
    except (ValueError, csv.Error):  # a damaged file, of which the tables above have told
        best = None
    if best is not None:
        section.headline = (number(best.value), "selection score")
        section.facts.append(("Selection score", number(best.value)))
    for name, label in (
        ("generation", "Generations"),
        ("episodes", "Episodes"),
        ("env_steps", "Environment steps"),
    ):
        if (values := _finite(metrics, name)).size:
            section.facts.append((label, f"{values[-1]:,.0f}"))


def _fill_published(section: Section, metrics: Table, selection: Table) -> None:
    """What the search has cost so far for its scores, beside a published one where there is one for this environment."""
    published, timing = section.table("reference.csv"), section.table("timing.csv")
    needed = [
        (metrics, "episodes"),
        (selection, "mean"),
        (timing, "seconds"),
        (timing, "test_seconds"),
    ]
    if not {"episodes", "hours", "mean_vector"} <= set(published):
        return
    if not all({"generation", name} <= set(table) for table, name in needed):
        return
    tested = [
        g
        for g in selection["generation"]
        if g in metrics["generation"] and g in timing["generation"]
    ]
    if not tested:
        return
    at = [
        [list(table["generation"]).index(g) for g in tested]
        for table in (metrics, selection, timing)
    ]
    hours = np.cumsum(timing["seconds"] + timing["test_seconds"]) / 3600
    for name, cost in (("episodes", metrics["episodes"][at[0]]), ("hours", hours[at[2]])):
        theirs = (published[name], published["mean_vector"])
        plot = plots.beside_published(
            (cost, selection["mean"][at[1]]), theirs, PUBLISHED_AXES[name]
        )
        section.plot(plot, f"Score by {name}", HALF, PUBLISHED_NOTE)


def _fill_evaluate(section: Section) -> None:
    scores = _read_scores(section)
    ranked: list[float] = []
    if "agent" in scores:
        returns, summary = scores["agent"]
        ranked = sorted(returns.tolist(), reverse=True)
        section.headline = (
            plus_minus(summary.mean, summary.std),
            f"mean return over {len(ranked)} unseen episodes",
        )
        interval = f"{number(summary.low, summary.mean)} to {number(summary.high, summary.mean)}"
        section.facts = [
            ("Mean", number(summary.mean)),
            ("95 % interval", interval),
            ("Median", number(summary.median)),
        ]
        section.facts.append(("Episodes", f"{len(ranked)}"))
    if "random" in scores:
        section.aside = (
            plus_minus(scores["random"][1].mean, scores["random"][1].std),
            "random policy",
        )
    rows = [
        (name, COLOURS[name], returns, (s.mean, s.low, s.high))
        for name, (returns, s) in scores.items()
    ]
    title = "Return of every episode"
    section.plot(
        plots.strip(rows, title), title, note="Below each row: the mean with its 95 % interval"
    )
    for name, place in (("best", 0), ("median", len(ranked) // 2), ("worst", -1)):
        caption = f"{name} episode" + (f" · {number(ranked[place])}" if ranked else "")
        section.show(section.folder / "videos" / f"{name}.mp4", caption, section.videos)


def _read_scores(section: Section) -> dict[str, tuple[np.ndarray, Summary]]:
    """Returns and summary of the agent and of the random policy, as far as scores.json has them."""
    path = section.folder / "scores.json"
    if not path.is_file():
        return {}
    try:
        values = read_json(path)
        found = {"agent": values, "random": values.get("random")}
        return {name: _score(part) for name, part in found.items() if part}
    except (ValueError, KeyError, TypeError, AttributeError):
        section.notes.append("scores.json is damaged.")
        return {}


def _score(part: dict[str, Any]) -> tuple[np.ndarray, Summary]:
    low, high = part["interval95"]
    returns = np.asarray(part["returns"], float).reshape(-1)
    return returns, Summary(
        *(float(value) for value in (part["mean"], part["std"], part["median"], low, high))
    )


FILL: dict[str, Callable[[Section], None]] = {
    "rollout": _fill_rollout,
    "convert": _fill_rollout,
    "vae": _fill_vae,
    "mdrnn": _fill_mdrnn,
    "controller": _fill_controller,
    "evaluate": _fill_evaluate,
    "pixel": pixel_section.fill_pixel,
    "autoencoder": pixel_section.fill_autoencoder,
}


def _finite(table: Table, name: str) -> np.ndarray:
    values = table.get(name, np.empty(0))
    return values[np.isfinite(values)]
