"""What the calls of sessions come to, read as they come: a call that is over is read once or twice and never again.

Ids sort by time, to the millisecond of their gateway's clock. So what lies a while behind the newest calls can be
settled: it is added up, and left alone from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, TextClause, text

SETTLED: Final = 10.0
"""Seconds after its end from which a call is left alone: by so much clocks of gateways may differ."""
FORGOTTEN: Final = 3600.0
"""Seconds from which a call that has not ended is taken for one whose gateway was killed."""
_PAIRS: Final = 100
"""Sessions that one query asks for; it is always filled up to as many, so that it is made ready once."""


class Call(NamedTuple):
    """A model call."""

    session: str
    id: str
    status: str
    started: float
    ended: float | None
    model: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None


class ToolCall(NamedTuple):
    """A tool call."""

    session: str
    id: str
    status: str
    started: float
    ended: float | None
    name: str
    is_error: bool


@dataclass(slots=True)
class Sum:
    """What calls come to."""

    calls: int = 0
    turns: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    model: str | None = None
    """As the first call names it."""
    heard: float | None = None
    under_way: int = 0
    """Model calls."""
    running: str | None = None
    """A tool."""

    def add(self, call: Call) -> None:
        self.calls += 1
        self.turns += call.status == "answered"
        self.under_way += call.ended is None
        self.prompt_tokens += call.prompt_tokens or 0
        self.completion_tokens += call.completion_tokens or 0
        if call.cost is not None:
            self.cost = (self.cost or 0.0) + call.cost
        self.model = self.model or call.model
        self._hear(call)

    def add_tool(self, call: ToolCall) -> None:
        self.tool_calls += 1
        if call.ended is None:
            self.running = call.name
        else:
            self.tool_errors += bool(call.is_error) or call.status != "answered"
        self._hear(call)

    def _hear(self, call: Call | ToolCall) -> None:
        self.heard = max(self.heard or 0.0, call.started, call.ended or 0.0)


@dataclass(slots=True)
class Account:
    """One session's calls: what is settled of them, and the others one by one."""

    settled: Sum = field(default_factory=Sum)
    calls: dict[str, Call] = field(default_factory=dict)
    tools: dict[str, ToolCall] = field(default_factory=dict)
    after: list[str] = field(default_factory=lambda: ["", ""])
    """The last call, and the last tool call, that are settled."""
    known: Sum | None = None
    """What all of them come to, as long as nothing new has come."""

    def total(self) -> Sum:
        """What all of them come to."""
        if self.known is not None:
            return self.known
        sum = self.known = Sum(**{name: getattr(self.settled, name) for name in Sum.__slots__})
        for call in self.calls.values():
            sum.add(call)
        for tool in self.tools.values():
            sum.add_tool(tool)
        return sum

    def settle(self, now: float) -> None:
        """Add up what will not change any more."""
        for kind, known in enumerate[dict[str, Any]]((self.calls, self.tools)):
            for id in sorted(known):
                call = known[id]
                if call.ended is None:
                    if now - call.started < FORGOTTEN:
                        break
                    call, self.known = call._replace(ended=call.started), None
                elif now - call.ended < SETTLED:
                    break
                (self.settled.add_tool if kind else self.settled.add)(call)
                del known[id]
                self.after[kind] = id


class Ledger:
    """The accounts of the sessions that are watched."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}

    def __contains__(self, session: object) -> bool:
        return session in self._accounts

    def read(self, connection: Connection, sessions: Sequence[str], now: float) -> list[Call]:
        """Take in what is new of these sessions; gives the model calls that are now seen to have ended."""
        accounts = {session: self._accounts.setdefault(session, Account()) for session in sessions}
        over: list[Call] = []
        for call in map(Call._make, _rows(connection, 0, accounts)):
            account = accounts[call.session]
            before = account.calls.get(call.id)
            if before != call:
                account.calls[call.id], account.known = call, None
            if call.ended is not None and (before is None or before.ended is None):
                over.append(call)
        for tool in map(ToolCall._make, _rows(connection, 1, accounts)):
            account = accounts[tool.session]
            account.tools[tool.id], account.known = tool, None
        return over

    def close(self, now: float) -> dict[str, Sum]:
        """What each session comes to; then what is over is settled."""
        totals = {}
        for session, account in self._accounts.items():
            totals[session] = account.total()
            account.settle(now)
        return totals

    def keep(self, sessions: Iterable[str]) -> None:
        """Forget the others."""
        wanted = set(sessions)
        for session in [session for session in self._accounts if session not in wanted]:
            del self._accounts[session]


def _rows(connection: Connection, kind: int, accounts: Mapping[str, Account]) -> Iterable[Sequence[Any]]:
    asked = list(accounts.items())
    for at in range(0, len(asked), _PAIRS):
        page = asked[at : at + _PAIRS]
        given = {f"s{n}": session for n, (session, _) in enumerate(page)}
        given |= {f"a{n}": account.after[kind] for n, (_, account) in enumerate(page)}
        given |= {f"{name}{n}": "" for name in "sa" for n in range(len(page), _PAIRS)}
        yield from connection.execute(_statement(kind), given)


@cache
def _statement(kind: int) -> TextClause:
    """What comes after the last settled call of each of many sessions. As text: a list of pairs would be compiled anew
    at each use."""
    table, columns = (("call", Call._fields), ("tool_call", ToolCall._fields))[kind]
    pairs = ", ".join(f"(:s{n}, :a{n})" for n in range(_PAIRS))
    named = ", ".join(f"c.{name}" for name in columns)
    return text(
        f"WITH asked(session, after) AS (VALUES {pairs}) SELECT {named} FROM asked CROSS JOIN {table} c "
        "WHERE c.session = asked.session AND c.id > asked.after"
    )
