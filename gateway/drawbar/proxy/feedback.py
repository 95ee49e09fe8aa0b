"""Feedback over HTTP: who may give it on what.

Whoever has the admin key may give it on every session; whoever has a session's key, on that session; whoever has a key
of the gateway's, on the live sessions of the same key. What is somebody else's is not found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio.to_thread

from drawbar.errors import UnknownName
from drawbar.proxy.admission import holder_of
from drawbar.proxy.client import Client
from drawbar.proxy.guard import is_admin
from drawbar.proxy.headers import client_keys, scope_of, session_key
from drawbar.proxy.refused import Refused
from drawbar.proxy.registry import key_digest
from drawbar.record.feedback import feedback_from_json, found
from drawbar.record.rows import ScoreRow, SessionRow

if TYPE_CHECKING:
    from drawbar.gateway import Gateway


class KeyRequired(PermissionError):
    """The request shows no key that may give feedback."""


async def give_feedback(gateway: Gateway, client: Client, name: str, body: dict[str, Any]) -> list[ScoreRow]:
    """Record what a client says of a session, by any of its names.

    Raises:
        ConfigurationError: it says nothing that can be meant.
        KeyRequired: the request shows no key.
        UnknownName: there is no such session, or none that this client may speak of.
        StoreError: it could not be recorded.
    """
    given = feedback_from_json(body)
    await gateway.recorder.commit()  # what was answered a moment ago is to be found
    row, call = await _session(gateway, client, name)
    rows = given.rows(row.id, call)
    await gateway.record(*rows)
    await gateway.scoring.heard(row)
    return rows


async def _session(gateway: Gateway, client: Client, name: str) -> tuple[SessionRow, str | None]:
    keys = client_keys(client)
    if is_admin(keys, gateway.settings):
        return await anyio.to_thread.run_sync(found, gateway.store, name)
    own = session_key(keys, None, client.headers)
    if own is not None:
        row = await anyio.to_thread.run_sync(gateway.store.session_by_key, key_digest(own))
        if row is not None and row.origin == "opened":
            return row, await _call_of(gateway, row, name)
    elif await _is_client(gateway, keys):
        return await anyio.to_thread.run_sync(found, gateway.store, name, scope_of(client))
    raise KeyRequired("Feedback needs the admin key, the session's key, or the key that its requests showed.")


async def _is_client(gateway: Gateway, keys: list[str]) -> bool:
    try:
        await holder_of(keys, gateway.keys, gateway.settings)
    except Refused:
        return False
    return True


async def _call_of(gateway: Gateway, row: SessionRow, name: str) -> str | None:
    """The call that a session's own client means. Raises `UnknownName`."""
    if name == row.id:
        return None
    for answer in await anyio.to_thread.run_sync(gateway.store.answers, name):
        if answer.session == row.id:
            return answer.call
    raise UnknownName("session or answer", name, None)
