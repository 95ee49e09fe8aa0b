"""How our own harnesses talk to their session by HTTP: the chat dialect and the gateway's errors; no agent's logic."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
import orjson

from drawbar.causes import CAUSES
from drawbar.errors import HarnessError
from drawbar.harness import Assignment

IDLE_SECONDS = 3.0
"""Idle connections are dropped sooner than servers drop them (uvicorn: 5 s), so that none is cut under a request."""
SENDINGS = 3
REPLAYED = frozenset({"role", "content", "tool_calls"})
REASONING = frozenset({"reasoning_content", "reasoning", "reasoning_details"})
_OVERFLOW = re.compile(r"context.{0,20}(length|window)|maximum.{0,20}tokens|prompt is too long|too many tokens", re.I)


class Stopped(Exception):
    """The rollout must end here, and why: a name from `drawbar.causes`."""

    def __init__(self, cause: str, error: str | None = None) -> None:
        self.cause, self.error = cause, error
        super().__init__(cause)


class Function(msgspec.Struct):
    """What a tool call names."""

    name: str = ""
    arguments: Any = ""


class RequestedCall(msgspec.Struct):
    """One tool call of a reply."""

    id: str = ""
    function: Function = msgspec.field(default_factory=Function)


class Assistant(msgspec.Struct):
    """What the loop reads of a reply's message; everything else stays in its bytes."""

    content: Any = None
    tool_calls: list[RequestedCall] | None = None


class _Choice(msgspec.Struct):
    message: msgspec.Raw = msgspec.Raw(b"null")


class _Completion(msgspec.Struct):
    choices: list[_Choice]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the model."""

    raw: bytes
    """The message as it came."""
    message: Assistant


_completion = msgspec.json.Decoder(_Completion)
_assistant = msgspec.json.Decoder(Assistant)


def replayed(reply: Reply, fields: Set[str]) -> orjson.Fragment:
    """A reply as the next request carries it: the very bytes where all of its fields may go back.

    Providers refuse fields that are theirs alone to send (`refusal`, `annotations`, `audio`), even as null.
    """
    message = orjson.loads(reply.raw)
    if message.keys() <= fields:
        return orjson.Fragment(reply.raw)
    return orjson.Fragment(orjson.dumps({name: value for name, value in message.items() if name in fields}))


@asynccontextmanager
async def connected() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client without a limit on connections or time: limits are the gateway's and the engine's."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS, use_dns_cache=True)
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=None), cookie_jar=aiohttp.DummyCookieJar()
    ) as client:
        yield client


async def ask(
    client: aiohttp.ClientSession, assignment: Assignment, messages: Sequence[Any], tools: bytes | None
) -> Reply:
    """One model exchange.

    Raises:
        Stopped: the gateway said that the rollout must end, or the model did not answer.
        HarnessError: the gateway is not there.
    """
    request: dict[str, Any] = {"model": assignment.model, "messages": messages, **assignment.sampling}
    if assignment.seed is not None:
        request.setdefault("seed", assignment.seed)
    if tools is not None:
        request["tools"] = orjson.Fragment(tools)
    url = assignment.openai_base_url + "/chat/completions"
    body = await _send(client, assignment, url, orjson.dumps(request))
    try:
        raw = bytes(_completion.decode(body).choices[0].message)
        return Reply(raw, _assistant.decode(raw))
    except (msgspec.DecodeError, IndexError) as error:
        raise Stopped("upstream_broken", f"The answer is not a chat completion: {error}") from error


async def next_from_user(client: aiohttp.ClientSession, assignment: Assignment, turn: int) -> Mapping[str, Any] | None:
    """What the user says to the agent's final answer, as a chat message; None: no more, or there is no user.

    `turn` is how often the user has replied before.

    Raises:
        Stopped, HarnessError: as `ask`.
    """
    if assignment.user_url is None:
        return None
    said = await _send(client, assignment, assignment.user_url, orjson.dumps({"turn": turn}))
    message: Mapping[str, Any] | None = orjson.loads(said)["message"]
    return message


async def _send(client: aiohttp.ClientSession, assignment: Assignment, url: str, body: bytes) -> bytes:
    """POST, again when the connection broke: marked as a retry, so that the gateway never makes a second turn of it."""
    headers = {"Authorization": f"Bearer {assignment.key}", "Content-Type": "application/json"}
    for sending in range(SENDINGS):
        headers["X-Stainless-Retry-Count"] = str(sending)
        try:
            async with client.post(url, data=body, headers=headers) as response:
                content = await response.read()
        except aiohttp.ClientError as error:
            broken = error
            continue
        if response.status != 200:
            raise Stopped(*explain(response.status, content))
        return content
    raise HarnessError(f"The gateway at {assignment.base_url.split('/s/')[0]} cannot be reached: {broken}")


def explain(status: int, body: bytes) -> tuple[str, str]:
    """The cause and the words of an error answer.

    The gateway's own refusals carry a cause as the error's `code`; anything else is what the model's provider said.
    """
    error = _error_of(body)
    message, code = str(error.get("message") or f"HTTP {status}"), str(error.get("code") or "")
    if code in CAUSES:
        return code, message
    if code == "context_length_exceeded" or (status in (400, 413, 422) and _OVERFLOW.search(message)):
        return "context_overflow", message
    if status == 429:
        return "upstream_rate_limited", message
    return ("upstream_unavailable" if status >= 500 else "upstream_rejected"), message


def _error_of(body: bytes) -> Mapping[str, Any]:
    try:
        error = orjson.loads(body)["error"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return {"message": body[:500].decode(errors="replace")}
    return error if isinstance(error, dict) else {"message": str(error)}
