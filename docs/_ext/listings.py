"""Folders of results as pages: a link to a folder leads to a list of its files, which go along."""

import posixpath
import shutil
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

RESULTS = "docs/results"


def link_folders(app: Sphinx, document: nodes.document) -> None:
    """Lead links to folders below the results to the pages that list them."""
    here = app.env.path2doc(document["source"]) or ""
    for node in list(document.findall(pending_xref)):
        target = posixpath.join(posixpath.dirname(here), node["reftarget"])
        folder = posixpath.normpath(target)
        if folder.startswith(f"{RESULTS}/") and (Path(app.srcdir) / folder).is_dir():
            uri = f"{node['reftarget'].rstrip('/')}/index.html"
            node.replace_self(nodes.reference("", "", *node.children, refuri=uri, internal=True))


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """A page for each folder of results, and for the site's root one that leads to its start."""
    yield "index", {"start": f"{app.config.root_doc}.html"}, "start.html"
    for folder in sorted((Path(app.srcdir) / RESULTS).rglob("*/")):
        name = folder.relative_to(app.srcdir).as_posix()
        title = folder.relative_to(Path(app.srcdir) / RESULTS).as_posix()
        back = "../" * (title.count("/") + 1) + "README.html"
        entries = "".join(map(_entry, sorted(folder.iterdir())))
        head = f'<h1>{escape(title)}</h1>\n<p>Files of <a href="{back}">Results</a></p>'
        body = f"{head}\n<ul>{entries}</ul>"
        yield f"{name}/index", {"title": title, "body": body}, "page.html"


def _entry(path: Path) -> str:
    """A folder by its list, a page as the site has it, and any other file itself."""
    if path.is_dir():
        return f'<li><a href="{escape(path.name)}/index.html">{escape(path.name)}/</a></li>'
    target = path.with_suffix(".html").name if path.suffix == ".md" else path.name
    return f'<li><a href="{escape(target)}">{escape(path.name)}</a></li>'


def copy_results(app: Sphinx, error: Exception | None) -> None:
    """The files of the results beside the pages that list them."""
    if error is None and app.builder.name == "html":
        source, target = Path(app.srcdir) / RESULTS, Path(app.outdir) / RESULTS
        skipped = shutil.ignore_patterns("*.md")
        shutil.copytree(source, target, ignore=skipped, dirs_exist_ok=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("doctree-read", link_folders)
    app.connect("html-collect-pages", pages)
    app.connect("build-finished", copy_results)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
