"""Conversations without a name that are exactly alike, where several gateways share a store.

At one gateway such conversations stay apart: each reply is gone on from once before it is twice. Of what another
gateway was asked a moment ago this one knows nothing, and asking before each request would cost each a round trip. So
it asks now and then whether a session has any that began as it did, which most have not. If it has, and only then, the
store is asked before each request what has become of those, so that this one goes on from a reply that nobody has gone
on from, wherever that is known.

What is guaranteed: every call is recorded, in a session in which all was said that it goes on from, word for word.
Conversations that are alike to the last word may change places, which nobody can tell. Two of them are taken together
only if two gateways get the requests with which they go on within the moment that it takes until a call can be read in
the store, or within `ALIKE` seconds after the second of them has begun. Whoever cannot live with that lets its agent
send a name (`X-Session-Id`).
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextlib import AbstractAsyncContextManager
from typing import Final

import anyio.to_thread

from drawbar.proxy.registry import Sessions
from drawbar.record.alike import began_alike, waiting
from drawbar.record.placing import Placed
from drawbar.record.stitching import CallTree
from drawbar.record.store import Store
from drawbar.sessions import Session
from drawbar.wire.dialect import Dialect

ALIKE: Final = 2.0
"""Seconds for which a session is taken for the only one that began as it did."""
_MOST: Final = 10_000
"""Sessions, and first words, that are remembered."""
_REFRESHED: Final = 16
"""Sessions that are alike, and of which the store is asked before one request."""


class Elsewhere:
    """Brings what is known here of alike sessions up to date."""

    def __init__(self, sessions: Sessions, store: Store) -> None:
        self._sessions = sessions
        self._store = store
        self._asking: OrderedDict[bytes, asyncio.Lock] = OrderedDict()
        self._looked: OrderedDict[str, tuple[float, bool]] = OrderedDict()

    async def has_alike(self, session: Session, *, now: bool) -> bool:
        """Whether others began as a session did; `now`: not some seconds ago. Raises `StoreError`."""
        name = session.row.key_digest
        if name is None:
            return False
        at, found = self._looked.get(session.id, (-ALIKE, False))
        if now or time.monotonic() - at >= ALIKE:
            found = await anyio.to_thread.run_sync(began_alike, self._store, name, session.id)
            self._looked.pop(session.id, None)
            self._looked[session.id] = time.monotonic(), found
            while len(self._looked) > _MOST:
                self._looked.popitem(last=False)
        return found

    def in_turn(self, session: Session) -> AbstractAsyncContextManager[None]:
        """One request at a time goes on from sessions that began as this one did."""
        lock = self._asking.setdefault(session.row.key_digest or b"", asyncio.Lock())
        while len(self._asking) > _MOST:
            self._asking.popitem(last=False)
        return lock

    async def refresh(self, tree: CallTree[Session], dialect: Dialect, there: Placed) -> None:
        """Learn what other gateways have done with the sessions from which this request may go on. Raises
        `StoreError`."""
        turn = tree.find(dialect, there.path, there.messages, None).follows
        given = tree.given(turn.reply) if turn is not None and turn.reply is not None else ()
        for one in [one for one in given if not one.followed][-_REFRESHED:]:
            await self._sessions.refresh(one.session)
            if one.session.stop is not None:
                tree.forget((one.session,))

    async def other(self, name: bytes, tree: CallTree[Session], dialect: Dialect, there: Placed) -> Session | None:
        """A session from which the request may go on as another gateway knows, if nothing here is left to go on from;
        its memory may still be its own. Raises `StoreError`."""
        reply = taken(tree, dialect, there)
        if reply is None:
            return None
        known = {turn.session.id for turn in tree.given(reply)}
        row = await anyio.to_thread.run_sync(waiting, self._store, name, reply, known)
        if row is None:
            return None
        session = await self._sessions.known(row)
        await self._sessions.refresh(session)
        return session


def taken(tree: CallTree[Session], dialect: Dialect, there: Placed) -> bytes | None:
    """The reply from which this request goes on and another one has already; None: nobody has."""
    turn = tree.find(dialect, there.path, there.messages, None).follows
    return turn.reply if turn is not None and tree.is_taken(turn, there.leaf) else None
