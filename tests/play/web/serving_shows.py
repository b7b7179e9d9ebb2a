"""Shows that are served for a while, and ways to them that can be cut."""

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from world_models.play.drawing import Look
from world_models.play.show import Show
from world_models.play.web import serving
from world_models.play.web.serving import Web

SEEN = '{"kind":"seen"}'


class Addresses(logging.Handler):
    """Notes the sentences that are logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def until(happened: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


@contextlib.contextmanager
def served(
    show: Show, folder: Path, fps: int = 200, host: str | None = None, port: int = 0
) -> Iterator[tuple[str, Addresses]]:
    """The address at which a show is played in a thread; a signal ends it, as in a terminal."""
    web, notes, ends = Web(show, Look(fps, 96), folder, "Pellet"), Addresses(), threading.Event()
    step = web.desk.step

    def unless_ended() -> bytes:
        if ends.is_set():
            raise KeyboardInterrupt
        return step()

    web.desk.step = unless_ended  # type: ignore[method-assign]

    def wait_unless_ended(inbox: Any) -> None:
        while not web.desk.hands and not ends.is_set():
            web._hear(inbox, time.monotonic() + 0.01)

    web._wait = wait_unless_ended  # type: ignore[method-assign]
    logger, level = serving.log, serving.log.level
    logger.setLevel(logging.INFO)
    logger.addHandler(notes)
    playing = threading.Thread(target=web.run, args=(host, port))
    playing.start()
    try:
        opened = until(lambda: [said for said in notes.said if said.startswith("open ")])
        yield opened[0].split()[1], notes
    finally:
        ends.set()
        playing.join(30)
        logger.removeHandler(notes)
        logger.setLevel(level)
    assert not playing.is_alive()
    assert notes.said[-1].startswith("ended")


def socket_of(address: str, **more: Any) -> ClientConnection:
    """A page's socket; it says that it comes from the page."""
    origin = more.pop("origin", address.split("/")[2].join(["http://", ""]))
    place = address.replace("http", "ws") + "socket"
    return connect(place, origin=origin, compression=None, **more)


def next_moment(page: ClientConnection) -> bytes:
    """The next moment that is sent, seen at once."""
    while True:
        told = page.recv(timeout=30)
        if isinstance(told, bytes):
            page.send(SEEN)
            if told:
                return told


class Way:
    """A way from one port to another that can be cut, and stopped without a word."""

    def __init__(self, port: int) -> None:
        self.target, self.open, self.is_stopped = port, [], False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
                self.open += [near, far]
                threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError), selectors.DefaultSelector() as ready:
            ready.register(near, selectors.EVENT_READ, far)
            ready.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in ready.select():
                    content = key.fileobj.recv(1 << 16)
                    if not content:
                        return
                    if not self.is_stopped:
                        key.data.sendall(content)

    def cut(self) -> None:
        """Both ends are told that it is closed."""
        for end in self.open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.open.clear()

    def close(self) -> None:
        self.cut()
        self.listener.close()
