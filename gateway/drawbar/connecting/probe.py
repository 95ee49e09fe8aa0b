"""Asking a gateway who it is, without waiting long and without failing: for one line of advice."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from drawbar.errors import nearest

SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Found:
    """What answers at a URL."""

    version: str | None
    """Of the gateway; None: none answers."""
    environments: Sequence[str] | None = None
    """What it serves; None: it does not say."""
    wants_key: bool = False
    """It refuses a client that shows what this one has."""


def probe(url: str, *, key: str | None, admin_key: str | None) -> Found:
    """Never raises."""
    status, health = _ask(url + "/healthz", None)
    if status != 200 or not isinstance(health, dict) or "version" not in health:
        return Found(None)
    _, listed = _ask(url + "/api/environments", admin_key)
    names = None
    if isinstance(listed, dict) and isinstance(listed.get("environments"), list):
        names = [str(each.get("name")) for each in listed["environments"] if isinstance(each, dict)]
    refused, _ = _ask(url + "/v1/models", key)
    return Found(str(health["version"]), names, refused == 401)


def advice(found: Found, url: str, environment: str | None, *, key: str | None, has_key: bool) -> list[str]:
    """What the user may want to know of it, a line each. `key`: the variable that holds the clients' key."""
    if found.version is None:
        served = environment or "[ENVIRONMENT]"
        return [f"No gateway answers at {url} yet. Start one with: drawbar serve {served}"]
    lines = [f"The gateway answers there (drawbar {found.version})."]
    if environment is None and found.environments:
        first, *more = found.environments
        others = f" (or {', '.join(more)})" if more else ""
        lines.append(f"It serves tools too: --environment {first}{others} gives them to the agent.")
    elif environment is not None and found.environments is not None and environment not in found.environments:
        lines.append(f"It serves no environment {environment!r}.{nearest(environment, found.environments)}")
    if found.wants_key:
        if key is None:
            lines.append("It wants a key of its clients: export DRAWBAR_KEY=..., then say --key DRAWBAR_KEY.")
        elif has_key:
            lines.append(f"It does not take the key that {key} holds: DRAWBAR_KEYS of the gateway has others.")
    return lines


def _ask(url: str, key: str | None) -> tuple[int | None, Any]:
    """The status and the JSON of an answer; None where none comes."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=SECONDS) as answer:
            return answer.status, json.loads(answer.read(1_000_000))
    except urllib.error.HTTPError as error:
        return error.code, None
    except (OSError, ValueError, http.client.HTTPException):
        return None, None
