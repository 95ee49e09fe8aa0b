"""What is wanted of providers on the command line: their token ids, and that they run no tools by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from drawbar.record.store import Store
from drawbar.testing import serve_chat
from drawbar.testing.chat_server import ChatServer

Drawbar = Callable[..., Any]


@pytest.fixture
def vllm() -> Iterator[ChatServer]:
    """A scripted model that tells of its tokens."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve_chat(lambda body: "The Moon.", tokens="vllm")) as server,
    ):
        yield server


def test_a_run_records_token_ids_and_a_resumed_one_too(drawbar: Drawbar, vllm: ChatServer) -> None:
    asked = ("quiz.py", "--model", "m", "--base-url", vllm.base_url, "-n", "1")
    ended = drawbar("run", *asked, "--token-ids", "--upstream-tokens", "vllm", "--withhold", "web_search,mcp", "--json")
    assert ended.status == 0, ended.err
    assert vllm.requests[0].body["return_token_ids"] is True
    run = ended.json["run"]
    store = Store.open("drawbar.db")
    (trajectory,) = store.trajectories(run=run)
    row = store.run(run)
    store.close()
    assert trajectory.calls[0].tokens is not None
    assert trajectory.calls[0].tokens.prompt_token_ids
    assert row is not None
    assert b'"token_ids":true' in row.config
    assert b'"withhold":"web_search,mcp"' in row.config
    assert drawbar("run", "--resume", run).status == 0


def test_without_the_option_nothing_is_asked(drawbar: Drawbar, vllm: ChatServer) -> None:
    assert drawbar("run", "quiz.py", "--model", "m", "--base-url", vllm.base_url, "-n", "1").status == 0
    assert "return_token_ids" not in vllm.requests[0].body


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--withhold", "bing"), "There is no kind bing; there are web_search"),
        (("--upstream-tokens", "tgi", "--base-url", "http://127.0.0.1:9/v1"), "no kind 'tgi' of servers"),
        (("--upstream-tokens", "vllm"), "goes with a base URL"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_run(drawbar: Drawbar, arguments: tuple[str, ...], said: str) -> None:
    for command in (("run", "quiz.py", "--model", "m"), ("serve", "--port", "0")):
        ended = drawbar(*command, *arguments)
        assert ended.status == 2
        assert said in " ".join(ended.err.split())
