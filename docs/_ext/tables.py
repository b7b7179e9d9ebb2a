"""Tables that pages bring in by name, {settings} and {columns}, made from the code itself."""

from collections.abc import Iterable, Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from world_models.chains import catalogue
from world_models.config.compose import compose_config
from world_models.config.meanings import Column, Key, columns_of, keys_of
from world_models.config.schema import register
from world_models.config.stage import Stage
from world_models.runs.quotes import as_typed

Row = list[list[nodes.Node]]
"""The cells of a row, each with its inline content."""


class Settings(SphinxDirective):
    """{settings} <stage>, {settings} env=<env> or {settings} root: keys, defaults, meanings."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Called by docutils."""
        found = list(keys_named(self.arguments[0]))
        if not found:
            return [nodes.paragraph("", "It has no keys.")]
        return [table(("key", "default", "meaning"), map(key_row, found), (35, 15, 50))]


def keys_named(name: str) -> Iterator[Key]:
    """The keys of a stage, an environment, or all stages, with the values of conf/."""
    register(catalogue.schemas())
    if name == "root":
        config = compose_config(["stage=runs"]).config
        yield from (key for key in keys_of(config) if key.name.partition(".")[0] not in PARTS)
    elif name.startswith("env="):
        yield from keys_of(compose_config(["stage=runs", name]).config.env, "env.")
    else:
        yield from keys_of(compose_config([f"stage={name}"]).config.stage, "stage.")


PARTS = ("stage", "env")


def key_row(key: Key) -> Row:
    """A key, its default, and what it means with its choices."""
    meaning = prose(f"{key.meaning} ({key.kind})")
    for name, told in key.choices.items():
        meaning += prose(f"; `{name}`" + f": {told}" * bool(told))
    return [[nodes.literal("", key.name)], [nodes.literal("", as_typed(key.value))], meaning]


class Columns(SphinxDirective):
    """{columns} <stage>: a table for each CSV file of its run folders, with units and meanings."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Called by docutils."""
        stage = catalogue.row(self.arguments[0])
        if not isinstance(stage, Stage) or not stage.tables:
            raise self.error(f"stage {stage.name} writes no tables of its own")
        return [node for name, kind in stage.tables.items() for node in self._table(name, kind)]

    def _table(self, name: str, kind: type) -> Iterator[nodes.Node]:
        heads = ("column", "unit", "meaning")
        yield nodes.rubric("", "", nodes.literal("", f"{name}.csv"))
        yield table(heads, map(column_row, columns_of(kind)), (25, 20, 55))


def column_row(column: Column) -> Row:
    """A column, its unit, its meaning."""
    return [
        [nodes.literal("", column.name)],
        prose(column.unit),
        prose(column.meaning),
    ]


def prose(text: str) -> list[nodes.Node]:
    """A sentence in which code stands in backticks."""
    parts = enumerate(text.split("`"))
    return [nodes.literal("", part) if place % 2 else nodes.Text(part) for place, part in parts]


def table(heads: Iterable[str], rows: Iterable[Row], widths: tuple[int, ...]) -> nodes.table:
    """A table as docutils has it."""
    group = nodes.tgroup(cols=len(widths))
    group += [nodes.colspec(colwidth=width) for width in widths]
    group += nodes.thead("", _row([[nodes.Text(head)] for head in heads]))
    group += nodes.tbody("", *map(_row, rows))
    return nodes.table("", group, classes=["own"])


def _row(cells: Row) -> nodes.row:
    entries = [nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells]
    return nodes.row("", *entries)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("settings", Settings)
    app.add_directive("columns", Columns)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
