"""Between the `gemini` dialect and chat: requests read, replies written whole or as the chunks of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from drawbar.wire.chat_writer import chat_messages, function, objects, pieces
from drawbar.wire.dialect import BadBody
from drawbar.wire.fields import fields
from drawbar.wire.gemini import GeminiDialect
from drawbar.wire.gemini_names import camel, get
from drawbar.wire.gemini_schema import json_schema
from drawbar.wire.gemini_settings import settings
from drawbar.wire.message import Block, Reasoning, Text, ToolUse
from drawbar.wire.tolerant import dump, load, load_object
from drawbar.wire.translator import Chat, Said

_DIALECT: Final = GeminiDialect()
_LOST: Final = ("cachedContent", "safetySettings")
_FINISHES: Final = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}


class GeminiTranslator:
    """Google Gemini and chat."""

    def chat(self, body: bytes) -> Chat:
        inside = fields(body).get("generateContentRequest")  # of a request to count tokens
        request = _DIALECT.split(body if inside is None else bytes(inside))
        lost: dict[str, None] = {}
        messages = chat_messages([_DIALECT.normal(raw) for raw in request.messages], lost)
        envelope = load_object(request.envelope, "the request")
        lost |= {f"`{name}`": None for name in _LOST if get(envelope, name)}
        try:
            tools = list(_tools(load(request.tools or b"[]"), lost))
        except RecursionError as error:
            raise BadBody("a tool's schema is nested too deeply") from error
        wanted = settings({name: value for name, value in envelope.items() if camel(name) not in _LOST})
        return Chat(messages, tools, lost=tuple(lost), settings=wanted.fields, unsaid=tuple(wanted.unsaid))

    def recalled(self, body: bytes, conversation: Sequence[bytes]) -> bytes:
        """Each request carries its whole conversation."""
        return body

    def answer(self, said: Said, asked: Chat) -> dict[str, Any]:
        parts = [found for it in said.normal().blocks if (found := part(it)) is not None]
        finish = _FINISHES.get(said.finish or "", "STOP")
        return {
            "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": finish, "index": 0}],
            **_usage(said),
            "modelVersion": said.model,
            "responseId": said.id,
        }

    def events(self, answer: Mapping[str, Any], body: bytes) -> list[bytes]:
        """Each part as a chunk, texts in pieces; the reason to stop and the counts come with the last."""
        head = {key: value for key, value in answer.items() if key in ("modelVersion", "responseId")}
        chunks: list[dict[str, Any]] = []
        ends: list[dict[str, Any]] = []
        for candidate in objects(answer.get("candidates")):
            content = candidate.get("content")
            content, index = content if isinstance(content, dict) else {}, candidate.get("index", 0)
            for whole in objects(content.get("parts")):
                said = ({"content": {**content, "parts": [it]}, "index": index} for it in _pieces(whole))
                chunks += ({**head, "candidates": [it]} for it in said)
            ends.append({**candidate, "content": {**content, "parts": []}})
        chunks.append({**answer, **({"candidates": ends} if ends else {})})
        return [dump(chunk) for chunk in chunks]

    def count(self, tokens: int) -> bytes:
        return dump({"totalTokens": tokens})


def _usage(said: Said) -> dict[str, Any]:
    """The counts, thoughts apart from the candidates; nothing where nobody counted."""
    asked, answered = said.prompt_tokens, said.completion_tokens
    if asked is None or answered is None:
        return {}
    thought = said.counts.reasoning_tokens or 0
    found = {"promptTokenCount": asked, "candidatesTokenCount": max(0, answered - thought)}
    if said.counts.cached_tokens:
        found["cachedContentTokenCount"] = said.counts.cached_tokens
    if thought:
        found["thoughtsTokenCount"] = thought
    return {"usageMetadata": {**found, "totalTokenCount": asked + answered}}


def _tools(tools: Any, lost: dict[str, None]) -> Iterator[dict[str, Any]]:
    for tool in objects(tools if isinstance(tools, list) else [tools]):
        lost |= {f"the tool {name}": None for name in tool if camel(name) != "functionDeclarations"}
        for declared in objects(get(tool, "functionDeclarations")):
            schema = get(declared, "parametersJsonSchema")
            schema = json_schema(declared.get("parameters")) if schema is None else schema
            yield function(str(declared.get("name") or ""), declared.get("description"), schema)


def part(block: Block) -> dict[str, Any] | None:
    """A block of a reply as this dialect has it; None for one that it has not."""
    if isinstance(block, Text):
        return {"text": block.text}
    if isinstance(block, Reasoning):
        return {"text": block.text, "thought": True}
    if isinstance(block, ToolUse):
        arguments = {"arguments": block.raw} if block.arguments is None else block.arguments
        return {"functionCall": {"id": block.id, "name": block.name, "args": arguments}}
    return None


def _pieces(whole: Mapping[str, Any]) -> list[dict[str, Any]]:
    text = whole.get("text")
    if not isinstance(text, str) or not text:
        return [dict(whole)]
    *first, last = pieces(text)
    marks = {"thought": True} if whole.get("thought") is True else {}
    return [*({"text": piece, **marks} for piece in first), {**whole, "text": last}]
