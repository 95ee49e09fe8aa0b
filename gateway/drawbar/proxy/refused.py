"""A request that is not served, and what its client is told."""

from __future__ import annotations

from drawbar.proxy.headers import NO_RETRY
from drawbar.proxy.upstream import Headers


class Refused(Exception):
    """What is said in the dialect of whoever asked. `retry`: whether the same request may be served later."""

    def __init__(self, status: int, message: str, code: str, *, retry: bool = True, after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        wait: list[tuple[bytes, bytes]] = [(b"retry-after", b"%d" % after)] if after is not None else []
        self.headers: Headers = wait if retry else [*wait, NO_RETRY]
