"""The model of a help desk, as a plain function: looks an order up, and says what it found. Copied beside captured
environments, so that it can work there again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from drawbar.testing import calls, says
from drawbar.testing.script import ScriptedModel

ORDER = re.compile(r"order (\d+)")


async def desk(messages: Sequence[Mapping[str, Any]], tools: Sequence[Any], task: Any) -> dict[str, Any]:
    """Asks for the order that the user named last; then says what the tool said."""
    last = messages[-1]
    if last["role"] == "tool":
        return says(f"It is {last['content']}.")
    found = ORDER.search(str(last["content"]))
    if found is None:
        return says("You are welcome.")
    return calls("look_up", id=f"use_{len(messages)}", order=int(found[1]))


async def hasty(messages: Sequence[Mapping[str, Any]], tools: Sequence[Any], task: Any) -> dict[str, Any]:
    """Asks for another order than the user named."""
    return says("Done.") if messages[-1]["role"] == "tool" else calls("look_up", id="use_1", order=4711)


async def boss(messages: Sequence[Mapping[str, Any]], tools: Sequence[Any], task: Any) -> dict[str, Any]:
    """Lets a helper do the work."""
    if messages[-1]["role"] == "tool":
        return says(f"My helper says: {messages[-1]['content']}")
    return calls("delegate", id="use_helper", job="Look for the parcel of order 7, and say where it is.")


SUMMARY = "The user asked for order 7, which is on its way. Nothing else is open between them."
summary = ScriptedModel([lambda messages: says(SUMMARY)] * 9)
kind = ScriptedModel([says("The new answer is as good.\nyes")])
