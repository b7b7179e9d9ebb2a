"""Names under which one may ask, and those of strangers."""

import pytest

from world_models.play.web.guard import Guard, is_ours


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "box.example"])
def test_this_machine_is_always_ours(name: str, host: str) -> None:
    assert is_ours(name, host)


@pytest.mark.parametrize(
    ("name", "host", "ours"),
    [
        ("box.example", "box.example", True),
        ("box.example", "Box.Example", True),
        ("192.168.1.5", "0.0.0.0", True),
        ("fe80::1", "::", True),
        ("evil.example", "127.0.0.1", False),
        ("evil.example", "0.0.0.0", False),
        ("192.168.1.5", "127.0.0.1", False),
        ("127.0.0.1.evil.example", "0.0.0.0", False),
        ("", "127.0.0.1", False),
    ],
)
def test_only_what_leads_here_alone_is_ours(name: str, host: str, ours: bool) -> None:
    assert is_ours(name, host) == ours


async def nothing(*given: object) -> None:
    """Nobody asks it."""


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"host": "localhost:9", "origin": "http://localhost:9"}, True),
        ({"host": "[::1]:9", "origin": "http://[::1]:9"}, True),
        ({"host": "localhost:9"}, False),
        ({"host": "localhost:9", "origin": "null"}, False),
        ({"host": "localhost:9", "origin": "http://localhost:8"}, False),
        ({"host": "localhost:9", "origin": "http://evil.example"}, False),
        ({"host": "evil.example:9", "origin": "http://evil.example:9"}, False),
        ({"host": "[", "origin": "http://["}, False),
        ({}, False),
    ],
)
def test_a_socket_is_for_pages_that_were_served_here(
    headers: dict[str, str], allowed: bool
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    guard = Guard(nothing, "127.0.0.1")
    assert guard._allows({"type": "websocket", "headers": raw}) == allowed
