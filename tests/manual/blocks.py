"""The code blocks of all pages, as Sybil finds them, and the commands in them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from sybil import Document, Example, Region
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
"""Every page, of which CHANGELOG.md tells of the past."""
INFO = re.compile(r"[ \t]*(?P<info>[^\n]*)$\n", re.MULTILINE)
SHELL = ("sh", "bash")
"""Infos of blocks that hold commands."""
PROGRAM = (
    r"(?:\w+=\S+ |srun )*(?:python -m world_models\.main|world-models|"
    r"torchrun (?:--[^\s<]*(?:<[^>]*>\S*)? )*-m world_models\.main)(?= |$)"
)
"""What starts this program."""


@dataclass(frozen=True)
class Block:
    """A fenced block: what stands behind its fence, and what it holds."""

    page: str
    line: int
    info: str
    source: str


def blocks() -> list[Block]:
    """Those of all pages, in their order."""
    return [
        Block(page.relative_to(ROOT).as_posix(), found.line, *_texts(found.region))
        for page in PAGES
        if page.name != "CHANGELOG.md"
        for found in examples_of(page)
    ]


def examples_of(page: Path) -> list[Example]:
    """Sybil's examples of a page: its blocks, with one namespace for all."""
    return list(Document.parse(str(page), RawFencedCodeBlockLexer(INFO)).examples())


def _texts(region: Region) -> tuple[str, str]:
    return region.lexemes["info"].strip(), str(region.lexemes["source"])


def included(block: Block) -> Path | None:
    """The file that a literalinclude shows."""
    found = re.fullmatch(r"\{literalinclude\} (\S+)", block.info)
    return None if found is None else (ROOT / block.page).parent / found[1]


@dataclass(frozen=True)
class Command:
    """A line of shell as it is typed, without its comment."""

    page: str
    line: str
    # of a script: one that the page includes, or a whole one in a block
    in_script: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether it starts this program."""
        return re.match(PROGRAM, self.line) is not None

    @property
    def arguments(self) -> list[str]:
        """What follows the program's name; a variable of the shell is 1."""
        typed = re.sub(r"\$\{?\w+\}?", "1", re.sub(PROGRAM, "", self.line, count=1))
        return shlex.split(typed)


def is_script(block: Block) -> bool:
    """Whether a block holds a whole script, with what is no command of its own."""
    return block.info in SHELL and block.source.startswith("#!")


def commands() -> list[Command]:
    """Those of all blocks, and those of this program in scripts; continued lines are joined."""
    found = []
    for block in blocks():
        path = included(block)
        text = block.source if block.info in SHELL else ""
        if path is not None and path.suffix == ".sh":
            text = path.read_text()
        lines = [line.split(" #")[0] for line in text.replace("\\\n", " ").splitlines()]
        typed = [" ".join(line.split()) for line in lines if not line.lstrip().startswith("#")]
        inside = path is not None or is_script(block)
        whole = [Command(block.page, line, inside) for line in typed if line]
        found += [each for each in whole if each.is_ours or not inside]
    return found
