"""Whose a message may be: never wrong about a model's, and mostly right about the others'."""

from __future__ import annotations

from pathlib import Path

import pytest

from drawbar.wire import DIALECTS
from drawbar.wire.speaker import may_be_models

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_whatever_a_model_says_may_be_a_models(dialect: str) -> None:
    read = DIALECTS[dialect]
    for path in (GOLDEN / dialect).glob("*.response.json"):
        message = read.response(path.read_bytes()).message
        assert message is None or may_be_models(message)
    for path in (GOLDEN / dialect).glob("*.request.json"):
        for message in read.split(path.read_bytes()).messages:
            assert may_be_models(message) or read.normal(message).role != "assistant"


@pytest.mark.parametrize(
    "message",
    [
        b'{"role":"user","content":"the assistant is a model"}',
        b' { "role" : "tool", "content": "assistant"}',
        b'{"systemInstruction":{"parts":[{"text":"Be brief."}]}}',
        b'{"content":"hi","role":"user"}',
        b'{"type":"message","role":"user","content":"hi"}',
    ],
)
def test_what_others_say_is_mostly_seen_to_be_theirs(message: bytes) -> None:
    assert not may_be_models(message)


@pytest.mark.parametrize(
    "message",
    [
        b'[{"type":"custom_tool_call","call_id":"c","name":"n","input":"i"}]',
        b'{"content":"hi","role":"assistant"}',
        b'{"parts":[{"text":"hi"}],"role":"model"}',
    ],
)
def test_a_models_words_are_not_missed_wherever_they_say_so(message: bytes) -> None:
    assert may_be_models(message)
