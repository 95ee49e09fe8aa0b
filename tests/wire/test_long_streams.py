"""Streams of tens of thousands of pieces: what one piece costs does not depend on how many came before it."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from drawbar.wire import DIALECTS

WORD = "x" * 1000
TOKEN = {"token": "x", "logprob": -0.5, "bytes": [120], "top_logprobs": []}


def chat(**delta: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def call(text: str) -> dict[str, Any]:
    return chat(tool_calls=[{"index": 0, "function": {"arguments": text}}])


def responses(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": 0, "content_index": 0, **fields}


def messages(kind: str, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": kind, **delta}}


def gemini(**candidate: Any) -> dict[str, Any]:
    said = {"content": {"role": "model", "parts": [{"text": WORD}]}, "index": 0}
    return {"candidates": [{**said, **candidate}]}


PIECES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat text": ("chat", chat(content=WORD)),
    "chat reasoning": ("chat", chat(reasoning=WORD, reasoning_details=[{"index": 0, "text": WORD}])),
    "chat arguments": ("chat", call(WORD)),
    "chat unknown": ("chat", chat(own={"deep": {"text": WORD}})),
    "chat log probabilities": (
        "chat",
        {"choices": [{"index": 0, "delta": {"content": "x"}, "logprobs": {"content": [TOKEN]}}]},
    ),
    "responses text": ("responses", responses("output_text.delta", delta=WORD)),
    "responses log probabilities": ("responses", responses("output_text.delta", delta="x", logprobs=[TOKEN])),
    "responses arguments": ("responses", responses("function_call_arguments.delta", delta=WORD)),
    "messages text": ("messages", messages("text_delta", text=WORD)),
    "messages input": ("messages", messages("input_json_delta", partial_json=WORD)),
    "messages unknown": ("messages", messages("new_delta", own=WORD)),
    "gemini text": ("gemini", gemini()),
    "gemini log probabilities": ("gemini", gemini(logprobsResult={"chosenCandidates": [{"token": "x"}]})),
}


def seconds_for_a_piece(dialect: str, data: bytes, count: int) -> float:
    assembler = DIALECTS[dialect].assembler()
    gc.disable()  # its rounds through all that the tests before this one left are not what is measured
    try:
        begun = time.process_time()
        for _ in range(count):
            assembler.feed(data)
        response = assembler.response()
        took = time.process_time() - begun
    finally:
        gc.enable()
    assert response.message is None or dialect == "responses" or len(response.message) > count
    return took / count


@pytest.mark.parametrize("kind", PIECES)
def test_a_piece_costs_the_same_however_many_came_before(kind: str) -> None:
    dialect, piece = PIECES[kind]
    data = json.dumps(piece).encode()
    few = min(seconds_for_a_piece(dialect, data, 1_000) for _ in range(3))
    assert seconds_for_a_piece(dialect, data, 10_000) < 5 * few


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("nested", [b"[" * 600 + b"]" * 600, b'{"a":' * 600 + b"1" + b"}" * 600, b"[" * 100_000])
def test_an_event_that_is_nested_too_deeply_is_an_error_of_the_stream(dialect: str, nested: bytes) -> None:
    places: list[Callable[[bytes], bytes]] = [
        lambda it: b'{"choices":[{"index":0,"delta":{"content":' + it + b"}}]}",
        lambda it: b'{"type":"content_block_delta","index":0,"delta":{"own":' + it + b"}}",
        lambda it: b'{"type":"response.output_item.added","output_index":0,"item":' + it + b"}",
        lambda it: b'{"candidates":[{"content":{"parts":[' + it + b"]}}]}",
    ]
    for place in places:
        assembler = DIALECTS[dialect].assembler()
        assembler.feed(place(nested))
        assert assembler.error is not None
        assert "cannot be read" in assembler.error
        assembler.response()
