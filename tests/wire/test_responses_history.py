"""Conversations in the responses dialect: each request goes on from the reply before it, however clients resend it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drawbar.record.graph import SessionGraph
from drawbar.wire import RESPONSES

INSTRUCTIONS = "You are Codex."
USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "r"}


def thought(id: str) -> dict[str, Any]:
    return {"type": "reasoning", "id": id, "summary": [], "encrypted_content": "gAAA"}


CALL = {
    "type": "function_call", "id": "fc_1", "status": "completed", "call_id": "c1", "name": "search",
    "namespace": "mcp__wiki", "arguments": '{"q": 1}',
}  # fmt: skip


def leaf(graph: SessionGraph, *items: dict[str, Any]) -> bytes | None:
    body = {"model": "m", "instructions": INSTRUCTIONS, "input": list(items)}
    path, _ = graph.request(RESPONSES, RESPONSES.split(json.dumps(body).encode()).messages)
    return path[-1] if path else None


def replied(graph: SessionGraph, parent: bytes | None, *items: dict[str, Any]) -> bytes:
    answer = RESPONSES.response(json.dumps({"id": "x", "status": "completed", "output": list(items)}).encode())
    return graph.reply(RESPONSES, parent, answer.message or b"")[0]


@pytest.mark.parametrize("lost", [(), ("id",), ("id", "status")])
@pytest.mark.parametrize("reasoning", [True, False])
def test_the_next_request_goes_on_from_the_reply(lost: tuple[str, ...], reasoning: bool) -> None:
    graph = SessionGraph()
    reply = replied(graph, leaf(graph, USER), thought("rs_1"), CALL)
    resent = [{key: v for key, v in item.items() if key not in lost} for item in (thought("rs_1"), CALL)]
    items = [USER, *(resent if reasoning else resent[1:]), RESULT]
    body = json.dumps({"model": "m", "instructions": INSTRUCTIONS, "input": items}).encode()
    _, new = graph.request(RESPONSES, RESPONSES.split(body).messages)
    assert [row.parent for row in new] == [reply]


def test_a_reply_after_one_that_was_cut_in_its_reasoning_is_one_turn_with_it() -> None:
    graph = SessionGraph()
    asked = leaf(graph, USER)
    assert leaf(graph, USER, thought("rs_1")) == asked
    reply = replied(graph, asked, thought("rs_2"), CALL)
    assert leaf(graph, USER, thought("rs_1"), thought("rs_2"), CALL) == reply


def test_a_request_that_names_the_reply_it_goes_on_from_holds_only_what_is_new() -> None:
    body = {"model": "m", "instructions": INSTRUCTIONS, "previous_response_id": "resp_1", "input": [RESULT]}
    request = RESPONSES.split(json.dumps(body).encode())
    assert request.previous == "resp_1"
    assert [json.loads(message) for message in request.messages[request.standing :]] == [RESULT]
