"""Chromium without a screen, told what to do over its own protocol (CDP)."""

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PROGRAM = "chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
]
PATIENCE = 120.0
CODES = {"left": ("ArrowLeft", 37), "up": ("ArrowUp", 38), "right": ("ArrowRight", 39)}
MIDDLE = """(() => {{
  const box = document.querySelector({0}).getBoundingClientRect();
  return {{ x: box.x + box.width / 2, y: box.y + box.height / 2 }};
}})()"""


class Tab:
    """One page."""

    def __init__(self, socket: ClientConnection, session: str, numbers: Iterator[int]) -> None:
        self._socket, self._session, self._numbers = socket, session, numbers

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its answer; events in between are passed over."""
        return ask(self._socket, next(self._numbers), method, params, self._session)

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page; what it throws is a RuntimeError."""
        told = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in told:
            raise RuntimeError(json.dumps(told["exceptionDetails"])[:500])
        return told["result"].get("value")

    def until(self, script: str, seconds: float = PATIENCE) -> Any:
        """Wait until an expression is true, and return it."""
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(script)):
            assert time.monotonic() < deadline, f"never true: {script}"
            time.sleep(0.05)
        return value

    def key(self, name: str, down: bool) -> None:
        """A key goes down or up."""
        key, code = CODES[name]
        kind = "rawKeyDown" if down else "keyUp"
        self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def as_touch_screen(self) -> None:
        """As a phone: fingers, no mouse."""
        self.ask("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=5)

    def touch(self, *selectors: str) -> None:
        """Fingers lie on these elements from now on; without any all are lifted."""
        points = [
            {**self.evaluate(MIDDLE.format(json.dumps(selector))), "id": number}
            for number, selector in enumerate(selectors)
        ]
        kind = "touchStart" if points else "touchEnd"
        self.ask("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    def resize(self, width: int, height: int, dark: bool = False, scale: float = 1.0) -> None:
        """The size of the page in CSS pixels, as on a phone where it is narrow."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale}
        self.ask("Emulation.setDeviceMetricsOverride", **metrics, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """What is seen as PNG, or the whole page."""
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))


def ask(
    socket: ClientConnection,
    number: int,
    method: str,
    params: dict[str, Any],
    session: str | None = None,
) -> dict[str, Any]:
    """See `Tab.ask`."""
    message = {"id": number, "method": method, "params": params}
    socket.send(json.dumps(message if session is None else {**message, "sessionId": session}))
    while True:
        told = json.loads(socket.recv(timeout=PATIENCE))
        if told.get("id") == number:
            if "error" in told:
                raise RuntimeError(f"{method}: {told['error']}")
            return told["result"]


@contextmanager
def browser(cores: tuple[int, ...]) -> Iterator[ClientConnection]:
    """Chromium with an empty profile, and the socket at which it is told what to do."""
    if shutil.which(PROGRAM) is None:
        raise ValueError(f"{PROGRAM} is not installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        if cores:
            command = ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]
        started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with connect(_endpoint(Path(profile)), max_size=1 << 28) as socket:
                yield socket
        finally:
            started.terminate()
            started.wait()


def _endpoint(profile: Path) -> str:
    """Chromium writes port and path into its profile once it listens."""
    note, deadline = profile / "DevToolsActivePort", time.monotonic() + PATIENCE
    while not (note.is_file() and len(lines := note.read_text().split()) == 2):
        assert time.monotonic() < deadline, "Chromium does not start"
        time.sleep(0.05)
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}"


@contextmanager
def tab(address: str, cores: tuple[int, ...] = ()) -> Iterator[Tab]:
    """A page at an address, in a browser of its own, perhaps on some cores alone."""
    with browser(cores) as socket:
        numbers = itertools.count(1)
        target = ask(socket, next(numbers), "Target.createTarget", {"url": "about:blank"})
        joined = {"targetId": target["targetId"], "flatten": True}
        session = ask(socket, next(numbers), "Target.attachToTarget", joined)["sessionId"]
        page = Tab(socket, session, numbers)
        page.ask("Page.enable")
        page.ask("Page.navigate", url=address)
        page.until("location.href !== 'about:blank' && document.readyState === 'complete'")
        yield page
