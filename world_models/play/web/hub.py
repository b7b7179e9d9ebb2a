"""The pages that are open: each gets the newest moment, and what it says goes into one inbox."""

import asyncio
import itertools
import queue
import time

from starlette.websockets import WebSocket, WebSocketDisconnect

from world_models.play.web.messages import Came, Left, Mail, Seen, parsed

AHEAD = 2
"""So many moments may be under way to a page; the next one goes once it has seen one."""
PULSE = 1.0
"""Seconds after which an empty message says that the link holds, where nothing else was said."""
PATIENCE = 8.0
"""Seconds after which a page that saw nothing of what is under way counts as gone."""
NOT_UNDERSTOOD, GONE = 1008, 1001
"""Codes with which sockets are closed."""
Ending = tuple[int, str]
"""Such a code, and why."""


class Page:
    """One socket. It never has a queue: what it was too slow for, it does not get."""

    def __init__(self, socket: WebSocket, number: int) -> None:
        self.socket, self.number = socket, number
        self.newest: bytes | None = None
        self.under_way = 0
        self.changed = asyncio.Event()
        self.seen_at = time.monotonic()

    def show(self, moment: bytes) -> None:
        """The newest moment."""
        self.newest = moment
        self.changed.set()

    def saw(self) -> None:
        """What was sent first has arrived."""
        self.under_way = max(0, self.under_way - 1)
        self.seen_at = time.monotonic()
        self.changed.set()

    async def send(self) -> None:
        """Send as fast as it sees; a page that sees nothing any more is a TimeoutError."""
        while True:
            try:
                # not wait_for, which may swallow that the other way has ended (Python 3.11)
                async with asyncio.timeout(PULSE):
                    await self.changed.wait()
            except TimeoutError:
                self.newest = self.newest or b""
            self.changed.clear()
            if self.under_way and time.monotonic() - self.seen_at > PATIENCE:
                raise TimeoutError
            if self.newest is not None and self.under_way < AHEAD:
                await self._send_newest()

    async def _send_newest(self) -> None:
        assert self.newest is not None
        moment, self.newest = self.newest, None
        if not self.under_way:
            self.seen_at = time.monotonic()
        self.under_way += 1
        async with asyncio.timeout(PATIENCE):
            await self.socket.send_bytes(moment)


class Hub:
    """Between the thread that plays and the thread that serves.

    `publish` is called in the first; all else runs in the second.
    """

    def __init__(self, offer: str) -> None:
        """`offer` is what a page is told first."""
        self.offer = offer
        self.inbox: queue.SimpleQueue[Mail] = queue.SimpleQueue()
        self._pages: set[Page] = set()
        self._numbers = itertools.count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._newest: bytes | None = None

    def publish(self, moment: bytes) -> None:
        """Show it on every page, unless it is there already."""
        if self._loop is not None and moment != self._newest:
            self._newest = moment
            self._loop.call_soon_threadsafe(self._show, moment)

    def _show(self, moment: bytes) -> None:
        for page in self._pages:
            page.show(moment)

    async def talk(self, socket: WebSocket) -> None:
        """With one page, until it leaves."""
        self._loop = asyncio.get_running_loop()
        await socket.accept()
        page = Page(socket, next(self._numbers))
        await socket.send_text(self.offer)
        if self._newest is not None:
            page.show(self._newest)
        self._pages.add(page)
        self.inbox.put(Mail(page.number, Came()))
        try:
            ending = await self._both_ways(page)
        finally:
            self._pages.remove(page)
            self.inbox.put(Mail(page.number, Left()))
        if ending is not None:
            await socket.close(*ending)

    async def _both_ways(self, page: Page) -> Ending | None:
        """Until one way ends; returns with what the socket is to be closed, if it is open yet."""
        ending: Ending | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(page.send())
                tasks.create_task(self._hear(page))
        except* WebSocketDisconnect:
            pass
        except* TimeoutError:
            ending = GONE, "nothing of what was sent was seen"
        except* ValueError as errors:
            ending = NOT_UNDERSTOOD, str(errors.exceptions[0])[:120]
        return ending

    async def _hear(self, page: Page) -> None:
        while True:
            received = await page.socket.receive()
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(received["code"])
            message = parsed(received.get("text") or "")
            if isinstance(message, Seen):
                page.saw()
            else:
                self.inbox.put(Mail(page.number, message))
