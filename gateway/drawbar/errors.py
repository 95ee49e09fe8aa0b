"""The exceptions of our own: only those that a caller would act on differently from a builtin one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConfigurationError(ValueError):
    """What the user wrote is wrong (a file, a flag, an environment); the message says what, where and what to do."""


class UnknownName(LookupError):
    """A name that nothing answers to. The message names the nearest ones that exist.

    `str()` of a plain `LookupError` subclass such as `KeyError` quotes its argument; this one prints as written.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str] | None, hint: str = "") -> None:
        """`known` None: there may be some, but they are not told."""
        self.kind = kind
        self.name = name
        others = "" if known is None else nearest(name, known)
        super().__init__(f"No {kind} named {name!r}.{others}{' ' + hint if hint else ''}")


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence (with a space before it) that names what was probably meant, or else all that there is."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f" Did you mean {' or '.join(map(repr, near))}?"
    return f" Known: {', '.join(known)}." if known else " There are none."


def why_unreachable(error: Exception) -> str:
    """What kept us from an address, in one line; HTTP clients wrap what the system said, and name the URL, in which a
    key may stand."""
    if isinstance(getattr(error, "os_error", error), ConnectionRefusedError):
        return "nothing listens there. Is it running?"
    said = str(getattr(error, "message", "") if hasattr(error, "request_info") else error)
    return " ".join(said.split())[:300] or type(error).__name__


class StoreError(RuntimeError):
    """The store could not be opened, read or written; nothing was half-written."""


class StoreVersionError(StoreError):
    """The store was written by a newer drawbar than this one."""


class JudgeError(RuntimeError):
    """A judge gave no verdict: no score, never a zero."""


class UserError(RuntimeError):
    """A simulated user said nothing that could be used: the rollout is invalid, not bad."""


class HarnessError(RuntimeError):
    """The harness itself failed (did not start, crashed, broke its contract), not the agent's work."""


class ToolServerError(RuntimeError):
    """A tool server could not be started or reached, or died; the message says which, how, and the last it said."""
