"""Arguments of tool calls, which dialects carry as a text that holds JSON and clients write anew as they like."""

from __future__ import annotations

from typing import Any

from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import load_message


def parsed(arguments: Any) -> Any:
    """Arguments as a value; a text that is not JSON, or nested too deeply, stays as it is, and none at all is an empty
    object."""
    if arguments is None or arguments == "":
        return {}
    if not isinstance(arguments, str):
        return arguments
    try:
        return load_message(arguments.encode("utf-8", "surrogatepass"), mend=True)
    except BadBody:
        return arguments
