"""What a provider of the `responses` dialect keeps, and under which URLs: answers and conversations, by their ids.

Reference: https://platform.openai.com/docs/api-reference/responses and .../conversations.
"""

from __future__ import annotations

import re
from typing import Final

_ID: Final = r"[\w.:~-]+"
_KEPT: Final = tuple(
    (re.compile(f"/v1/{pattern}"), methods)
    for pattern, methods in (
        ("responses/compact", ("POST",)),
        (f"responses/{_ID}", ("GET", "DELETE")),
        (f"responses/{_ID}/input_items", ("GET",)),
        (f"responses/{_ID}/cancel", ("POST",)),
        ("conversations", ("POST",)),
        (f"conversations/{_ID}", ("GET", "POST", "DELETE")),
        (f"conversations/{_ID}/items", ("GET", "POST")),
        (f"conversations/{_ID}/items/{_ID}", ("GET", "DELETE")),
    )
)


def kept_at(path: str) -> tuple[str, ...]:
    """The methods with which what is kept is asked for at a path; none where nothing is."""
    return next((methods for pattern, methods in _KEPT if pattern.fullmatch(path)), ())
