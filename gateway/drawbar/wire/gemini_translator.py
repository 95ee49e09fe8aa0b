"""Between the `gemini` dialect and chat: requests read, replies written whole or as the chunks of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from drawbar.wire.chat_writer import chat_messages, function, pieces
from drawbar.wire.gemini import GeminiDialect
from drawbar.wire.gemini_names import camel, get
from drawbar.wire.message import Block, Reasoning, Text, ToolUse
from drawbar.wire.tolerant import dump, load, load_object
from drawbar.wire.translator import Chat, Said

_DIALECT: Final = GeminiDialect()
_LOST: Final = ("cachedContent", "safetySettings")


class GeminiTranslator:
    """Google Gemini and chat."""

    def chat(self, body: bytes) -> Chat:
        request = _DIALECT.split(body)
        lost: dict[str, None] = {}
        messages = chat_messages([_DIALECT.normal(raw) for raw in request.messages], lost)
        envelope = load_object(request.envelope, "the request")
        lost |= {f"`{name}`": None for name in _LOST if get(envelope, name)}
        return Chat(messages, list(_tools(load(request.tools or b"[]"), lost)), lost=tuple(lost))

    def answer(self, said: Said, asked: Chat) -> dict[str, Any]:
        parts = [part for it in said.normal().blocks if (part := _part(it)) is not None]
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
        asked_for, answered = said.prompt_tokens, said.completion_tokens
        return {
            "candidates": [candidate],
            "usageMetadata": {
                "promptTokenCount": asked_for,
                "candidatesTokenCount": answered,
                "totalTokenCount": asked_for + answered,
            },
            "modelVersion": said.model,
            "responseId": said.id,
        }

    def events(self, answer: Mapping[str, Any], body: bytes) -> list[bytes]:
        """Each part as a chunk, texts in pieces; the reason to stop and the counts come with the last."""
        head = {key: value for key, value in answer.items() if key in ("modelVersion", "responseId")}
        chunks: list[dict[str, Any]] = []
        for candidate in answer.get("candidates") or ():
            content = candidate.get("content") or {}
            index = candidate.get("index", 0)
            for part in content.get("parts") or ():
                said = ({"content": {**content, "parts": [it]}, "index": index} for it in _pieces(part))
                chunks += ({**head, "candidates": [it]} for it in said)
        ends = [{**it, "content": {**(it.get("content") or {}), "parts": []}} for it in answer.get("candidates") or ()]
        chunks.append({**answer, **({"candidates": ends} if ends else {})})
        return [dump(chunk) for chunk in chunks]

    def count(self, tokens: int) -> bytes:
        return dump({"totalTokens": tokens})


def _tools(tools: Any, lost: dict[str, None]) -> Iterator[dict[str, Any]]:
    for tool in tools if isinstance(tools, list) else [tools]:
        if not isinstance(tool, dict):
            continue
        lost |= {f"the tool {name}": None for name in tool if camel(name) != "functionDeclarations"}
        for declared in get(tool, "functionDeclarations") or ():
            if isinstance(declared, dict):
                schema = get(declared, "parametersJsonSchema")
                schema = _schema(declared.get("parameters")) if schema is None else schema
                yield function(str(declared.get("name") or ""), declared.get("description"), schema)


def _schema(value: Any) -> Any:
    """A schema in JSON Schema's words: the API writes its types in capitals."""
    if isinstance(value, list):
        return [_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _schema(item) for key, item in value.items()}
    if isinstance(found.get("type"), str):
        found["type"] = found["type"].lower()
    return found


def _part(block: Block) -> dict[str, Any] | None:
    if isinstance(block, Text):
        return {"text": block.text}
    if isinstance(block, Reasoning):
        return {"text": block.text, "thought": True}
    if isinstance(block, ToolUse):
        arguments = {"arguments": block.raw} if block.arguments is None else block.arguments
        return {"functionCall": {"id": block.id, "name": block.name, "args": arguments}}
    return None


def _pieces(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    text = part.get("text")
    if not isinstance(text, str) or not text:
        return [dict(part)]
    *first, last = pieces(text)
    marks = {"thought": True} if part.get("thought") is True else {}
    return [*({"text": piece, **marks} for piece in first), {**part, "text": last}]
