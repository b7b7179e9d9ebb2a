"""A page that shows a run while it goes on."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from report.fabricated import write_training

from world_models.report.live import follow
from world_models.report.report import page_of, write_page
from world_models.runs.folder import locked


def test_a_live_page_runs_its_own_script_and_no_other(tmp_path: Path) -> None:
    page = page_of(write_training(tmp_path, "vae", [2.0, 1.0]))
    plain = write_page(tmp_path / "plain.html", page).read_text()
    live = write_page(tmp_path / "live.html", replace(page, again=3.0)).read_text()
    assert "<script" not in plain and "script-src" not in plain
    (script,) = re.findall(r"<script>(.*?)</script>", live, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in live and 'data-again="3.0"' in live


def test_the_page_is_written_when_files_change_and_last_when_the_run_ends(tmp_path: Path) -> None:
    page, written = tmp_path / "live.html", []
    changed, ended = threading.Event(), threading.Event()

    def write(live: bool) -> None:
        written.append(live)
        page.write_text("")
        changed.set()

    def run() -> None:
        with locked(tmp_path):
            begun.set()
            assert ended.wait(20)

    begun = threading.Event()
    threads = [
        threading.Thread(target=run),
        threading.Thread(target=follow, args=([tmp_path], page, write, 0.02)),
    ]
    threads[0].start()
    assert begun.wait(20)
    threads[1].start()
    assert changed.wait(20) and written == [True]
    changed.clear()
    # nothing but the page and the log has changed: it is not written again
    (tmp_path / "log.txt").write_text("a line")
    assert not changed.wait(0.2)
    (tmp_path / "metrics.csv").write_text("step,loss\n")
    os.utime(tmp_path / "metrics.csv", ns=(2**62, 2**62))
    assert changed.wait(20) and written == [True, True]
    ended.set()
    for thread in threads:
        thread.join(20)
    assert written == [True, True, False]


@pytest.mark.parametrize("runs", [0, 2])
def test_runs_that_have_ended_are_written_once(runs: int, tmp_path: Path) -> None:
    folders = [write_training(tmp_path / str(number), "vae", [1.0]) for number in range(runs)]
    written: list[bool] = []
    follow(folders, tmp_path / "live.html", written.append, 60)
    assert written == [False]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_chromium_fetches_a_live_page_anew_until_the_run_has_ended(tmp_path: Path) -> None:
    page, asked = page_of(write_training(tmp_path, "vae", [2.0, 1.0])), []

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            number = asked.count("/live.html")
            now = replace(page, title=f"page {number}", again=0.4 if number < 3 else None)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(write_page(tmp_path / "live.html", now).read_bytes())

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    address = f"http://127.0.0.1:{server.server_port}/live.html"
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", profile]
    done = subprocess.run(
        [*command, "--virtual-time-budget=8000", "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=120,
    )
    server.shutdown()
    assert "page 3" in done.stdout and asked == ["/live.html"] * 3
