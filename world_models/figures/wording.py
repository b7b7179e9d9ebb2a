"""Numbers and times as people write them."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

TABLE_WIDTH = 250
"""Of a table on a terminal: wide enough to fold no path, so that one can be copied."""
LARGEST_IN_FULL = 1e15


def number(value: float, scale: float | None = None) -> str:
    """A number as people write it: 884, 12.5, 0.0031, −40; a dash for what is not finite."""
    if not math.isfinite(value):
        return "–"
    if abs(value) >= LARGEST_IN_FULL:
        return f"{value:.2g}".replace("-", "−").replace("e+", "e")
    decimals = _decimals(abs(value if scale is None else scale))
    # + 0.0: nothing is written as −0
    return f"{round(value, decimals) + 0.0:,.{decimals}f}".replace("-", "−")


def _decimals(size: float) -> int:
    """How many a number of this size has; of small ones enough for two digits that count."""
    if size == 0 or size >= 100:
        return 0
    if size >= 10:
        return 1
    if size >= 0.1:
        return 2
    return min(8, 1 - math.floor(math.log10(size)))


def plus_minus(mean: float, std: float) -> str:
    """Mean ± standard deviation with as many decimals as the larger needs."""
    scale = max((abs(value) for value in (mean, std) if math.isfinite(value)), default=0.0)
    return f"{number(mean, scale)} ± {number(std, scale)}"


def duration(seconds: float) -> str:
    """12 s, 4 min 20 s, 33 min, 1 h 12 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h", f"{minutes} min"] if hours else [f"{minutes} min", f"{rest} s"]
    return " ".join(part for part in parts if not part.startswith("0 ")) or "0 s"


def plain_console() -> "Console":
    """A terminal for tables that shows names as they are, also where they look like markup."""
    from rich.console import Console

    return Console(width=TABLE_WIDTH, markup=False, emoji=False)
