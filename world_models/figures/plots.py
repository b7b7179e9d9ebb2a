"""The report's plots: small SVGs whose colours are the page's own."""

import hashlib
import io
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

# a CSV file's columns, float64 (rows,), NaN where a cell is no number
Table = dict[str, np.ndarray]

BLUE, ORANGE, GREEN, GREY = "#2a6499", "#c8662a", "#3b8a5a", "#8b9199"
INK, GRID = "#5a626c", "#e3e6ea"
VARIABLES = {
    BLUE: "--blue",
    ORANGE: "--orange",
    GREEN: "--good",
    GREY: "--grey",
    INK: "--soft",
    GRID: "--line",
}
PLOT_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.size": 11.5,
    "font.family": ["DejaVu Sans"],
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.9,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 7,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
}
WIDE, HALF, THIRD = (920, 270), (448, 190), (290, 170)  # width and height in CSS pixels
MOST_POINTS = 320
LARGEST_DRAWN = 1e100
NAME_HEIGHT = 0.085  # of a line's name, as a share of the axes
TICK_STEPS = (1, 2, 5, 10)  # what steps between ticks may be


def drawable(values: np.typing.ArrayLike) -> np.ndarray:
    """Which numbers a plot can show: finite, and not so large that its axis overflows."""
    numbers = np.asarray(values, np.float64)
    return np.isfinite(numbers) & (np.abs(numbers) < LARGEST_DRAWN)


@dataclass(frozen=True)
class Line:
    """A curve: its name on the plot, its colour, its points, and whether they are marked.

    `ringed` says which of them stands out: the `lowest`, the `highest`, or none.
    """

    name: str
    colour: str
    x: np.ndarray
    y: np.ndarray
    marked: bool = False
    ringed: str = ""

    @property
    def best(self) -> int | None:
        """The place of the point that stands out."""
        pick = {"lowest": np.argmin, "highest": np.argmax}.get(self.ringed)
        return None if pick is None else int(pick(self.y))


def curves(lines: Sequence[Line], xlabel: str, size: tuple[int, int], title: str) -> Markup | None:
    """Lines over a common axis, named at their right ends when the plot is wide; None without a
    finite point.

    Long curves are averaged in blocks. The y axis is logarithmic where all values are positive and
    span a factor of 8.
    """
    lines = [thinned for line in lines if (thinned := _thinned(line)).y.size]
    if not lines:
        return None

    def draw(axes: "Axes") -> None:
        for line in lines:
            style: dict[str, Any] = (
                {"marker": "o", "markersize": 3.5} if line.marked or line.y.size == 1 else {}
            )
            axes.plot(line.x, line.y, color=line.colour, **style)
            _ring(axes, line)
        scale_y(axes, np.concatenate([line.y for line in lines]))
        if size == WIDE:
            _name_ends(axes, [(line.name, line.colour, line.x[-1], line.y[-1]) for line in lines])
        axes.set_xlabel(xlabel)

    # a letter is some 7 pixels wide
    longest = max(len(line.name) for line in lines)
    return as_svg(draw, size, title, right=12 + 7 * longest if size == WIDE else 0)


def _ring(axes: "Axes", line: Line) -> None:
    """A ring around the point that stands out."""
    if line.best is not None:
        point = line.x[[line.best]], line.y[[line.best]]
        style: dict[str, Any] = {"markersize": 10, "markeredgewidth": 1.6}
        axes.plot(*point, "o", color=line.colour, markerfacecolor="none", **style)


@dataclass(frozen=True)
class Band:
    """Values in the middle with what is below and above them, each (N,)."""

    x: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray

    @property
    def finite(self) -> "Band":
        """The points of which all is known."""
        parts = (self.x, self.low, self.middle, self.high)
        keep = drawable(parts).all(0)
        return Band(*(part[keep] for part in parts))


def search(returns: Band, tests: Band, title: str) -> Markup | None:
    """Worst, mean and best of each generation as a band, with the selection scores and their
    intervals."""
    band, tests = returns.finite, tests.finite
    if not band.x.size:
        return None

    def draw(axes: "Axes") -> None:
        axes.fill_between(band.x, band.low, band.high, color=BLUE, alpha=0.12, linewidth=0)
        ends = []
        for name, values, width in (
            ("best", band.high, 0.8),
            ("mean", band.middle, 1.8),
            ("worst", band.low, 0.8),
        ):
            marker = "o" if band.x.size == 1 else None
            axes.plot(band.x, values, color=BLUE, linewidth=width, marker=marker)
            ends.append((name, BLUE, band.x[-1], values[-1]))
        axes.set_xlabel("generation")
        axes.xaxis.set_major_locator(round_ticks(8, integer=True))
        _name_ends(axes, [*ends, *_draw_tests(axes, tests)])

    return as_svg(draw, WIDE, title)


def _draw_tests(axes: "Axes", tests: Band) -> list[tuple[str, str, float, float]]:
    if not tests.x.size:
        return []
    axes.vlines(tests.x, tests.low, tests.high, color=ORANGE, linewidth=1.4)
    axes.plot(tests.x, tests.middle, color=ORANGE, linewidth=0, marker="o", markersize=4)
    _ring(axes, Line("selection", ORANGE, tests.x, tests.middle, ringed="highest"))
    return [("selection", ORANGE, tests.x[-1], tests.middle[-1])]


def beside_published(
    ours: tuple[np.ndarray, np.ndarray], theirs: tuple[np.ndarray, np.ndarray], xlabel: str
) -> Markup:
    """Scores against what they cost, (x, y) each, ours and those of a published search; costs on a
    logarithmic axis."""

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import FuncFormatter, NullFormatter

        for (x, y), colour in ((theirs, GREY), (ours, ORANGE)):
            shown = drawable(x) & drawable(y)
            axes.plot(x[shown], y[shown], color=colour, marker="o", markersize=3.5)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(bottom=max(0, axes.get_ylim()[0]))
        axes.set_xlabel(xlabel)

    return as_svg(draw, HALF, f"Score by {xlabel}")


def histogram(values: np.ndarray, xlabel: str, size: tuple[int, int], title: str) -> Markup | None:
    """How often each value occurs; None without a finite value."""
    values = values[drawable(values)]
    if not values.size:
        return None

    def draw(axes: "Axes") -> None:
        axes.hist(
            values,
            bins=min(30, max(5, round(np.sqrt(values.size) * 1.5))),
            color=BLUE,
            alpha=0.75,
            rwidth=0.9,
        )
        axes.yaxis.set_major_locator(round_ticks(4, integer=True))
        axes.xaxis.set_major_locator(round_ticks(6))
        axes.set_xlabel(xlabel)

    return as_svg(draw, size, title)


def bars(
    values: np.ndarray, xlabel: str, size: tuple[int, int], title: str, level: float = 0.0
) -> Markup | None:
    """A bar for each value, the highest first, and a line at `level` if that is above 0; None
    without a finite value."""
    values = np.sort(values[drawable(values)])[::-1]
    if not values.size:
        return None

    def draw(axes: "Axes") -> None:
        axes.bar(np.arange(1, values.size + 1), values, color=BLUE, alpha=0.75, width=0.8)
        if level > 0:
            axes.axhline(level, color=ORANGE)
        axes.yaxis.set_major_locator(round_ticks(4))
        axes.xaxis.set_major_locator(round_ticks(6, integer=True))
        axes.set_xlabel(xlabel)

    return as_svg(draw, size, title)


def strip(
    groups: Sequence[tuple[str, str, np.ndarray, tuple[float, float, float]]], title: str
) -> Markup | None:
    """One row of dots per group (name, colour, values, (mean, low, high)) with its mean and
    interval; None without a value."""
    groups = [
        (name, colour, values[drawable(values)], mean) for name, colour, values, mean in groups
    ]
    if not any(values.size for _, _, values, _ in groups):
        return None

    def draw(axes: "Axes") -> None:
        for row, (_, colour, values, (mean, low, high)) in enumerate(groups):
            axes.plot(
                values,
                row + 0.34 * spread(values.size),
                "o",
                color=colour,
                alpha=0.5,
                markersize=6.5,
                markeredgewidth=0,
            )
            if drawable([mean, low, high]).all():
                axes.plot([low, high], [row + 0.36] * 2, color=colour, linewidth=2)
                axes.plot([mean], [row + 0.36], "|", color=colour, markersize=11, markeredgewidth=2)
        name_rows(axes, [name for name, *_ in groups], room=0.5)
        axes.set_xlabel("return of an episode")

    return as_svg(draw, (WIDE[0], 60 + 62 * len(groups)), title, left=104)


def spread(count: int) -> np.ndarray:
    """Places (count,) of dots across their row, from -0.5 to 0.5: even, the same every time."""
    golden_ratio = 0.618034
    return (np.arange(count) * golden_ratio) % 1 - 0.5


def name_rows(axes: "Axes", names: Sequence[str], room: float) -> None:
    """Rows 0, 1 and so on from the top, with their names; `room` above the first, in rows."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -room)
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")


def round_ticks(most: int, integer: bool = False) -> "MaxNLocator":
    """At most so many ticks, at round numbers."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, integer=integer, steps=TICK_STEPS)


def _thinned(line: Line) -> Line:
    keep = drawable(line.x) & drawable(line.y)
    x, y = line.x[keep], line.y[keep]
    if x.size > MOST_POINTS:
        parts = np.array_split(np.arange(x.size), MOST_POINTS)
        x, y = (np.array([values[part].mean() for part in parts]) for values in (x, y))
    return replace(line, x=x, y=y)


def scale_y(axes: "Axes", values: np.ndarray) -> None:
    """Ticks of a y axis for `values`; logarithmic where all are positive and span a factor of 8."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = values.min(), values.max()
    if low > 0 and high >= 8 * low:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 500 * low else (1,)))
        axes.yaxis.set_major_formatter(FuncFormatter(tick))
        axes.yaxis.set_minor_formatter(NullFormatter())
        return
    axes.yaxis.set_major_locator(round_ticks(5))
    usual = np.percentile(values, 98)  # the first steps of a training may lie far above the rest
    if values.size > 50 and high - low > 3 * (usual - low) > 0:
        axes.set_ylim(low - 0.08 * (usual - low), usual + 0.15 * (usual - low))


def _name_ends(axes: "Axes", ends: list[tuple[str, str, float, float]]) -> None:
    """Write names right of the plot at the height of each line's end, kept apart by a line's
    height."""
    # asked for, the limits are brought up to date, and with them the transform
    axes.get_xlim()
    axes.get_ylim()
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [float(np.clip(to_axes.transform((x, y))[1], 0, 1)) for _, _, x, y in ends]
    order = sorted(range(len(ends)), key=heights.__getitem__)
    for below, index in itertools.pairwise(order):
        heights[index] = max(heights[index], heights[below] + NAME_HEIGHT)
    sink = max(0.0, heights[order[-1]] - 1)
    for (name, colour, _, _), height in zip(ends, heights, strict=True):
        place: dict[str, Any] = {
            "xycoords": "axes fraction",
            "va": "center",
            "fontsize": 11.5,
            "annotation_clip": False,
        }
        axes.annotate(name, (1.012, height - sink), color=colour, **place)


def as_svg(
    draw: Callable[["Axes"], None],
    size: tuple[int, int],
    title: str,
    left: int = 52,
    top: int = 10,
    right: int = 0,
) -> Markup:
    """What `draw` draws, for the page; sizes and least margins in CSS pixels."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with rc_context(PLOT_STYLE):
        figure = _drawn(draw, size, left, top, right)
        FigureCanvasSVG(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True)
    return Markup(_for_page(file.getvalue(), title))


def as_png(
    draw: Callable[["Axes"], None], size: tuple[int, int], left: int = 52, top: int = 10
) -> bytes:
    """The same as a PNG file on white, two pixels to the CSS pixel."""
    from matplotlib import rc_context

    with rc_context(PLOT_STYLE):
        file = io.BytesIO()
        _drawn(draw, size, left, top).savefig(file, format="png", dpi=144, facecolor="white")
    return file.getvalue()


def _drawn(
    draw: Callable[["Axes"], None], size: tuple[int, int], left: int, top: int, right: int = 0
) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    width, height = size
    # 72 SVG units to the inch: one unit is one CSS pixel
    figure = Figure((width / 72, height / 72))
    right = max(right, 84 if size == WIDE else 20)
    axes = figure.add_axes(
        (left / width, 44 / height, 1 - (left + right) / width, 1 - (44 + top) / height)
    )
    axes.margins(x=0.015)
    axes.xaxis.set_major_locator(round_ticks(8 if width == WIDE[0] else 5))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(tick))
    draw(axes)
    return figure


def own_colour(colour: str) -> str:
    """A plot's colour as the page writes it."""
    return f"var({VARIABLES[colour]})" if colour in VARIABLES else colour


def _for_page(text: str, title: str) -> str:
    """The <svg> element alone, with ids made from its title, the page's colours and a name for
    screen readers."""
    prefix = f"plot-{hashlib.sha256(title.encode()).hexdigest()[:8]}-"
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'xlink:href="#|href="#', f'href="#{prefix}', text)
    text = text.replace("url(#", f"url(#{prefix}")
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None, text[:300]
    return (
        f'<svg {box.group()} role="img" aria-label="{escape(title)}">'
        + text[text.index(">") + 1 :].strip()
    )


def tick(value: float, position: int | None = None) -> str:
    """A tick's number as people write it: 2,500, 25k, 1M, −40."""
    for factor, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10_000 and abs(value) >= factor:
            return f"{value / factor:g}{unit}".replace("-", "−")
    return f"{round(value, 10):,g}".replace("-", "−")
