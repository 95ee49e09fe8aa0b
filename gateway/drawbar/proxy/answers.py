"""Answers of the gateway's own, in the shape that whoever asks can read."""

from __future__ import annotations

from drawbar.proxy.client import JSON, Client
from drawbar.proxy.headers import NO_RETRY
from drawbar.wire.dialect import Dialect
from drawbar.wire.route import asker, split_prefix


async def only(client: Client, *methods: str) -> bool:
    """Whether a request has one of these methods; if not, it was answered so."""
    if client.scope["method"] in methods:
        return True
    said = f"{client.scope['method']} is not served here; {methods[0]} is."
    allow = (b"allow", ", ".join(methods).encode())
    await client.answer(405, [JSON, allow], asker_of(client).error(405, said, "method_not_allowed"))
    return False


def asker_of(client: Client) -> Dialect:
    """The dialect in which the client understands an answer."""
    return asker(split_prefix(client.scope["path"])[1], client.headers)


async def say(client: Client, status: int, message: str, code: str) -> None:
    """An error in the shape that the client's SDK reads."""
    await client.answer(status, [JSON, NO_RETRY], asker_of(client).error(status, message, code))
