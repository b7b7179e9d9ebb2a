"""Who may ask: pages that this program has served, under a name of this machine."""

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")
ANY = ("0.0.0.0", "::")
"""Hosts that mean every address of this machine."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""With every answer: nothing is fetched from elsewhere, nothing is kept, no page frames it."""
REFUSED = "this address does not belong to the program that answers here\n"


class Guard:
    """Refuses requests under strangers' names, and sockets from strangers' pages.

    A page of somebody else can let its own name lead to this machine (DNS rebinding), but it
    cannot change the name under which it asks. A socket may be opened from anywhere, and says
    from where.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        """`host` is where it listens."""
        self.app, self.host = app, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on what may be asked."""
        if self._allows(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": REFUSED.strip()})
        else:
            await PlainTextResponse(REFUSED, 403, HEADERS)(scope, receive, send)

    def _allows(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        named, origin = headers.get("host", ""), headers.get("origin")
        if not is_ours(_name_in(named), self.host):
            return False
        return origin == f"http://{named}" if scope["type"] == "websocket" else True


def is_ours(name: str, host: str) -> bool:
    """Whether a name can only mean this machine, where one listens at `host`."""
    if name in (*LOOPBACK, host.lower()):
        return True
    return host in ANY and (name == socket.gethostname().lower() or _is_number(name))


def _name_in(address: str) -> str:
    """The name without a port; empty where it cannot be read."""
    try:
        return urlsplit(f"//{address}").hostname or ""
    except ValueError:
        return ""


def _is_number(name: str) -> bool:
    """Whether it is an address that no name server has given."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
