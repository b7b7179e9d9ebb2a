"""How Python sources are written: size, length of lines and functions, and density.

    python -m benchmarks.house
    python -m benchmarks.house world_models ../another/package

Tokens are names, operators, numbers and strings. Those of a function are divided by all the lines
that it spans, and the median over the functions is given. Both a function and one inside it count.
Empty lines have no part in the lengths of lines.
"""

import argparse
import ast
import io
import tokenize
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

COUNTED_TOKENS = (tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING)
LINE_LIMIT = 100
FUNCTION_LIMIT = 50


@dataclass
class Sources:
    """What was read of a folder's files."""

    files: int = 0
    lines: int = 0
    # characters of each line that is not empty
    line_lengths: list[int] = field(default_factory=list)
    # lines that each function spans
    function_lengths: list[int] = field(default_factory=list)
    # tokens of each function, for each of these lines
    densities: list[float] = field(default_factory=list)


def read_sources(folder: Path) -> Sources:
    """All Python files below a folder; a folder without functions ends with one sentence."""
    sources = Sources()
    for path in sorted(folder.rglob("*.py")):
        add_file(sources, path.read_text(encoding="utf-8"))
    if not sources.function_lengths:
        raise SystemExit(f"error: {folder} has no Python files with functions: name another folder")
    return sources


def add_file(sources: Sources, text: str) -> None:
    """Count one file."""
    lines = text.splitlines()
    sources.files += 1
    sources.lines += len(lines)
    sources.line_lengths += [len(line) for line in lines if line.strip()]
    tokens = tokens_before_each_line(text, len(lines))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            last = node.end_lineno or node.lineno
            length = last - node.lineno + 1
            sources.function_lengths.append(length)
            sources.densities.append((tokens[last + 1] - tokens[node.lineno]) / length)


def tokens_before_each_line(text: str, num_lines: int) -> np.ndarray:
    """At [n] the number of tokens that begin before line n, lines counted from 1."""
    per_line = np.zeros(num_lines + 2, int)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in COUNTED_TOKENS:
            per_line[token.start[0]] += 1
    return np.concatenate([[0], per_line.cumsum()])


def rows_of(sources: Sources) -> dict[str, str]:
    """The table's rows."""
    lines = np.array(sources.line_lengths)
    functions = np.array(sources.function_lengths)
    return {
        "files": f"{sources.files:,}",
        "lines": f"{sources.lines:,}",
        "line length p90": f"{np.percentile(lines, 90):.0f}",
        f"lines over {LINE_LIMIT} columns": f"{np.mean(lines > LINE_LIMIT):.1%}",
        "tokens per line inside functions": f"{np.median(sources.densities):.1f}",
        "function length median": f"{np.median(functions):.0f}",
        "function length p90": f"{np.percentile(functions, 90):.0f}",
        "longest function": f"{functions.max()}",
        f"functions over {FUNCTION_LIMIT} lines": f"{(functions > FUNCTION_LIMIT).sum()}",
    }


def main() -> None:
    """Read one folder or two, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path("world_models"))
    parser.add_argument("beside", type=Path, nargs="?", help="a second folder")
    options = parser.parse_args()
    folders = [folder for folder in (options.folder, options.beside) if folder is not None]
    columns = [rows_of(read_sources(folder)) for folder in folders]
    table = Table("", box=None, pad_edge=False)
    for folder in folders:
        table.add_column(str(folder), justify="right")
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
