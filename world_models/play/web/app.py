"""What is served: one page with its style and scripts, and the socket behind it."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp

from world_models.play.web.guard import HEADERS, Guard
from world_models.play.web.hub import Hub

OWN = Path(__file__).parent / "page"
SHARED = Path(__file__).parents[1] / "page"
FILES = {
    "": OWN / "index.html",
    "style.css": SHARED / "style.css",
    "keys.js": SHARED / "keys.js",
    **{path.name: path for path in sorted(OWN.iterdir()) if path.suffix in (".css", ".js")},
}
"""Everything that can be fetched, by its name."""
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def app_of(hub: Hub, host: str, token: str) -> ASGIApp:
    """The application below /<token>/, or below / where the token is empty."""
    routes: list[BaseRoute] = [Route(f"/{name}", _answer(path)) for name, path in FILES.items()]
    routes.append(WebSocketRoute("/socket", hub.talk))
    below = Starlette(routes=[Mount(f"/{token}", routes=routes)] if token else routes)
    return Guard(below, host)


def _answer(path: Path) -> Callable[[Request], Awaitable[Response]]:
    content, kind = path.read_bytes(), KINDS[path.suffix]

    async def answer(request: Request) -> Response:
        return Response(content, headers=HEADERS, media_type=kind)

    return answer
