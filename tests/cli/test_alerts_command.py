"""`drawbar alerts`: what is listed, and whether a webhook's test says what became of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from drawbar.record.alerts import AlertTable, Standing
from drawbar.record.rows import ScoreRow, SessionRow
from drawbar.record.store import Store

CONFIG = """
store = "s.db"
[webhooks.ops]
url = "{url}/hook/secret-path"
[alerts.low]
measure = "reward"
below = 0.5
last = 5
at_least = 2
where = "environment = shop"
[alerts.disk]
measure = "recorder_failing"
"""


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    heard: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    thread.join()
    server.server_close()


def test_alerts_are_listed_with_what_they_measure_now(drawbar: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "drawbar.toml").write_text(CONFIG.format(url="http://127.0.0.1:9"))
    now = time.time()
    store = Store.open(tmp_path / "s.db")
    for n in range(3):
        store.write([
            SessionRow(id=f"s{n}", environment="shop", started=now - 9, ended=now - n, status="ended"),
            ScoreRow(id="x", session=f"s{n}", name="ok", kind="reward", value=0.25, weight=1.0, rubric_version="v1",
                     source="live", created=now),
        ])  # fmt: skip
    AlertTable(store).change(Standing(name="low", state="firing", since=now - 300, incident="i", revision=1), [])
    store.close()
    ended = drawbar("alerts", "--config", "drawbar.toml")
    assert ended.status == 0
    low, disk = ended.out.splitlines()[1:]
    assert low.split()[:5] == ["low", "firing", "5", "min", "ago"]
    assert "0.25 (3)" in low
    assert "reward below 0.5 (the last 5 sessions), environment = shop" in low
    assert "see /metrics" in disk
    low, _ = drawbar("alerts", "--config", "drawbar.toml", "--json").json
    assert (low["state"], low["value"], low["observations"], low["rubric"]) == ("firing", 0.25, 3, "v1")


def test_a_test_tells_the_webhooks_and_says_what_became_of_it(
    drawbar: Callable[..., Any], tmp_path: Path, hook: tuple[str, list[dict[str, Any]]]
) -> None:
    url, heard = hook
    (tmp_path / "drawbar.toml").write_text(CONFIG.format(url=url))
    ended = drawbar("alerts", "test", "low", "--config", "drawbar.toml")
    assert (ended.status, ended.out) == (0, f"ops ({url}): sent\n")
    assert (heard[0]["type"], heard[0]["alert"]) == ("alert.test", "low")
    assert not (tmp_path / "s.db").exists()
    (tmp_path / "drawbar.toml").write_text(CONFIG.format(url="http://127.0.0.1:9"))
    ended = drawbar("alerts", "test", "low", "--config", "drawbar.toml")
    assert (ended.status, ended.out) == (1, "ops (http://127.0.0.1:9): nothing listens there. Is it running?\n")
    ended = drawbar("alerts", "test", "lwo", "--config", "drawbar.toml")
    assert ended.status == 2
    assert "No alert named 'lwo'. Did you mean 'low'?" in ended.err


def test_without_alerts_it_says_how_to_make_one(drawbar: Callable[..., Any]) -> None:
    assert "A table [alerts.NAME] of drawbar.toml makes one" in drawbar("alerts").out
    assert drawbar("alerts", "--json").json == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("below = 0.5", "below = 0.5\nabove = 1"), "line 6, alerts.low: it needs one of `below` and `above`"),
        (("measure = \"reward\"", "measure = \"rewrd\""), "nothing is measured as 'rewrd'. Did you mean 'reward'"),
        (("below = 0.5", "below = 0.5\nwebhooks = [\"opps\"]"), "No webhook named 'opps'. Did you mean 'ops'"),
        (("below = 0.5", "below = 0.5\nwindow = \"soon\""), "window: expected a length of time such as 30s"),
        (("below = 0.5", "belw = 0.5"), "line 7, alerts.low.belw: there is no such setting. Did you mean 'below'"),
        (("http://", "ftp://"), "webhooks.ops: its url begins with https"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_told_with_its_place(
    drawbar: Callable[..., Any], tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    (tmp_path / "drawbar.toml").write_text(CONFIG.format(url="http://127.0.0.1:9").replace(*change, 1))
    ended = drawbar("config", "check", "--config", "drawbar.toml")
    assert ended.status == 2
    assert said in ended.err


def test_a_webhooks_path_is_not_shown(drawbar: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "drawbar.toml").write_text(CONFIG.format(url="http://127.0.0.1:9"))
    shown = drawbar("config", "show", "--config", "drawbar.toml").out
    assert 'webhooks.ops.url = "http://127.0.0.1/***"' in shown
    assert "secret-path" not in shown
