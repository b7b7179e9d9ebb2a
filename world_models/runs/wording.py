"""Numbers and times as people write them."""

import math


def number(value: float, scale: float | None = None) -> str:
    """A number as people write it: 884, 12.5, 0.0031, −40; a dash for what is not finite."""
    if not math.isfinite(value):
        return "–"
    size = abs(value if scale is None else scale)
    decimals = (
        0
        if size >= 100
        else 1
        if size >= 10
        else 2
        if size >= 0.1 or size == 0
        else min(8, 1 - math.floor(math.log10(size)))
    )
    text = f"{value:,.{decimals}f}"
    return text.replace("-", "−")


def plus_minus(mean: float, std: float) -> str:
    """Mean ± standard deviation with as many decimals as the larger needs."""
    scale = max((abs(value) for value in (mean, std) if math.isfinite(value)), default=0.0)
    return f"{number(mean, scale)} ± {number(std, scale)}"


def duration(seconds: float) -> str:
    """12 s, 4 min 20 s, 1 h 12 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
