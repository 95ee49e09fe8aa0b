"""A gateway as a process, killed in the middle of an alert: its webhook hears of it once, and when it is over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

MAIN = "import sys; from drawbar.cli.main import main; main(sys.argv[1:])"
SHOP = """
from drawbar import Environment

def kind(completion: str) -> float:
    return float("gladly" in completion)

environment = Environment(name="shop", rubric=[kind])
"""
CONFIG = """
port = 0
alert_interval = 0.2
environments = ["shop.py"]
score_live = ["shop,all"]
stop_tools = []
base_url = "{model}/v1"

[retries]
attempts = 1

[webhooks.ops]
url = "{hook}"
headers = {{ x-token = "${{HOOK_TOKEN}}" }}

[alerts.unkind]
measure = "reward"
below = 0.5
clear = 0.8
last = 10
at_least = 5

[alerts.errors]
measure = "error_rate"
above = 0.5
last = 10
at_least = 10
"""


class Place:
    """Both the provider of the model and the receiver of alerts."""

    def __init__(self) -> None:
        self.words = "gladly"
        self.broken = self.deaf = False
        self.heard: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()
        self.knocks = 0

    def answer(self, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, Any]]:
        if path == "/hook":
            self.knocks += 1
            if self.deaf:
                return 503, {}
            self.heard.append(json.loads(body))
            self.tokens.add(headers.get("x-token"))
            return 200, {}
        if self.broken:
            return 500, {"error": {"message": "down"}}
        message = {"role": "assistant", "content": self.words}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return 200, {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(each["type"].removeprefix("alert."), each["alert"]) for each in self.heard]


@contextmanager
def listening(place: Place) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, said = place.answer(self.path, self.headers, body)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Served:
    """`drawbar serve` as a process."""

    def __init__(self, folder: Path) -> None:
        self._log = (folder / "log").open("a")
        variables = {**os.environ, "HOOK_TOKEN": "hook-token-secret", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "serve", "--config", "drawbar.toml"],
            cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[2].removesuffix("/v1")

    def post(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"content-type": "application/json"}
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            return {"status": error.code}

    def sessions(self, count: int) -> None:
        """So many sessions of one call, each ended."""
        for number in range(count):
            text = f"{time.monotonic_ns()}-{number}"
            body = {"model": "m", "messages": [{"role": "user", "content": text}]}
            session = self.post("/api/sessions", {})
            self.post(f"/s/{session['key']}/v1/chat/completions", body)
            self.post(f"/api/sessions/{session['id']}/end", {})

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.communicate(timeout=30)
        self._log.close()


@contextmanager
def gateways(folder: Path) -> Iterator[Callable[[], Served]]:
    """Begins gateways; none of them outlives the test."""
    begun: list[Served] = []

    def begin() -> Served:
        begun.append(Served(folder))
        return begun[-1]

    try:
        yield begin
    finally:
        for served in begun:
            if served.process.poll() is None:
                served.end(signal.SIGKILL)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came to be so"
        time.sleep(0.02)


def listed(folder: Path) -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-c", MAIN, "alerts", "--config", "drawbar.toml", "--json"]
    variables = {**os.environ, "HOOK_TOKEN": "hook-token-secret"}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=True)
    return {each["alert"]: each for each in json.loads(done.stdout)}


@pytest.mark.slow
def test_an_alert_outlives_a_gateway_that_is_killed(tmp_path: Path) -> None:
    place = Place()
    with listening(place) as url, gateways(tmp_path) as begin:
        (tmp_path / "shop.py").write_text(SHOP)
        (tmp_path / "drawbar.toml").write_text(CONFIG.format(model=url, hook=url + "/hook"))
        served = begin()
        served.sessions(6)
        until(lambda: listed(tmp_path)["unkind"]["observations"] == 6)
        place.words, place.deaf = "no", True
        served.sessions(7)
        until(lambda: place.knocks >= 1)
        served.end(signal.SIGKILL)  # it fired, and could tell nobody
        assert listed(tmp_path)["unkind"]["state"] == "firing"

        place.deaf = False
        served = begin()
        until(lambda: [each["state"] for each in listed(tmp_path)["unkind"]["messages"]] == ["sent"])
        served.end(signal.SIGKILL)  # it could tell
        served = begin()
        place.broken = True
        served.sessions(8)
        until(lambda: ("firing", "errors") in place.told)
        place.broken, place.words = False, "gladly"
        served.sessions(5)
        served.end(signal.SIGKILL)  # both may be well again or not
        served = begin()
        served.sessions(10)
        until(lambda: len(place.told) >= 4)
        until(lambda: not any(each["state"] == "firing" for each in listed(tmp_path).values()))
        served.end(signal.SIGTERM)
    # One that was killed between a webhook's answer and its noting it is told again, under the same id.
    place.heard = list({each["id"]: each for each in place.heard}.values())
    assert sorted(place.told) == [(s, a) for s in ("firing", "resolved") for a in ("errors", "unkind")]
    assert len({each["incident"] for each in place.heard}) == 2
    assert place.tokens == {"hook-token-secret"}
    assert all(each["text"].startswith("[drawbar] ") for each in place.heard)
    log = (tmp_path / "log").read_text()
    assert "hook-token-secret" not in log
    assert "Traceback" not in log
