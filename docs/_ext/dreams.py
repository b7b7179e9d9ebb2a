"""The dream of the packaged agent, driven on a page: the site writes what `stage=export` writes."""

from itertools import count
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PAGE = "docs/stages/export"
NAME = "dream.html"
PLACES = 8
"""Where its dreams begin: few, so that the site is built as quickly as without it."""
FRAME = (
    f'<iframe class="dream" src="{NAME}" loading="lazy" '
    'title="A dream of CarRacing, to be driven"></iframe>'
)


class Dream(SphinxDirective):
    """Shows it where it stands."""

    def run(self) -> list[nodes.Node]:
        """The file in a frame of its own."""
        return [nodes.raw("", FRAME, format="html")]


def write_dream(app: Sphinx, error: Exception | None) -> None:
    """The file beside the page that shows it."""
    if error is None and app.builder.name == "html":
        (Path(app.outdir) / PAGE).with_name(NAME).write_text(exported())


def exported() -> str:
    """As `stage=export agent=car_racing` makes it, with fewer places to begin."""
    from world_models.agents.agent import load_agent
    from world_models.agents.trained import find_agent
    from world_models.envs.config import Backend
    from world_models.envs.make import make_vector_env
    from world_models.play.beginnings import played
    from world_models.play.cast import Driver, cast_of_agent
    from world_models.play.controls import Controls
    from world_models.play.export import page_of
    from world_models.play.game import Game
    from world_models.play.session import Session

    cast = cast_of_agent(load_agent(find_agent("car_racing")), Backend.gymnasium)
    game = Game(make_vector_env(cast.env, cast.backend, 1))
    session = Session(cast, game, Controls(driver=Driver.agent), count())
    try:
        return page_of(cast, played(session, PLACES))
    finally:
        session.close()


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("dream", Dream)
    app.connect("build-finished", write_dream)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
