"""What is left of a text when its form is taken away: white space, quotes, escapes, entities and colours.

The same content inside of JSON, a Python literal or markup has the same skeleton, however often it was escaped.
"""

from __future__ import annotations

import re
from typing import Final

_ESCAPED: Final = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|U([0-9a-fA-F]{8})|[nrtbf])?")
_ENTITY: Final = re.compile(r"&(?:amp;)*(amp|lt|gt|quot|apos|#39|#x27|#34);")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ENTITIES: Final = {"amp": "&", "lt": "<", "gt": ">"}


def skeleton(text: str) -> str:
    """A text without its form."""
    if "\\" in text:
        text = _ESCAPED.sub(_character, text)
    if "\x1b" in text:
        text = _COLOUR.sub("", text)
    if "&" in text:
        text = _ENTITY.sub(lambda found: _ENTITIES.get(found[1], ""), text)
    return "".join(text.split()).replace('"', "").replace("'", "").replace("\x00", "")


def lines(text: str) -> list[str]:
    """The skeletons of a text's lines, those left out that hold nothing."""
    return [line for raw in text.splitlines() if (line := skeleton(raw))]


def _character(found: re.Match[str]) -> str:
    digits = found[1] or found[2] or found[3]
    if digits is None:
        return ""
    code = int(digits, 16)
    return chr(code) if code <= 0x10FFFF else ""
