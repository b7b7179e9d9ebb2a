"""The server by a client of its own: who may ask, what comes, and how it ends."""

import http.client
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from serving_shows import next_moment, served, socket_of, until
from told import read
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from world_models.play.cast import Driver
from world_models.play.show import Playing
from world_models.play.web import serving
from world_models.play.web.serving import WAITED, listening, require_web

FIRST_SEED = 70


@pytest.fixture
def session(make: Any) -> Any:
    return make(driver=Driver.random, horizon=20)


def answer(address: str, path: str, **headers: str) -> http.client.HTTPResponse:
    """To one GET."""
    _, _, named, *_ = address.split("/")
    asking = http.client.HTTPConnection(named, timeout=30)
    asking.request("GET", path, headers=headers)
    return asking.getresponse()


def test_a_page_comes_with_all_it_needs_and_fetches_nothing(session: Any, tmp_path: Path) -> None:
    with served(Playing(session), tmp_path) as (address, _):
        page = answer(address, "/")
        html = page.read().decode()
        names = [part.split('"')[0] for part in html.split('="')[1:]]
        files = [name for name in names if name.endswith((".js", ".css"))]
        assert len(files) == 7 and "http" not in html and "<script>" not in html
        for name in files:
            found = answer(address, f"/{name}")
            text = found.read().decode()
            assert found.status == 200 and "http://" not in text.replace("http://www.w3.org/", "")
            policy = found.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy
        for path in ("/../app.py", "/%2e%2e/app.py", "/socket", "/nothing"):
            assert answer(address, path).status == 404


def test_what_is_played_comes_to_a_page_and_its_keys_go_back(session: Any, tmp_path: Path) -> None:
    with served(Playing(session), tmp_path) as (address, _), socket_of(address) as page:
        assert json.loads(page.recv())["name"] == "Pellet"
        told, pictures = read(next_moment(page))
        assert len(told["panels"]) == 4 and pictures[0] is not None
        page.send('{"kind":"turn","driver":"person"}')
        page.send('{"kind":"hands","held":["left"]}')
        until(lambda: read(next_moment(page))[0]["held"] == ["left"])
        assert session.controls.driver is Driver.person


@pytest.mark.parametrize("host", ["evil.example", "192.168.0.7"])
def test_strangers_names_are_refused(session: Any, tmp_path: Path, host: str) -> None:
    with served(Playing(session), tmp_path) as (address, _):
        refused = answer(address, "/", Host=host)
        assert refused.status == 403 and b"does not belong" in refused.read()
        port = int(address.split(":")[2].strip("/"))
        ours, theirs = f"localhost:{port}", f"{host}:{port}"
        for named, origin in ((theirs, f"http://{theirs}"), (ours, "http://evil.example")):
            way = socket.create_connection(("127.0.0.1", port))
            with pytest.raises(InvalidStatus, match="403"):
                connect(f"ws://{named}/socket", sock=way, origin=Origin(origin))


def test_a_named_host_needs_the_token(session: Any, tmp_path: Path) -> None:
    with served(Playing(session), tmp_path, host="127.0.0.1") as (address, _):
        start, token = address.strip("/").rsplit("/", 1)
        assert len(token) >= 22
        assert answer(address, f"/{token}/").status == 200
        for path in ("/", "/keys.js", f"/{token[:-1]}/", "/socket"):
            assert answer(address, path).status == 404
        with socket_of(address) as page:
            next_moment(page)
        with pytest.raises(InvalidStatus):
            socket_of(f"{start}/")


def test_a_slow_page_gets_the_newest_moment_and_no_queue(session: Any, tmp_path: Path) -> None:
    with served(Playing(session), tmp_path) as (address, _), socket_of(address) as page:
        page.recv()
        first, game = read(page.recv()), session.game
        until(lambda: game.seed > FIRST_SEED or game.at.steps > 10)
        page.send('{"kind":"seen"}')
        # one more was under way, and what comes now is of now
        page.recv(timeout=30)
        told = read(page.recv(timeout=30))[0]
        with pytest.raises(TimeoutError):
            page.recv(timeout=0.3)
        steps = [int(dict(one["header"])["step"]) for one in (first[0], told)]
        assert game.seed > FIRST_SEED or steps[1] - steps[0] > 3


def test_without_a_page_it_waits_and_says_so(session: Any, tmp_path: Path) -> None:
    with served(Playing(session), tmp_path) as (address, notes):
        with socket_of(address) as page:
            next_moment(page)
        until(lambda: "no page is open: it waits" in notes.said)
        stood = session.game.seed, session.game.at.steps
        time.sleep(0.2)
        assert (session.game.seed, session.game.at.steps) == stood
        with socket_of(address) as page:
            until(lambda: read(next_moment(page))[0]["notice"] == WAITED)
            assert "a page is open: it goes on" in notes.said


@pytest.mark.parametrize("said", ['{"kind":"exec"}', b"\x00\x01", "x" * 70_000])
def test_a_page_that_says_nonsense_is_closed_and_the_rest_goes_on(
    session: Any, tmp_path: Path, said: Any
) -> None:
    with served(Playing(session), tmp_path) as (address, _), socket_of(address) as good:
        with socket_of(address) as bad, pytest.raises(ConnectionClosed) as closed:
            bad.send(said)
            while True:
                next_moment(bad)
        assert closed.value.rcvd is not None and closed.value.rcvd.code in (1008, 1009)
        next_moment(good)


def test_a_page_that_sees_nothing_is_given_up(
    session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("world_models.play.web.hub.PATIENCE", 0.3)
    with served(Playing(session), tmp_path) as (address, notes), socket_of(address) as page:
        until(lambda: "no page is open: it waits" in notes.said)
        with pytest.raises(ConnectionClosed, match="1001"):
            while True:
                page.recv(timeout=30)


def test_a_paused_session_still_says_that_the_link_holds(
    session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("world_models.play.web.hub.PULSE", 0.05)
    session.turn(paused=True)
    with served(Playing(session), tmp_path) as (address, _), socket_of(address) as page:
        page.recv()
        assert read(next_moment(page))[0]["controls"]["paused"]
        for _ in range(2):
            assert page.recv(timeout=30) == b""
            page.send('{"kind":"seen"}')


def test_a_recording_is_finished_when_it_ends(session: Any, tmp_path: Path) -> None:
    with served(Playing(session), tmp_path) as (address, notes):
        page = socket_of(address)
        page.send('{"kind":"press","name":","}')
        until(lambda: read(next_moment(page))[0]["recording"])
    assert "recorded" in notes.said[-1] and len(list(tmp_path.glob("*.mp4"))) == 1
    page.close()


def test_a_port_that_is_taken_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=rf"stage\.port={port}.*stage\.port=0"):
            listening("127.0.0.1", port)
    with pytest.raises(ValueError, match=r"stage\.host=no\.such\.host\.example"):
        listening("no.such.host.example", 0)


def test_without_the_extra_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    require_web()
    monkeypatch.setattr(serving, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"world-models\[web\]"):
        require_web()
