"""Who is served: clients that show a session's key, one of the configuration's, or one that the store holds."""

from __future__ import annotations

from dataclasses import dataclass

from drawbar.proxy.client import Client
from drawbar.proxy.guard import may_use
from drawbar.proxy.headers import client_keys, session_key, status_of_end
from drawbar.proxy.keys import KEY_PREFIX, Holder, KeyRing
from drawbar.proxy.refused import Refused
from drawbar.proxy.registry import Sessions
from drawbar.proxy.settings import Settings
from drawbar.sessions import Session


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who asks."""

    session: Session | None = None
    """The session that the request names, if it names one."""
    holder: Holder | None = None
    """Whose key it shows, if that is one of the store's."""
    passed: str | None = None
    """The client's own key, where it goes on to the provider."""


async def admitted(
    client: Client, prefix: str | None, sessions: Sessions, ring: KeyRing, settings: Settings
) -> Admitted:
    """Who makes this request.

    Raises:
        Refused: nobody who is served, or the session has stopped.
        UnknownName: there is no such session.
        SessionEnded: it is over.
        StoreError: the store cannot be asked.
    """
    keys = client_keys(client)
    passed = _passed(keys, settings)
    key = session_key(keys, prefix, client.headers)
    if key is None:
        return Admitted(None, await holder_of(keys, ring, settings), passed)
    session = await sessions.find(key)
    if session.stop is not None:
        said = f"This session has stopped ({session.stop})."
        raise Refused(status_of_end(client.headers), said, session.stop, retry=False)
    return Admitted(session, None, passed)


async def holder_of(keys: list[str], ring: KeyRing, settings: Settings) -> Holder | None:
    """Whose key this is, of those that the store holds; None for those of the configuration, and where none is needed.

    Raises:
        Refused: no key that is known is among these, and one is needed.
    """
    holder = await ring.find(keys)
    if holder is not None:
        return holder
    shown = any(key.startswith(KEY_PREFIX) for key in keys)
    if may_use(keys, settings) and (settings.keys or not (shown or await ring.required())):
        return None
    said = "The key that was shown is not known here, or was revoked." if shown else _SAID
    raise Refused(401, said, "key_unknown" if shown else "key_required", retry=False)


_SAID = "This gateway serves only clients that show a session's key or its own."


def _passed(keys: list[str], settings: Settings) -> str | None:
    if not settings.pass_key:
        return None
    ours = ("dbk_", KEY_PREFIX)
    return next((key for key in keys if not key.startswith(ours) and key not in settings.keys), None)
