"""What can be set about a gateway."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from drawbar.errors import ConfigurationError
from drawbar.proxy.failures import RetryPolicy
from drawbar.record.retention import Retention
from drawbar.wire.hosted_tools import kinds_of

if TYPE_CHECKING:
    from drawbar.alerts.rule import AlertRule
    from drawbar.alerts.webhook import Webhook
    from drawbar.score.live_rule import LiveRule

Recording: TypeAlias = Literal["required", "best-effort"]


def hosted_tools(names: Iterable[str]) -> frozenset[str]:
    """The kinds of tools of providers' own that these names stand for; `all` stands for every one.

    Raises:
        ConfigurationError: a name is none.
    """
    try:
        return kinds_of(names)
    except ValueError as error:
        raise ConfigurationError(f"These tools cannot be withheld. {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set about a gateway."""

    recording: Recording = "required"
    """What happens to an answer that cannot be recorded. `required`: it is not given, the client gets a 503.
    `best-effort`: it is given, and the loss is logged and counted."""
    admin_key: str | None = field(default=None, repr=False)
    """The key of the control API. Without one it answers only while `loopback` holds."""
    keys: frozenset[str] = field(default=frozenset(), repr=False)
    """Keys that clients without a session must show. None: everyone who can reach the gateway may use it."""
    stored_keys: bool = False
    """Whether the store holds keys of clients (`drawbar keys`), so that there is one to show."""
    loopback: bool = True
    """Whether only this machine can reach it. Requests that name another host are then refused (DNS rebinding)."""
    allowed_hosts: frozenset[str] = frozenset()
    """Further host names under which clients reach it."""
    pass_key: bool = False
    """Send the client's own key on to the provider, where it sent one that is not ours."""
    max_body: int = 100 * 1024 * 1024
    """Bytes of a request's body."""
    keepalive: float = 3.0
    """Seconds without an event after which a stream carries a comment."""
    patience: float = 10.0
    """Seconds for which a stream's head waits for the upstream's status. After them the stream begins, so that no
    proxy on the way gives it up; an error then comes as an event."""
    afterwards: float = 5.0
    """Seconds that are waited, once a streamed answer has ended, for what the provider may send after it."""
    retry_grace: float = 5.0
    """Seconds for which a call goes on after its client left, if its SDK marks retries: the retry joins the call."""
    live_idle: float = 1800.0
    """Seconds without a request after which a live session (one that nobody opened) is ended. When its agent comes
    back, a new one continues it."""
    stop_tools: frozenset[str] = frozenset()
    """Tools whose call ends a live session, by name; also behind a prefix that ends in `__`."""
    stop_grace: float = 10.0
    """Seconds after such a call in which the session may still go on (the tool's result, the last words)."""
    score_live: tuple[LiveRule, ...] = ()
    """Whose rubrics look at which live sessions once they have ended."""
    alerts: tuple[AlertRule, ...] = ()
    """What live traffic must not come to."""
    webhooks: Mapping[str, Webhook] = field(default_factory=dict)
    """Who is told when it does, by name."""
    alert_interval: float = 10.0
    """Seconds between looks at the alerts."""
    token_ids: bool = False
    """Ask the providers that can for token ids and log probabilities, for the record of every session. Clients get none
    that they did not ask for."""
    withhold: frozenset[str] = frozenset()
    """The kinds of tools (`wire.hosted_tools.HOSTED_TOOLS`) that providers may not run for any session: they are taken
    out of requests, and that is noted in the record."""
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    retention: Retention = field(default_factory=Retention)
    """How long sessions are kept once they have ended; by default for ever."""

    def __post_init__(self) -> None:
        if self.recording not in ("required", "best-effort"):
            raise ConfigurationError(f"recording is 'required' or 'best-effort', not {self.recording!r}.")
        if not self.loopback and (self.admin_key is None or not (self.keys or self.stored_keys)):
            raise ConfigurationError(
                "A gateway that other machines can reach needs an admin key and client keys: without them anyone there "
                "could spend on your provider keys and read what was recorded. Set both (DRAWBAR_ADMIN_KEY; `drawbar "
                "keys create NAME`), or bind to 127.0.0.1."
            )
