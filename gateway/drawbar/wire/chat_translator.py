"""From the chat dialect to itself: whole answers and streams of replies that were made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drawbar.wire.chat_writer import objects, pieces
from drawbar.wire.tolerant import dump, load_object
from drawbar.wire.translator import Chat, Said


class ChatTranslator:
    """Chat is chat."""

    def chat(self, body: bytes) -> Chat:
        value = load_object(body, "the request")
        return Chat(value.get("messages") or [], value.get("tools") or [])

    def recalled(self, body: bytes, conversation: Sequence[bytes]) -> bytes:
        """Each request carries its whole conversation."""
        return body

    def answer(self, said: Said, asked: Chat) -> dict[str, Any]:
        prompt, completion = said.prompt_tokens or 0, said.completion_tokens or 0
        finish = said.finish or ("tool_calls" if said.message.get("tool_calls") else "stop")
        return {
            "id": f"chatcmpl_{said.id}",
            "object": "chat.completion",
            "created": said.created,
            "model": said.model,
            "choices": [{"index": 0, "message": said.message, "finish_reason": finish}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
        }

    def events(self, answer: Mapping[str, Any], body: bytes) -> list[bytes]:
        """Each choice's message one field after another, texts in pieces; counts where the request wants them."""
        options = load_object(body, "the request").get("stream_options")
        told = {key: value for key, value in answer.items() if key not in ("choices", "usage", "object")}
        head = {**told, "object": "chat.completion.chunk"}
        chunks = [
            {**head, "choices": [choice]} for whole in objects(answer.get("choices")) for choice in _choices(whole)
        ]
        if isinstance(options, dict) and options.get("include_usage"):
            chunks.append({**head, "choices": [], "usage": answer.get("usage")})
        return [*map(dump, chunks), b"[DONE]"]

    def count(self, tokens: int) -> bytes:
        return dump({"prompt_tokens": tokens})


def _choices(choice: Mapping[str, Any]) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    message = choice.get("message")
    for key, value in message.items() if isinstance(message, dict) else ():
        deltas += _deltas(key, value)
    index = choice.get("index", 0)
    found = [{"index": index, "delta": delta, "finish_reason": None} for delta in deltas]
    rest = {key: value for key, value in choice.items() if key != "message"}
    return [*found, {**rest, "delta": {}}]


def _deltas(key: str, value: Any) -> list[dict[str, Any]]:
    if key == "role" or value is None:
        return []
    if key == "tool_calls":
        return [{key: [{"index": index, **call}]} for index, call in enumerate(objects(value))]
    if isinstance(value, str):
        return [{key: piece} for piece in pieces(value)]
    return [{key: value}]
