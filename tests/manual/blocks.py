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
PROGRAM = r"(?:\w+=\S+ )*(?:python -m world_models\.main|world-models)\b"


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
    # of a script that the page includes
    in_script: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether it starts this program."""
        return re.match(PROGRAM, self.line) is not None

    @property
    def arguments(self) -> list[str]:
        """What follows the program's name."""
        return shlex.split(re.sub(PROGRAM, "", self.line, count=1))


def commands() -> list[Command]:
    """Those of all blocks, and of the scripts that pages include; continued lines are joined."""
    found = []
    for block in blocks():
        path = included(block)
        text = block.source if block.info == "sh" else ""
        if path is not None and path.suffix == ".sh":
            text = path.read_text()
        lines = [line.split(" #")[0] for line in text.replace("\\\n", " ").splitlines()]
        typed = [" ".join(line.split()) for line in lines if not line.lstrip().startswith("#")]
        found += [Command(block.page, line, path is not None) for line in typed if line]
    return found
