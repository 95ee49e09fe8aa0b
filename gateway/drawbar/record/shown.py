"""What a model was shown as a tool's result, compared with what the server said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

_PROBE: Final = 24
"""Characters by which a result's beginning and end are looked for in what was shown."""


def compare(said: str, structured: Any, shown: str) -> str:
    """`same`, `wrapped` (all of it stands inside of something else), `truncated` or `altered`.

    `said` is the text of the server's result, `structured` its structured content (None: it had none). White space at
    the edges does not count.
    """
    said, shown = said.strip(), shown.strip()
    if said == shown or (structured is not None and _loaded(shown) == structured):
        return "same"
    if any(form in shown for form in _forms(said, structured)):
        return "wrapped"
    return "truncated" if _is_cut(said, shown) else "altered"


def _forms(said: str, structured: Any) -> Iterator[str]:
    """How a result may stand inside of something else: as it is, in a JSON string, in a Python literal, as its JSON."""
    yield said
    yield orjson.dumps(said).decode()[1:-1]
    yield repr(said)[1:-1]
    if structured is not None:
        yield orjson.dumps(structured).decode()


def _is_cut(said: str, shown: str) -> bool:
    """Whether the shown text is, for its greater part, the beginning of what was said, its end, or both."""
    start = shown.find(said[:_PROBE])
    head = _common(said, shown[start:]) if start >= 0 else 0
    rest = said[head:]
    stop = shown.rfind(rest[-_PROBE:]) if len(rest) > _PROBE else -1
    tail = _common(rest[::-1], shown[: stop + _PROBE][::-1]) if stop >= 0 else 0
    return 0 < head + tail < len(said) and 2 * (head + tail) >= len(shown)


def _common(a: str, b: str) -> int:
    """How many characters both begin with."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _loaded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return None
