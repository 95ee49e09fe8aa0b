"""Lets a session go on in its cassettes where it was, after a restart of its gateway or a move from another one.

What it has asked so far is in the store: its tool calls are put to the cassettes again, in their order, before its next
one is. A call that never ended was not answered: its agent has not seen the recording, and gets it when it asks again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping

import orjson
from anyio.to_thread import run_sync

from drawbar.record.rows import ToolCallRow
from drawbar.record.store import Store
from drawbar.sessions import Session
from drawbar.tools.cassettes.deck import Deck
from drawbar.tools.connection import Caller, ToolRequest


class Resuming:
    """Of one gateway. `Session.known` holds the calls that were made here, or were put to the cassettes here."""

    def __init__(self) -> None:
        self._looked: set[str] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def catch_up(self, store: Store, session: Session, caller: Caller, decks: Mapping[str, Deck]) -> None:
        """Before a session's next call, once; and each time where other gateways may serve it too. Raises
        `StoreError`."""
        if session.id in self._looked and not store.shared:
            return
        async with self._locks[session.id]:
            if session.id in self._looked and not store.shared:  # meanwhile
                return
            for row in await run_sync(store.tool_calls, session.id):
                if row.id not in session.known and row.status != "started":
                    session.known.add(row.id)
                    _put(row, caller, decks)
            self._looked.add(session.id)

    def knows(self, session: Session) -> bool:
        """Whether the cassettes have been told of a session."""
        return session.id in self._looked

    def forget(self, session: Session) -> None:
        """The session is over."""
        self._looked.discard(session.id)
        self._locks.pop(session.id, None)


def _put(row: ToolCallRow, caller: Caller, decks: Mapping[str, Deck]) -> None:
    deck, arguments = decks.get(row.server), orjson.loads(row.arguments)
    if deck is not None and isinstance(arguments, dict):
        answer = row.result if row.cause is None else None
        deck.asked_before(row.server, ToolRequest(row.tool, arguments, caller=caller), row.cause, answer)
