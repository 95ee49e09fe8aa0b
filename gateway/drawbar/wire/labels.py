"""What clients say of their work beside it: user, tags, release, environment, and names of their own.

    header   X-Drawbar-Metadata: {"ticket": 7}       a JSON object, or `ticket=7, team=blue`
             X-Drawbar-User, X-Drawbar-Release, X-Drawbar-Environment, X-Drawbar-Tags: vip, beta
    URL      ?drawbar_user=ada&drawbar_tags=vip,beta&drawbar_metadata=...
    body     `metadata` (and `user`) of OpenAI's dialects, `metadata.user_id` of Anthropic's, `labels` of Google's

A header comes before the URL, that before the body. Values are texts, numbers and booleans; what is too long or too
much is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import dump, load, whole

Labels = dict[str, Any]

PARAMETER: Final = "drawbar_"
HEADER: Final = b"x-drawbar-"
MOST_NAMES: Final = 64
MOST_TAGS: Final = 32
LONGEST_NAME: Final = 64
LONGEST_VALUE: Final = 1_000
"""Characters."""
LARGEST: Final = 16 * 1024
"""Bytes of all of a session's labels, as JSON."""
_NAMED: Final = ("user", "release", "environment")
_BODIES: Final = {"chat": "metadata", "responses": "metadata", "gemini": "labels"}


def read_labels(dialect: str, headers: Mapping[bytes, bytes], query: str, envelope: bytes) -> Labels:
    """What one request says of itself; `envelope`: its fields beside its messages."""
    found = _of_body(dialect, envelope)
    if PARAMETER in query:
        given = dict(parse_qsl(query))
        found |= _of({name: given.get(PARAMETER + name) for name in (*_NAMED, "tags", "metadata")})
    if any(name.startswith(HEADER) for name in headers):
        raw = {name: headers.get(HEADER + name.encode()) for name in (*_NAMED, "tags", "metadata")}
        found |= _of({name: value.decode("utf-8", "replace") for name, value in raw.items() if value})
    return found


def merged(known: Mapping[str, Any], new: Labels) -> Labels:
    """Labels with further ones; tags are gathered, of other names the last value holds. Within bounds."""
    together = {**known, **new}
    if "tags" in new and isinstance(known.get("tags"), list):
        together["tags"] = list(dict.fromkeys([*known["tags"], *new["tags"]]))[:MOST_TAGS]
    if len(together) > MOST_NAMES or len(dump(together)) > LARGEST:
        return dict(known)
    return together


def without_labels(query: str) -> str:
    """The query without what is meant for us; as it came, if there is nothing."""
    if PARAMETER not in query:
        return query
    return "&".join(part for part in query.split("&") if not part.startswith(PARAMETER))


def _of(given: Mapping[str, str | None]) -> Labels:
    found = _plain(_object(given.get("metadata") or ""))
    found |= _plain({name: given[name] for name in _NAMED if given.get(name)})
    tags = [tag.strip()[:LONGEST_NAME] for tag in (given.get("tags") or "").split(",")]
    if any(tags):
        found["tags"] = list(dict.fromkeys(tag for tag in tags if tag))[:MOST_TAGS]
    return found


def _object(text: str) -> Any:
    """A JSON object, or `name=value` pairs with commas."""
    if text.lstrip().startswith("{"):
        try:
            return whole(load(text.encode()))
        except (BadBody, RecursionError):
            return {}
    pairs = (part.partition("=") for part in text.split(","))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def _of_body(dialect: str, envelope: bytes) -> Labels:
    if b'"metadata"' not in envelope and b'"labels"' not in envelope and b'"user"' not in envelope:
        return {}
    try:
        body = whole(load(envelope))
    except (BadBody, RecursionError):  # nested too deeply for a label
        return {}
    if not isinstance(body, dict):
        return {}
    if dialect == "messages":
        said = body.get("metadata")
        user = said.get("user_id") if isinstance(said, dict) else None
        return _plain({"user": user}) if isinstance(user, str) and not user.startswith("{") else {}
    found = _plain(body.get(_BODIES.get(dialect, ""), {}))
    if "tags" in found:
        found["tags"] = [tag.strip() for tag in str(found["tags"]).split(",") if tag.strip()][:MOST_TAGS]
    user = _plain({"user": body.get("user")}) if dialect in ("chat", "responses") else {}
    return {**user, **found}


def _plain(value: Any) -> Labels:
    if not isinstance(value, dict):
        return {}
    return {name: each for name, each in list(value.items())[:MOST_NAMES] if _fits(name, each)}


def _fits(name: str, value: Any) -> bool:
    plain = isinstance(value, str | int | float | bool)
    return 0 < len(name) <= LONGEST_NAME and plain and len(str(value)) <= LONGEST_VALUE
