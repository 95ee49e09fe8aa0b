"""The seam between the gateway and whatever answers for a model: what is sent, what comes back, how it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from drawbar.task import Task
from drawbar.wire.route import Route
from drawbar.wire.token_view import Tokens

if TYPE_CHECKING:
    from drawbar.proxy.token_server import TokenServer

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Names in lower case, as ASGI has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request to an upstream."""

    route: Route
    """In which dialect it is, and what it wants."""
    body: bytes
    """As the client sent it, overridden fields patched."""
    model: str
    """The model's name there."""
    stream: bool = False
    headers: Headers = ()
    """What of the client's headers goes with it."""
    key: str | None = None
    """The client's own key, where it may be passed on; else the provider's is set."""
    task: Task | None = None
    """The session's task: for models in this process alone."""
    on_tokens: Callable[[Tokens | None], None] | None = None
    """Where token ids are wanted: what an upstream calls with those that its answer cannot carry."""
    method: str = "POST"

    @property
    def path(self) -> str:
        """Below the base URL; with a leading slash, in place of the base URL's version prefix."""
        return self.route.below(self.model)


class UpstreamReply(Protocol):
    """An answer whose head has come."""

    status: int
    headers: Headers
    lost: Sequence[str]
    """What of the request was left out because the upstream's dialect cannot say it, in words."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises `UpstreamError` when it breaks off."""

    async def read(self) -> bytes:
        """The whole body. Raises `UpstreamError` when it breaks off."""

    async def aclose(self) -> None:
        """Let go of it, whether or not all of it was read."""


class Upstream(Protocol):
    """Answers for models."""

    name: str
    streams_usage: bool
    """Whether it can be asked for token counts in a stream."""
    remembers: bool
    """Whether it keeps conversations that requests go on from by name."""
    tokens: TokenServer | None
    """How it is asked for token ids; None: it cannot be."""

    async def send(self, exchange: Exchange) -> UpstreamReply:
        """Raises `UpstreamError` when nothing answered."""

    def cost(self, model: str, prompt: int, cached: int, completion: int) -> float | None:
        """US dollars for these counts of tokens; None when the price is not known."""

    async def aclose(self) -> None: ...


class UpstreamError(RuntimeError):
    """No upstream gave an answer that can be used. `cause` is a name from `drawbar.causes`."""

    def __init__(
        self,
        cause: str,
        message: str,
        *,
        status: int = 502,
        code: str | None = None,
        headers: Headers = (),
        body: bytes | None = None,
        retry: bool | None = None,
        body_seen: bytes | None = None,
        torn: bool = False,
    ) -> None:
        super().__init__(message)
        self.cause = cause
        self.status = status
        """What the client is answered."""
        self.code = code or cause
        self.headers = headers
        """The upstream's, where it answered."""
        self.body = body
        """The upstream's own error body, to be passed on as it is; None when there is none."""
        self.body_seen = body_seen if body_seen is not None else body
        """What came, whether or not it can be read: for the record."""
        self.retry = retry
        """Whether asking again may help, where that is known; None: by status."""
        self.torn = torn
        """The connection broke off in the middle of the answer."""


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first header of this (lower-case) name."""
    return next((value for key, value in headers if key == name), None)
