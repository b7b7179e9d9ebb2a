"""What the report says of M beyond its training: the next z beside simple baselines, open loop, reward and end."""

import math

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from world_models.figures import plots
from world_models.figures.plots import (
    BLUE,
    GREEN,
    GREY,
    HALF,
    INK,
    ORANGE,
    ROUND,
    WIDE,
    Line,
    as_svg,
)
from world_models.figures.wording import number
from world_models.report.page import Listing, Section, as_float

BASELINES = {
    "linear": "linear regression from z and action",
    "last": "the last z",
    "marginal": "the mean of all z",
}
MODELS = {"M": "M", **BASELINES, "floor": "least possible: V's own uncertainty"}
LIKELIHOOD = ("bits_per_dim", "nats", "worse", "low", "high", "episodes")
LIKELIHOOD_COLUMNS = [
    "Predicted by",
    "Bits per dimension",
    "Nats per step",
    "More than M, bits (95 % interval)",
]
PREDICTORS = {
    "mean": ("M, mean", BLUE),
    "sampled": ("M, sample", ORANGE),
    "copy": ("last frame", GREY),
    "marginal": ("mean frame", GREEN),
    "seen": ("V itself", INK),
}
SPACES = ("latent", "pixel")
OPEN_LOOP_COLUMNS = (
    "horizon",
    "starts",
    "psnr",
    "latent_mse",
    *(f"{space}_{name}" for space in SPACES for name in ("ratio", "low", "high")),
)
OPEN_LOOP_HEADS = [
    "Steps ahead",
    "Error of z ÷ last z's",
    "mean z's ÷ last z's",
    "Error of the picture ÷ last frame's",
    "PSNR, dB: M",
    "last frame",
    "mean frame",
    "V itself",
    "Starts",
]
CALIBRATION_COLUMNS = ("predicted", "observed", "low", "high")
CALIBRATION = {
    "done": ("End of episode: how often it comes", "predicted probability", "observed"),
    "reward": ("Reward: predicted and actual", "predicted reward", "actual"),
}
STEPS = (1, 5, 15, 50)
OPEN_LOOP = {
    "latent_mse": (
        "Open loop: squared error of z",
        "M reads its own predictions back, with the recorded actions. Samples carry the spread of V's z",
    ),
    "psnr": (
        "Open loop: PSNR of the picture, dB",
        "Beside the last true frame, the mean of all training frames, and V's picture of the true frame itself",
    ),
}
SCORES = {
    "done_brier": "End of episode: Brier score, lower is better",
    "done_auroc": "End of episode: area under the ROC curve",
    "reward_mse": "Reward: squared error",
    "reward_r2": "Reward: R²",
}
MEDIA = {
    "dream.mp4": "An episode beside M's dream of it, given the same actions",
    "temperatures.mp4": "The same stretch dreamt at three temperatures, with the same noise",
    "dream.png": "The dream from its first frame to its last",
    "temperatures.png": "The dreams at three temperatures",
}

Record = dict[str, float]


def fill_memory(section: Section) -> None:
    """Headline, tables, plots, pictures and videos, as far as the files are there."""
    _add_likelihood(section)
    _add_open_loop(section)
    add_calibration(section)
    for name, caption in MEDIA.items():
        kind, where = (
            ("videos", section.videos) if name.endswith(".mp4") else ("images", section.pictures)
        )
        section.show(section.folder / kind / name, caption, where)


def _read(
    section: Section, file: str, key: str, columns: tuple[str, ...]
) -> list[tuple[str, Record]]:
    """The rows of a CSV file: the text under `key`, and numbers, NaN where a cell is missing or none."""
    return [
        (str(row.get(key)), {column: as_float(row.get(column)) for column in columns})
        for row in section.records(file)
    ]


def _add_likelihood(section: Section) -> None:
    read = dict(_read(section, "likelihood.csv", "name", LIKELIHOOD))
    found = {
        name: read[name]
        for name in MODELS
        if name in read and math.isfinite(read[name]["bits_per_dim"])
    }
    if not {"M", *BASELINES} <= set(found):
        return
    rival = min(BASELINES, key=lambda name: found[name]["bits_per_dim"])
    bits = {name: number(row["bits_per_dim"]) for name, row in found.items()}
    section.headline = (
        bits["M"],
        f"bits per dimension of the next z; best simple baseline {bits[rival]}",
    )
    section.notes.append(_verdict(found[rival], BASELINES[rival]))
    if any(row.get("split") == "train" for row in section.records("likelihood.csv")):
        section.notes.append(
            "There are no validation episodes: M was measured on the episodes it was trained on."
        )
    best = list(found).index("M" if found[rival]["worse"] >= 0 else rival)
    rows = [
        [MODELS[name], bits[name], number(row["nats"]), _difference(row)]
        for name, row in found.items()
    ]
    section.listings.append(Listing("The next z, one step ahead", LIKELIHOOD_COLUMNS, rows, best))


def _verdict(rival: Record, name: str) -> str:
    """One sentence on M beside the best baseline."""
    gap, episodes = (
        f"{number(abs(rival['worse']))} bits per dimension",
        f"{rival['episodes']:.0f} episodes",
    )
    known = math.isfinite(rival["low"])
    ground = (
        f"95 % interval {_interval(rival)} over {episodes}"
        if known
        else f"{episodes}, too few for an interval"
    )
    if rival["low"] <= 0 <= rival["high"]:
        return f"M does not clearly differ from the best simple baseline, {name}: {gap} ({ground})."
    if rival["worse"] < 0:
        return f"A simple baseline predicts the next z better than M: {name} needs {gap} less ({ground})."
    return f"M predicts the next z better than the best simple baseline, {name}, which needs {gap} more ({ground})."


def _difference(row: Record) -> str:
    return "–" if row["worse"] == 0 else _with_interval(row["worse"], row["low"], row["high"])


def _with_interval(value: float, low: float, high: float) -> str:
    return number(value) + (f" ({number(low)} to {number(high)})" if math.isfinite(low) else "")


def _interval(row: Record) -> str:
    return f"{number(row['low'])} to {number(row['high'])}"


def _add_open_loop(section: Section) -> None:
    read = _read(section, "open_loop.csv", "predictor", OPEN_LOOP_COLUMNS)
    for column, (caption, note) in OPEN_LOOP.items():
        lines = [
            _line(*style, [row for name, row in read if name == key], column)
            for key, style in PREDICTORS.items()
        ]
        shown = [line for line in lines if np.nan_to_num(line.y).any()]
        section.plot(plots.curves(shown, "steps ahead", WIDE, caption), caption, WIDE, note)
    found = {(name, row["horizon"]): row for name, row in read}
    steps = [step for step in STEPS if all((name, step) in found for name in PREDICTORS)]
    if steps:
        rows = [
            _open_loop_cells({name: found[name, step] for name in PREDICTORS}) for step in steps
        ]
        section.listings.append(
            Listing(
                "Open loop, beside the last frame (below 1, M is better) and the mean of all training frames",
                OPEN_LOOP_HEADS,
                rows,
            )
        )


def _line(name: str, colour: str, rows: list[Record], column: str) -> Line:
    points = np.array([(row["horizon"], row[column]) for row in rows]).reshape(-1, 2)
    return Line(name, colour, points[:, 0], points[:, 1], marked=True)


def _open_loop_cells(rows: dict[str, Record]) -> list[str]:
    mean = rows["mean"]
    ratios = [
        _with_interval(*(mean[f"{space}_{name}"] for name in ("ratio", "low", "high")))
        for space in SPACES
    ]
    quality = [number(rows[name]["psnr"]) for name in ("mean", "copy", "marginal", "seen")]
    constant = number(rows["marginal"]["latent_ratio"])
    return [
        f"{mean['horizon']:.0f}",
        ratios[0],
        constant,
        ratios[1],
        *quality,
        f"{mean['starts']:,.0f}",
    ]


def add_calibration(section: Section, model: str = "M") -> None:
    """Plots of predicted beside actual rewards and ends, and a table of scores."""
    bins = _read(section, "calibration.csv", "quantity", CALIBRATION_COLUMNS)
    for quantity, (caption, predicted, observed) in CALIBRATION.items():
        points = np.array([list(row.values()) for name, row in bins if name == quantity]).reshape(
            -1, 4
        )
        happened = quantity == "reward" or points[:, 1].any()
        if happened:
            note = "One dot per bin of the prediction, with its 95 % interval; line: predicted equals observed"
            section.plot(_agreement(points, predicted, observed, caption), caption, HALF, note)
    add_head_scores(
        section, _read(section, "calibration_scores.csv", "name", ("value", "baseline")), model
    )


def add_head_scores(section: Section, scores: list[tuple[str, Record]], model: str) -> None:
    """A table of the scores of heads, by name."""
    rows = [
        [SCORES[name], *_alike(row["value"], row["baseline"])]
        for name, row in scores
        if name in SCORES
    ]
    if rows:
        heads = ["", model, "Always the training mean"]
        section.listings.append(Listing("Reward and end of episode, one step ahead", heads, rows))


def _alike(*values: float) -> list[str]:
    """Numbers with as many decimals as the largest needs."""
    scale = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return [number(value, scale) for value in values]


def _agreement(points: np.ndarray, xlabel: str, ylabel: str, title: str) -> Markup | None:
    """Points (N, 4) of predicted, observed and the ends of its interval, beside the diagonal; None without a finite one."""
    points = points[np.isfinite(points).all(1)]
    if not len(points):
        return None
    predicted, observed, low, high = points.T

    def draw(axes: Axes) -> None:
        span = [predicted.min(), predicted.max()]
        axes.plot(span, span, color=GREY, linewidth=1)
        axes.vlines(predicted, low, high, color=BLUE, alpha=0.5)
        axes.plot(predicted, observed, "o", color=BLUE, markersize=4.5)
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=ROUND))
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)

    return as_svg(draw, HALF, title)
