"""An upstream in this process: a `drawbar.model.Model` answering as an API would, in any dialect, streaming and not."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from traceback import extract_tb
from typing import Any

from drawbar.ids import new_id
from drawbar.model import Model
from drawbar.proxy.playing import Stage
from drawbar.proxy.token_server import TokenServer
from drawbar.proxy.upstream import Exchange, Headers, UpstreamError, UpstreamReply
from drawbar.wire import TRANSLATORS
from drawbar.wire.dialect import BadBody
from drawbar.wire.framing import Framing
from drawbar.wire.tolerant import dump
from drawbar.wire.translator import Chat, Said, Translator


class InProcessUpstream:
    """One in-process model. Its usage is an honest guess: words, where an API counts tokens."""

    streams_usage = True
    tokens: TokenServer | None = None
    remembers = False

    def __init__(self, name: str, model: Model) -> None:
        self.name = name
        self._model = model

    async def send(self, exchange: Exchange) -> UpstreamReply:
        route = exchange.route
        if route.kind not in ("turn", "count"):
            said = f"{self.name} is an in-process model: it knows no {route.path}."
            raise UpstreamError("upstream_rejected", said, status=404, code="not_found", retry=False)
        translator = TRANSLATORS[route.dialect.name]
        asked, tokens = _read(translator, exchange.body)
        if route.kind == "count":
            return MadeReply([translator.count(tokens)])
        message = await self._reply(asked, exchange)
        answer = translator.answer(_said(message, exchange.model, tokens), asked)
        if not exchange.stream:
            return MadeReply([dump(answer)], lost=asked.lost)
        return streamed(translator.events(answer, exchange.body), route.framing, asked.lost)

    async def _reply(self, asked: Chat, exchange: Exchange) -> dict[str, Any]:
        try:
            stage = Stage(asked.messages, asked.tools)
            said = stage.answer(await self._model(stage.messages, stage.tools, exchange.task))
            return {"role": "assistant", "content": None, **said}
        except Exception as error:
            place = extract_tb(error.__traceback__)[-1]
            told = (
                f"the in-process model {self.name} raised {type(error).__name__}: {error} "
                f"({place.filename}:{place.lineno})"
            )
            raise UpstreamError("upstream_unavailable", told, status=500, retry=False) from error

    def cost(self, model: str, prompt: int, cached: int, completion: int) -> float | None:
        return 0.0

    async def aclose(self) -> None:
        pass


class MadeReply:
    """An answer that was made here."""

    def __init__(
        self,
        body: Sequence[bytes],
        *,
        status: int = 200,
        media_type: bytes = b"application/json",
        headers: Headers = (),
        lost: Sequence[str] = (),
    ) -> None:
        self.status = status
        self.headers: Headers = [(b"content-type", media_type), *headers]
        self.lost = lost
        self._body = body

    async def chunks(self) -> AsyncIterator[bytes]:
        for part in self._body:
            yield part

    async def read(self) -> bytes:
        return b"".join(self._body)

    async def aclose(self) -> None:
        pass


def streamed(payloads: Sequence[bytes], framing: Framing, lost: Sequence[str] = ()) -> MadeReply:
    """A stream of these events."""
    last = len(payloads) - 1
    parts = [framing.written([it], first=not at, last=at == last) for at, it in enumerate(payloads)]
    return MadeReply(parts, media_type=framing.media_type, lost=lost)


def words(value: Any) -> int:
    """How many words stand in a JSON value: the tokens of an in-process model (no tokenizer is asked)."""
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, dict | list | tuple | Mapping):  # the abstract one last: asking it is slow
        return sum(map(words, value if isinstance(value, list | tuple) else value.values()))
    return int(value is not None)


def _read(translator: Translator, body: bytes) -> tuple[Chat, int]:
    """The request, and how many tokens it counts for."""
    try:
        chat = translator.chat(body)
        return chat, sum(map(words, chat.messages)) + words(chat.tools)
    except (BadBody, RecursionError) as error:
        said = f"This request cannot be read: {error}."
        raise UpstreamError("upstream_rejected", said, status=400, code="bad_request") from error


def _said(message: Mapping[str, Any], model: str, prompt: int) -> Said:
    completion = words({key: value for key, value in message.items() if key != "role"})
    return Said(message, model, prompt, completion, new_id("answer").partition("_")[2], int(time.time()))
