"""The seam between the gateway and whatever answers for a model: what is sent, what comes back, how it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from drawbar.task import Task

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Names in lower case, as ASGI has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request to an upstream, in the chat dialect."""

    path: str
    """Below the version prefix: `chat/completions`."""
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


class UpstreamReply(Protocol):
    """An answer whose head has come."""

    status: int
    headers: Headers

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


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first header of this (lower-case) name."""
    return next((value for key, value in headers if key == name), None)
