"""The picture of the packages in docs/architecture.md, drawn from the imports that there are.

python -m benchmarks.package_map
"""

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from xml.sax.saxutils import escape

import grimp

PICTURE = Path(__file__).parents[1] / "docs" / "package_map.svg"
WIDTH, HEIGHT, ROW = 1000, 924, 104
BOX = 190, 56

ROOMS = {
    "main": (105, 0, "blue", "the command line"),
    "cli": (340, 0, "blue", "starting, resuming, sweeps"),
    "chains": (575, 0, "blue", "stages in one folder"),
    "stages": (810, 0, "blue", "one file per stage"),
    "play": (115, 1, "orange", "a session and its page"),
    "search": (640, 1, "orange", "CMA-ES, fitness, selection"),
    "report": (885, 1, "orange", "the page of a run"),
    "learning": (420, 2, "orange", "learners that stages share"),
    "agents": (200, 3, "green", "policies, agent.pt"),
    "measures": (735, 3, "green", "numbers beside baselines"),
    "worlds": (520, 4, "green", "models that dream on"),
    "config": (390, 5, "grey", "keys, composed and stored"),
    "data": (650, 5, "grey", "episodes, windows, latents"),
    "pools": (115, 6, "grey", "workers, here or elsewhere"),
    "figures": (680, 6, "grey", "plots, pictures, videos"),
    "runs": (330, 7, "grey", "run folders, checkpoints"),
    "envs": (300, 8, "purple", "games as batches of pixels"),
    "models": (520, 8, "purple", "tensors in, tensors out"),
    "losses": (885, 8, "purple", "what models minimise"),
}
"""Package or module -> middle of its box, row, colour, words."""
UNDRAWN = {"trained", "conf"}
"""Folders of files that hold no code."""

STYLE = """
.back { fill: #ffffff }
.box { fill: #ffffff; stroke-width: 1.5 }
.blue { stroke: #2f6fb0 } .orange { stroke: #c2701c } .green { stroke: #3a8a4d }
.grey { stroke: #6b7280 } .purple { stroke: #7d55b5 }
.way { fill: none; stroke: #7a8290; stroke-width: 1.5 }
.tip { fill: #7a8290 }
text { font-family: system-ui, sans-serif; text-anchor: middle }
.name { font-size: 17px; font-weight: 600; fill: #1a1d23 }
.words { font-size: 13px; fill: #4b5260 }
@media (prefers-color-scheme: dark) {
  .back { fill: #16181d } .box { fill: #1f232b }
  .name { fill: #eceff4 } .words { fill: #aab2c0 }
  .way { stroke: #8d96a6 } .tip { fill: #8d96a6 }
}
""".strip()


def imports() -> set[tuple[str, str]]:
    """(who, whom) of all rooms of the package where a file of the one imports a file of the other.

    A room without a place in the picture, or a place without a room, is a ValueError.
    """
    graph = grimp.build_graph("world_models", cache_dir=None)
    children = graph.find_children("world_models")
    rooms = {name.removeprefix("world_models.") for name in children} - UNDRAWN
    if rooms != {*ROOMS}:
        raise ValueError(f"ROOMS needs or has too much: {sorted(rooms ^ {*ROOMS})}")

    def imported(who: str, whom: str) -> bool:
        names = f"world_models.{who}", f"world_models.{whom}"
        return graph.direct_import_exists(importer=names[0], imported=names[1], as_packages=True)

    return {pair for pair in permutations(ROOMS, 2) if imported(*pair)}


def shortest(edges: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """The edges that no longer way replaces; from these all others follow (Aho et al. 1972)."""
    below = {who: {whom for first, whom in edges if first == who} for who in ROOMS}

    def reached(who: str) -> set[str]:
        return below[who].union(*map(reached, below[who]))

    return sorted(
        (who, whom)
        for who, whom in edges
        if not any(whom in reached(between) for between in below[who])
    )


def drawn(edges: set[tuple[str, str]]) -> str:
    """The picture as SVG."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>What imports what in world_models</title>",
        f"<style>\n{STYLE}\n</style>",
        '<defs><marker id="tip" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">'
        '<path class="tip" d="M0,0 L9,4 L0,8 z"/></marker></defs>',
        f'<rect class="back" width="{WIDTH}" height="{HEIGHT}" rx="12"/>',
        *(
            f'<path class="way" marker-end="url(#tip)" d="{way(*edge)}"/>'
            for edge in shortest(edges)
        ),
        *(line for name in ROOMS for line in box(name)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def box(name: str) -> Iterator[str]:
    """A room: its frame, its name, its words."""
    x, row, colour, words = ROOMS[name]
    top = _top(row)
    left, (width, height) = x - BOX[0] // 2, BOX
    shape = f'x="{left}" y="{top}" width="{width}" height="{height}" rx="8"'
    yield f'<rect class="box {colour}" {shape}/>'
    yield f'<text class="name" x="{x}" y="{top + 24}">{name}</text>'
    yield f'<text class="words" x="{x}" y="{top + 44}">{escape(words)}</text>'


def way(who: str, whom: str) -> str:
    """The line from one room to another: sideways within a row, else to its place and down."""
    (x, row, *_), (to, below, *_) = ROOMS[who], ROOMS[whom]
    if row == below:
        middle = _top(row) + BOX[1] // 2
        return f"M{x + BOX[0] // 2},{middle} H{to - BOX[0] // 2 - 2}"
    begin, bend, end = _top(row) + BOX[1], _top(row + 1) - 14, _top(below) - 2
    half = (begin + bend) // 2
    return f"M{x},{begin} C{x},{half} {to},{half} {to},{bend} V{end}"


def _top(row: int) -> int:
    return 18 + ROW * row


def main() -> None:
    """Draw it anew."""
    PICTURE.write_text(drawn(imports()))


if __name__ == "__main__":
    main()
