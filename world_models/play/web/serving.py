"""A show on a page: it is played in this thread, and served in another."""

import logging
import queue
import secrets
import socket
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from world_models.play.drawing import Look
from world_models.play.show import Show
from world_models.play.web.desk import Desk
from world_models.runs.signals import arrived

log = logging.getLogger(__name__)

NEEDED = ("starlette", "uvicorn", "websockets")
ALONE = "127.0.0.1"
"""Where nobody but this machine can ask."""
LONGEST_MESSAGE = 1 << 16
"""Bytes of what a page may say at once."""
IDLE_SECONDS = 0.5
"""How often is looked for a page where none is open."""
WAITED = "it has waited here: no page was open"


def require_web() -> None:
    """Without what serves pages it is a ValueError."""
    if any(find_spec(name) is None for name in NEEDED):
        raise ValueError('stage.ui=web needs the extra "web": pip install "world-models[web]"')


class Served:
    """What is offered, in a thread of its own, while it is entered."""

    def __init__(self, offer: str, host: str | None, port: int) -> None:
        """Without a host it is open to this machine alone, else to those who have the address.

        Port 0 is one that is free. What cannot be listened at is a ValueError.
        """
        import uvicorn

        from world_models.play.web.app import app_of
        from world_models.play.web.hub import Hub

        self.hub, self.host = Hub(offer), host or ALONE
        self.token = "" if host is None else secrets.token_urlsafe(16)
        self._socket = listening(self.host, port)
        config = uvicorn.Config(
            app_of(self.hub, self.host, self.token),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=LONGEST_MESSAGE,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))

    @property
    def address(self) -> str:
        """What is typed into a browser."""
        name = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        shown = f"[{name}]" if ":" in name else name
        place = f"{self.token}/" if self.token else ""
        return f"http://{shown}:{self._socket.getsockname()[1]}/{place}"

    def __enter__(self) -> "Served":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; where it cannot, ValueError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ValueError(
            f"nothing can listen at stage.host={host} stage.port={port} "
            f"({error.strerror or error}); stage.port=0 takes a port that is free"
        ) from None


class Web:
    """A show at an address, until Ctrl-C; while no page is open it waits."""

    def __init__(self, show: Show, look: Look, recordings: Path, name: str) -> None:
        """Recordings are written below a folder; `name` is that of what is played."""
        self.desk, self.fps, self.name = Desk(show, look, recordings), look.fps, name

    def run(self, host: str | None, port: int) -> None:
        """Go on until a signal comes; see `Served`."""
        with Served(self.desk.offer(self.name), host, port) as served:
            log.info("open %s in a browser; Ctrl-C ends it", served.address)
            try:
                self._play(served)
            except KeyboardInterrupt:
                arrived()
        said = self.desk.recorder.finish()
        log.info("%s", f"ended; {said}" if said else "ended")

    def _play(self, served: Served) -> None:
        inbox = served.hub.inbox
        self._wait(inbox)
        due = time.monotonic()
        while True:
            self._hear(inbox, due)
            if not self.desk.hands:
                log.info("no page is open: it waits")
                self._wait(inbox)
                log.info("a page is open: it goes on")
                self.desk.show.say(WAITED)
            served.hub.publish(self.desk.step())
            due = max(due + 1 / self.fps, time.monotonic())

    def _wait(self, inbox: queue.SimpleQueue) -> None:
        """Until a page is open."""
        while not self.desk.hands:
            self._hear(inbox, time.monotonic() + IDLE_SECONDS)

    def _hear(self, inbox: queue.SimpleQueue, due: float) -> None:
        """Do what pages say, until the next step is due."""
        while (left := due - time.monotonic()) > 0:
            try:
                self.desk.take(inbox.get(timeout=left))
            except queue.Empty:
                break
        for _ in range(inbox.qsize()):
            self.desk.take(inbox.get())
