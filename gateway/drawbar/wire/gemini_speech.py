"""Streams of the `gemini` dialect, written while the reply comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drawbar.wire.chat_writer import objects
from drawbar.wire.gemini_translator import part
from drawbar.wire.speech import Spoken
from drawbar.wire.tolerant import dump


class GeminiSpeech:
    """One stream: each piece a chunk; calls, the reason to stop and the counts come with the last."""

    def __init__(self, opening: Mapping[str, Any]) -> None:
        """`opening`: the answer as it would be if nothing were said."""
        self._head = {key: value for key, value in opening.items() if key in ("modelVersion", "responseId")}

    def begun(self) -> list[bytes]:
        return []

    def more(self, kind: Spoken, piece: str) -> list[bytes]:
        content = {"role": "model", "parts": [part(kind(piece))]}
        return [dump({"candidates": [{"content": content, "index": 0}], **self._head})]

    def ended(self, answer: Mapping[str, Any]) -> list[bytes]:
        rest = [_unsaid(candidate) for candidate in objects(answer.get("candidates"))]
        return [dump({**answer, "candidates": rest})]


def _unsaid(candidate: dict[str, Any]) -> dict[str, Any]:
    content = candidate["content"]
    return {**candidate, "content": {**content, "parts": [it for it in content["parts"] if "text" not in it]}}
