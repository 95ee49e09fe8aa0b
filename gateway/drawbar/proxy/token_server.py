"""How one upstream is asked for token ids, and which of its models refuse to tell of them."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from drawbar.errors import ConfigurationError
from drawbar.proxy.upstream import UpstreamError
from drawbar.wire import CHAT
from drawbar.wire.dialect import Request
from drawbar.wire.tokens import TOKEN_SERVERS, TokenWish, is_refusal, token_wish

Asked: TypeAlias = Literal["asked", "refused", "unable"]
"""What became of a session's wish for token ids at one call: it was put to the upstream; the upstream refuses it for
this model; or there is no way to put it."""

_MOST_REMEMBERED: Final = 1_000


class TokenServer:
    """An upstream as a teller of token ids."""

    def __init__(self, kind: str, *, bridged: bool = False) -> None:
        """`kind` is a name of `TOKEN_SERVERS`; `bridged`: it is asked in chat, whatever its agents speak. Raises
        `ConfigurationError`."""
        if kind not in TOKEN_SERVERS:
            known = ", ".join(TOKEN_SERVERS)
            raise ConfigurationError(f"There is no kind {kind!r} of servers to ask for token ids; there are {known}.")
        self.kind = kind
        self.bridged = bridged
        self._refused: set[tuple[str, str, bool]] = set()
        self._behind: TokenServer | None = None

    def wish(self, dialect: str, model: str, request: Request) -> tuple[TokenWish | None, Asked]:
        """What is added to a request to this model, and what that says of the session's wish."""
        if (dialect, model, request.stream) in self._refused:
            return None, "refused"
        if self.bridged:
            return TokenWish(), "asked"
        wish = token_wish(dialect, self.kind, request)
        return wish, "asked" if wish is not None else "unable"

    @property
    def behind(self) -> TokenServer:
        """The same for agents whose requests are translated to chat before it is asked."""
        self._behind = self._behind or TokenServer(self.kind, bridged=True)
        return self._behind

    def asked_in_chat(self, body: bytes) -> bytes:
        """A request in chat that asks for token ids, too."""
        wish = token_wish("chat", self.kind, CHAT.split(body))
        return body if wish is None else CHAT.patch(body, wish.changes)

    def refuses(self, dialect: str, model: str, request: Request, error: UpstreamError) -> bool:
        """Whether this error says that the wish cannot be granted. Such requests are then sent without it."""
        if not 400 <= error.status < 500 or error.status == 429 or not is_refusal(error.body_seen):
            return False
        if len(self._refused) >= _MOST_REMEMBERED:
            self._refused.clear()
        self._refused.add((dialect, model, request.stream))
        return True
