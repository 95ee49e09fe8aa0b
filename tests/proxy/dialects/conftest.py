"""One exchange in each dialect as its provider has it: the same words, written by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings
from drawbar.sessions import Session
from drawbar.wire import DIALECTS

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse, Provider

ASSISTANT = {"id": "msg_1", "type": "message", "role": "assistant", "model": "upstream-model"}
RESPONSE = {
    "id": "resp_1", "object": "response", "created_at": 1, "model": "upstream-model", "status": "completed",
    "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": True,
    "tool_choice": "auto", "tools": [],
}  # fmt: skip
SAID = {
    "id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
    "content": [{"type": "output_text", "text": "hello", "annotations": []}],
}  # fmt: skip
SPENT = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
COUNTED = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}


def named(*events: Mapping[str, Any]) -> list[bytes]:
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]


def unnamed(*events: Mapping[str, Any]) -> list[bytes]:
    return [f"data: {json.dumps(event)}\n\n".encode() for event in events]


def elements(*values: Mapping[str, Any]) -> list[bytes]:
    """The pieces of a JSON array, as Google cuts them."""
    return [(b"[" if not at else b",\r\n") + json.dumps(value).encode() for at, value in enumerate(values)] + [b"]"]


def candidate(text: str, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    said = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    return {"candidates": [said | ({"finishReason": finish} if finish else {})], **fields}


def error_of(raw: bytes) -> tuple[str, str]:
    """OpenAI's and Anthropic's errors: what kind, and what it says."""
    error = json.loads(raw)["error"]
    return error["type"], error["message"]


def google_error_of(raw: bytes) -> tuple[str, str]:
    error = json.loads(raw)["error"]
    return error["status"], error["message"]


@dataclass(frozen=True)
class Native:
    """What a dialect's requests and answers look like."""

    dialect: str
    body: dict[str, Any]
    answer: dict[str, Any]
    stream: list[bytes]
    """The pieces of the same answer."""
    ends: int
    """The first piece that ends the turn."""
    half: int = 2
    """How many pieces it takes to say `hel`."""
    error: Callable[[bytes], tuple[str, str]] = error_of
    error_kinds: Mapping[int, str] = field(default_factory=dict)
    whole_path: str = ""
    stream_path: str = ""
    keepalive: bytes = b": keepalive\n\n"
    media_type: str = "text/event-stream"
    key_header: str = "authorization"
    """Where clients and providers of this dialect have the key."""
    in_url: bool = False
    """The URL says which model it is and whether it streams."""
    finish: str = "stop"

    def asked(self, *, stream: bool = False, model: str = "m") -> tuple[str, dict[str, Any]]:
        """Path and body of a request."""
        if self.in_url:
            return (self.stream_path if stream else self.whole_path).format(model=model), dict(self.body)
        return self.whole_path, {**self.body, "model": model, **({"stream": True} if stream else {})}

    def key(self, value: str) -> dict[str, str]:
        return {self.key_header: f"Bearer {value}" if self.key_header == "authorization" else value}


OPENAI_KINDS = {400: "invalid_request_error", 401: "authentication_error", 409: "conflict_error"}
CHAT = Native(
    dialect="chat",
    whole_path="/v1/chat/completions",
    body={
        "messages": [{"role": "user", "content": "hi"}], "x_unknown": {"a": [1.0]},
        "stream_options": {"include_usage": True},
    },
    answer={
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "upstream-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    },
    stream=[
        *unnamed(
            {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "h"}}]},
            {"id": "c", "choices": [{"index": 0, "delta": {"content": "el"}}]},
            {"id": "c", "choices": [{"index": 0, "delta": {"content": "lo"}}]},
            {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"id": "c", "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}},
        ),
        b"data: [DONE]\n\n",
    ],
    ends=3,
    error_kinds=OPENAI_KINDS,
)  # fmt: skip
RESPONSES = Native(
    dialect="responses",
    whole_path="/v1/responses",
    body={"input": [{"role": "user", "content": "hi"}], "x_unknown": {"a": [1.0]}},
    answer={**RESPONSE, "output": [SAID], "usage": SPENT},
    stream=named(
        {"type": "response.created", "sequence_number": 0,
         "response": {**RESPONSE, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "sequence_number": 1,
         "item": {**SAID, "status": "in_progress", "content": []}},
        {"type": "response.content_part.added", "item_id": "msg_1", "output_index": 0, "content_index": 0,
         "sequence_number": 2, "part": {"type": "output_text", "text": "", "annotations": []}},
        {"type": "response.output_text.delta", "sequence_number": 3, "item_id": "msg_1", "output_index": 0,
         "content_index": 0, "delta": "hel"},
        {"type": "response.output_text.delta", "sequence_number": 4, "item_id": "msg_1", "output_index": 0,
         "content_index": 0, "delta": "lo"},
        {"type": "response.output_item.done", "sequence_number": 5, "output_index": 0, "item": SAID},
        {"type": "response.completed", "sequence_number": 6,
         "response": {**RESPONSE, "output": [SAID], "usage": SPENT}},
    ),
    ends=6,
    half=4,
    error_kinds=OPENAI_KINDS,
    finish="completed",
)  # fmt: skip
MESSAGES = Native(
    dialect="messages",
    whole_path="/v1/messages?beta=true",
    body={"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "x_unknown": {"a": [1.0]}},
    answer={
        **ASSISTANT, "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
    },
    stream=named(
        {"type": "message_start", "message": {**ASSISTANT, "content": [], "stop_reason": None, "stop_sequence": None,
                                              "usage": {"input_tokens": 10, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
         "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ),
    ends=4,
    error_kinds=OPENAI_KINDS,
    key_header="x-api-key",
    finish="end_turn",
)  # fmt: skip
GOOGLE_KINDS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 409: "ABORTED"}
_CHUNKS = (candidate("h"), candidate("el"), candidate("lo"), candidate("", "STOP", usageMetadata=COUNTED))
GEMINI = Native(
    dialect="gemini",
    whole_path="/v1beta/models/{model}:generateContent",
    stream_path="/v1beta/models/{model}:streamGenerateContent?alt=sse",
    body={"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "x_unknown": {"a": [1.0]}},
    answer=candidate("hello", "STOP", usageMetadata=COUNTED, modelVersion="upstream-model"),
    stream=unnamed(*_CHUNKS),
    ends=3,
    error=google_error_of,
    error_kinds=GOOGLE_KINDS,
    keepalive=b"\n",
    key_header="x-goog-api-key",
    in_url=True,
    finish="STOP",
)
GEMINI_ARRAY = Native(
    dialect="gemini",
    whole_path="/v1/models/{model}:generateContent",
    stream_path="/v1/models/{model}:streamGenerateContent",
    body=GEMINI.body,
    answer=GEMINI.answer,
    stream=elements(*_CHUNKS),
    ends=3,
    error=google_error_of,
    error_kinds=GOOGLE_KINDS,
    keepalive=b"\n",
    media_type="application/json",
    key_header="x-goog-api-key",
    in_url=True,
    finish="STOP",
)
NATIVES = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES, "gemini": GEMINI, "gemini array": GEMINI_ARRAY}


@pytest.fixture(params=NATIVES)
def native(request: pytest.FixtureRequest) -> Native:
    """Each dialect in turn."""
    return NATIVES[request.param]


def models_at(url: str, **options: Any) -> Models:
    """An upstream that speaks every dialect."""
    return Models(base_url=url + "/v1", api_key="sk-provider-secret", dialects=list(DIALECTS), **options)


@dataclass
class Talk:
    """A provider and a gateway before it that both speak one dialect."""

    native: Native
    provider: Provider
    house: House

    async def ask(
        self, session: Session | None = None, *, stream: bool = False, read: bool = True, **options: Any
    ) -> aiohttp.ClientResponse:
        path, body = self.native.asked(stream=stream)
        headers = {**(self.native.key(session.key) if session is not None else {}), **options.pop("headers", {})}
        path = options.pop("path", path)
        return await self.house.post(None, options.pop("body", body), path=path, headers=headers, read=read, **options)

    async def stream(self, request: web.Request, *pieces: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": self.native.media_type})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        return response

    def told(self, raw: bytes) -> list[bytes]:
        """What the events of a stream say; bytes that are there to keep it alive say nothing."""
        if self.native.media_type == "application/json":
            return [json.dumps(value).encode() for value in json.loads(raw)]
        lines = (line for line in raw.splitlines() if line.startswith(b"data: "))
        return [line.removeprefix(b"data: ") for line in lines]


@pytest.fixture
def answering(native: Native) -> Callable[..., Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]]:
    """The provider's usual answer in this dialect, whole or as a stream."""

    def made(*pieces: bytes) -> Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            if not (body.get("stream") or "stream" in request.path):
                return web.json_response(native.answer)
            response = web.StreamResponse(headers={"Content-Type": native.media_type})
            await response.prepare(request)
            for piece in pieces or native.stream:
                await response.write(piece)
            return response

        return answer

    return made


@pytest.fixture
def settings() -> Settings:
    """What the gateway of `talk` is set to; tests replace it."""
    return Settings()


@pytest.fixture
async def talk(
    native: Native, provider: Provider, serve: MakeHouse, settings: Settings, answering: Callable[..., Any]
) -> AsyncIterator[Talk]:
    provider.answer = answering()
    async with serve(models=models_at(provider.url), settings=settings) as house:
        yield Talk(native, provider, house)
