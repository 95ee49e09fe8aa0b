"""Where changes come from: a store that can be read here, or a gateway elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from threading import Event
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import msgspec

from drawbar.errors import ConfigurationError, StoreError
from drawbar.watching.changes import Begun, Change, Pulse, Trouble, from_line
from drawbar.watching.watcher import Watcher

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from drawbar.record.store import Store
    from drawbar.trajectory import Trajectory

_PAUSE: Final = 2.0
"""Seconds before a gateway that could not be reached is tried again."""
_PATIENCE: Final = 30.0
"""Seconds without a line, beyond the interval, after which a gateway counts as gone."""


class Source(Protocol):
    """Something to watch."""

    def changes(self, where: str, interval: float, stop: Event) -> Iterator[Sequence[Change]]:
        """What a filter means, as it changes, look by look until `stop`.

        Raises:
            ConfigurationError: the filter says nothing, or the source refuses us.
        """
        ...

    def trajectory(self, session: str) -> Trajectory:
        """One whole session. Raises `UnknownName`, `StoreError`."""
        ...


class StoreSource:
    """A store, read in this process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def changes(self, where: str, interval: float, stop: Event) -> Iterator[Sequence[Change]]:
        watcher = Watcher(self._store, where)
        yield [Begun(store=self._store.url, where=where)]
        while not stop.is_set():
            began = time.monotonic()
            try:
                yield watcher.look()
            except StoreError as error:
                yield [Trouble(message=str(error))]
            stop.wait(max(0.05, interval - (time.monotonic() - began)))

    def trajectory(self, session: str) -> Trajectory:
        return self._store.trajectory(session)


class GatewaySource:
    """A gateway's control API. `key` is its admin key.

    Raises:
        ConfigurationError: the URL is none.
    """

    def __init__(self, url: str, key: str | None) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError(f"A gateway's URL begins with http:// or https://, not {url!r}.")
        self._url = url.rstrip("/")
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}

    def changes(self, where: str, interval: float, stop: Event) -> Iterator[Sequence[Change]]:
        path = "/api/watch?" + urlencode({"where": where, "interval": f"{interval:g}"})
        while not stop.is_set():
            try:
                with self._get(path, interval + _PATIENCE) as response:
                    yield from _looks(response, stop)
                why = "it has ended the answer"
            except (OSError, HTTPException, msgspec.DecodeError) as error:
                why = _why(error)
            if not stop.is_set():
                yield [Trouble(message=f"The gateway at {self._url} cannot be watched now: {why}.")]
                stop.wait(_PAUSE)

    def trajectory(self, session: str) -> Trajectory:
        from drawbar.proxy.trajectory_json import trajectory_from_json

        try:
            with self._get(f"/api/sessions/{quote(session, safe='')}/trajectory", _PATIENCE) as response:
                return trajectory_from_json(response.read())
        except (OSError, HTTPException) as error:
            raise StoreError(f"The gateway at {self._url} cannot be reached: {_why(error)}.") from error

    def _get(self, path: str, patience: float) -> HTTPResponse:
        """Raises `ConfigurationError` where the gateway refuses, `OSError` where it is not there."""
        try:
            response: HTTPResponse = urlopen(Request(self._url + path, headers=self._headers), timeout=patience)
            return response
        except HTTPError as error:
            said = _message(error.read())
            if error.code in (429, 502, 503):
                raise OSError(said) from error
            raise ConfigurationError(f"The gateway at {self._url}: {said}") from error


def _looks(lines: Any, stop: Event) -> Iterator[Sequence[Change]]:
    """Lines, taken together as they were told."""
    look: list[Change] = []
    for line in lines:
        if stop.is_set():
            return
        look.append(change := from_line(line))
        if isinstance(change, Begun | Pulse | Trouble):
            yield look
            look = []


def _why(error: Exception) -> str:
    inner = getattr(error, "reason", error)
    return str(getattr(inner, "strerror", None) or inner)


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
