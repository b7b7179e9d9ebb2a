"""What a page says and what it is shown at the same moment."""

import asyncio
from typing import Any

import pytest

from world_models.play.web.hub import NOT_UNDERSTOOD, Hub


class Socket:
    """A page that says nonsense some rounds of the event loop after a moment was shown."""

    def __init__(self, rounds: int) -> None:
        self.rounds, self.is_asked = rounds, asyncio.Event()
        self.ending: tuple[int, str] | None = None

    async def accept(self) -> None:
        pass

    async def send_text(self, text: str) -> None:
        pass

    async def send_bytes(self, moment: bytes) -> None:
        pass

    async def receive(self) -> dict[str, Any]:
        await self.is_asked.wait()
        for _ in range(self.rounds):
            await asyncio.sleep(0)
        return {"type": "websocket.receive", "text": "nonsense"}

    async def close(self, code: int, reason: str) -> None:
        self.ending = code, reason


@pytest.mark.parametrize("rounds", range(6))
def test_nonsense_closes_a_page_whatever_is_on_its_way_to_it(rounds: int) -> None:
    async def talk() -> None:
        socket, hub = Socket(rounds), Hub("{}")
        talking = asyncio.create_task(hub.talk(socket))  # type: ignore[arg-type]
        while not hub._pages:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        hub.publish(b"a moment")
        socket.is_asked.set()
        ended, _ = await asyncio.wait({talking}, timeout=2)
        assert ended
        assert socket.ending is not None and socket.ending[0] == NOT_UNDERSTOOD

    asyncio.run(talk())
