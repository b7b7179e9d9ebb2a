"""What a run was built on, as a small graph: each run a box, the oldest on the left."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup, escape

from world_models.report.modules import report_of
from world_models.runs.past import PastRun
from world_models.runs.places import led_to

MOST = 40
"""Runs of a graph; what lies further back is left out."""
BOX, GAP, ROW, HEIGHT = 150, 34, 74, 54
MARGIN = 4
LONGEST = 22
"""Letters of a line in a box."""


@dataclass
class Node:
    """A run, or a file that no run made."""

    path: Path
    title: str
    name: str
    # whether the page is about it
    own: bool = False
    # what it was built on -> the kinds of files
    behind: dict[Path, list[str]] = field(default_factory=dict)
    column: int = 0
    row: int = 0

    @property
    def left(self) -> int:
        """Of its box."""
        return MARGIN + self.column * (BOX + GAP)

    @property
    def top(self) -> int:
        """Of its box."""
        return MARGIN + self.row * ROW


def graph(folders: Sequence[Path]) -> Markup | None:
    """The picture of the runs in `folders` and of all behind them; None of a run that has none."""
    nodes = _nodes(folders)
    if len(nodes) < 2:
        return None
    _place(nodes)
    width = max(node.left for node in nodes.values()) + BOX + MARGIN
    height = max(node.top for node in nodes.values()) + ROW
    edges = [text for node in nodes.values() for text in _edges(node, nodes)]
    boxes = [_box(node) for node in nodes.values()]
    label = "what was made from what"
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{label}">{"".join([*edges, *boxes])}</svg>'
    )


def _nodes(folders: Sequence[Path]) -> dict[Path, Node]:
    """By their real paths: the runs, and all that they were built on."""
    own = {folder.resolve() for folder in folders if (folder / "manifest.json").is_file()}
    left, found = sorted(own), dict[Path, Node]()
    while left and len(found) < MOST:
        path = left.pop(0)
        if path not in found:
            found[path] = _node(path, path in own)
            left += found[path].behind
    for node in found.values():
        node.behind = {path: kinds for path, kinds in node.behind.items() if path in found}
    return found


def _node(path: Path, own: bool) -> Node:
    run = PastRun(path)
    if not path.is_dir() or not run.is_one:
        return Node(path, "a file", path.name)
    report = report_of(run.stage)
    node = Node(path, report.TITLE if report else run.stage, "/".join(path.parts[-2:]), own)
    for kind, file in _inputs(run):
        source = _made_by(file)
        if source != path:
            node.behind.setdefault(source, []).append(kind)
    return node


def _inputs(run: PastRun) -> Iterator[tuple[str, Path]]:
    for entry in run.manifest.get("inputs", []):
        yield str(entry["kind"]), led_to(run.path, entry["path"]).resolve()


def _made_by(file: Path) -> Path:
    """The run folder in which a file lies; the file itself where that is none of a run."""
    above = (parent for parent in file.parents if (parent / "manifest.json").is_file())
    return next((parent for parent in above if PastRun(parent).is_one), file)


def _place(nodes: dict[Path, Node]) -> None:
    """Give each a column, right of all that it was built on, and a row."""
    for _ in nodes:
        for node in nodes.values():
            behind = [nodes[path].column + 1 for path in node.behind]
            node.column = min(max([0, *behind]), len(nodes))
    rows = dict[int, int]()
    for node in nodes.values():
        node.row = rows.get(node.column, 0)
        rows[node.column] = node.row + 1


def _edges(node: Node, nodes: dict[Path, Node]) -> Iterator[str]:
    """Lines from what a run was built on; one that skips columns goes below the boxes between."""
    for path, kinds in node.behind.items():
        source = nodes[path]
        start = (source.left + BOX, source.top + HEIGHT // 2)
        end = (node.left, node.top + HEIGHT // 2)
        far = node.column - source.column > 1
        line = _bow(source, node) if far else f"M{start[0]} {start[1]} L{end[0] - 2} {end[1]}"
        tip = f"M{end[0] - 8} {end[1] - 4} L{end[0] - 2} {end[1]} L{end[0] - 8} {end[1] + 4}"
        style = 'fill="none" stroke="var(--faint)" stroke-width="1.4"'
        head = "" if far else f' <path d="{tip}" {style}/>'
        said = escape(", ".join(dict.fromkeys(kinds)))
        yield f'<g><title>{said}</title><path d="{line}" {style}/>{head}</g>'


def _bow(source: Node, node: Node) -> str:
    """A line from the bottom of one box to the bottom of another."""
    x, y = source.left + BOX - 24, source.top + HEIGHT
    to, end = node.left + 24, node.top + HEIGHT
    return f"M{x} {y} C{x + 16} {y + 18} {to - 16} {end + 18} {to} {end}"


def _box(node: Node) -> str:
    line = "var(--blue)" if node.own else "var(--line)"
    middle = node.left + 12
    return (
        f'<g><rect x="{node.left}" y="{node.top}" width="{BOX}" height="{HEIGHT}" rx="8" '
        f'fill="var(--card)" stroke="{line}" stroke-width="1.4"/>'
        f'<text x="{middle}" y="{node.top + 23}" font-size="14" font-weight="550" '
        f'fill="var(--ink)">{escape(_short(node.title))}</text>'
        f'<text x="{middle}" y="{node.top + 41}" font-size="11" '
        f'fill="var(--soft)">{escape(_short(node.name))}</text></g>'
    )


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"…{text[1 - LONGEST :]}"
