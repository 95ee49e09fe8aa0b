"""What a request's URL says: in which dialect it is, what it wants, and what its dialect has in no body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode

from drawbar.wire.chat import ChatDialect
from drawbar.wire.dialect import Dialect, Request
from drawbar.wire.framing import ELEMENTS, EVENTS, NAMED_EVENTS, QUIET_EVENTS, Framing
from drawbar.wire.gemini import GeminiDialect
from drawbar.wire.gemini_path import GeminiPath
from drawbar.wire.labels import without_labels
from drawbar.wire.messages import MessagesDialect
from drawbar.wire.responses import ResponsesDialect
from drawbar.wire.responses_paths import kept_at
from drawbar.wire.tolerant import must_be_text

Kind: TypeAlias = Literal["turn", "count", "kept", "other"]
"""The model answers; its provider counts tokens; it is asked about what it keeps; or something else passes through."""

CHAT: Final[Dialect] = ChatDialect()
MESSAGES: Final[Dialect] = MessagesDialect()
GEMINI: Final[Dialect] = GeminiDialect()
RESPONSES: Final[Dialect] = ResponsesDialect()

_PRINTED: Final = "".join(chr(code) for code in range(33, 127) if chr(code) not in '"#<>')
"""What of a query stands in a URL as it is; some clients send more."""
_FRAMINGS: Final = {"chat": EVENTS, "messages": NAMED_EVENTS, "responses": NAMED_EVENTS, "gemini": QUIET_EVENTS}
_PATHS: Final[Mapping[str, tuple[Dialect, Kind]]] = {
    "/v1/chat/completions": (CHAT, "turn"),
    "/v1/embeddings": (CHAT, "other"),
    "/v1/responses": (RESPONSES, "turn"),
    "/v1/responses/input_tokens": (RESPONSES, "count"),
    "/v1/messages": (MESSAGES, "turn"),
    "/v1/messages/count_tokens": (MESSAGES, "count"),
}


@dataclass(frozen=True, slots=True)
class Route:
    """One of the URLs that models are asked at."""

    dialect: Dialect
    path: str
    """As it was asked for, without its query."""
    kind: Kind = "turn"
    query: str = ""
    url: GeminiPath | None = None
    """Where the URL names the model."""
    methods: tuple[str, ...] = ("POST",)
    """Those of HTTP that are served there."""

    def split(self, body: bytes) -> Request:
        """The request, with what the URL says of it. Raises `BadBody`."""
        request = self.dialect.split(body)
        must_be_text(body)
        return request if self.url is None else replace(request, model=self.url.model, stream=self.url.stream)

    def below(self, model: str) -> str:
        """Where an upstream is asked: below its base URL; with a leading slash, in place of the base URL's version."""
        if self.url is not None:
            return "/" + self.url.url(model)
        path = self.path.removeprefix("/v1/")
        return f"{path}?{self.query}" if self.query else path

    @property
    def framing(self) -> Framing:
        """How a stream comes that was asked for here."""
        return ELEMENTS if self.url is not None and not self.url.events else _FRAMINGS[self.dialect.name]

    def framing_of(self, content_type: bytes) -> Framing | None:
        """How an upstream's stream comes; None where its answer is no stream."""
        if content_type.startswith(EVENTS.media_type):
            return _FRAMINGS[self.dialect.name]
        asked = self.framing
        is_stream = self.url is not None and self.url.stream and content_type.startswith(asked.media_type)
        return asked if is_stream else None


CHAT_TURN: Final = Route(CHAT, "/v1/chat/completions")


def read_route(path: str, query: str) -> Route | None:
    """The route of a URL, unquoted and without what stands before its version; None when no model is asked there."""
    found = _PATHS.get(path)
    if found is not None:
        return Route(found[0], path, found[1], _without_key(query))
    if methods := kept_at(path):
        return Route(RESPONSES, path, "kept", _without_key(query), methods=methods)
    url = GeminiPath.read(path, query)
    if url is None:
        return None
    kind: Kind = "turn" if url.turn else "count" if url.method == "countTokens" else "other"
    return Route(GEMINI, path, kind, url=url)


def split_prefix(path: str) -> tuple[str | None, str]:
    """The session's key in a path, as `/s/{key}/v1/...` has it, and the path that follows."""
    if not path.startswith("/s/"):
        return None, path
    prefix, _, rest = path[3:].partition("/")
    return prefix, "/" + rest


def key_in(query: str) -> str | None:
    """The API key in a URL's query, where Google's clients may put it."""
    return dict(parse_qsl(query)).get("key") if "key=" in query else None


def _without_key(query: str) -> str:
    """What of a query is the provider's business."""
    query = without_labels(query)
    if "key=" not in query:
        return quote(query, safe=_PRINTED, encoding="latin-1")
    return urlencode([pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != "key"])


def asker(path: str, headers: Mapping[bytes, bytes]) -> Dialect:
    """The dialect in which the answer to any request is understood, whatever was asked for."""
    route = read_route(path, "")
    if route is not None:
        return route.dialect
    if b"anthropic-version" in headers or path.startswith("/v1/messages"):
        return MESSAGES
    if b"x-goog-api-key" in headers or b"x-goog-api-client" in headers or path.startswith("/v1beta/"):
        return GEMINI
    return CHAT
