"""Live sessions that began alike, in the store."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import exists, select

from drawbar.record import load, schema
from drawbar.record.rows import SessionRow
from drawbar.record.store import Store


def waiting(store: Store, name: bytes, reply: bytes, known: Collection[str]) -> SessionRow | None:
    """Of the open sessions whose key has this digest the oldest that has given this reply (a node), and from whose
    reply nobody has gone on; none of those that are known. Raises `StoreError`."""
    session, call = schema.session, schema.call
    later = call.alias()
    followed = exists().where(later.c.session == call.c.session, later.c.follows == call.c.id)
    given = exists().where(call.c.session == session.c.id, call.c.reply == reply, ~followed)
    query = select(session).where(session.c.key_digest == name, session.c.status == "open", given)
    query = query.where(session.c.id.not_in(known)).order_by(session.c.started, session.c.id)
    with store.reading() as connection:
        return next(load.structs(connection, SessionRow, query.limit(1)), None)


def began_alike(store: Store, name: bytes, but: str) -> bool:
    """Whether another open session than this one has a key with this digest. Raises `StoreError`."""
    session = schema.session
    query = select(session.c.id).where(session.c.key_digest == name, session.c.status == "open", session.c.id != but)
    with store.reading() as connection:
        return connection.execute(query.limit(1)).first() is not None
