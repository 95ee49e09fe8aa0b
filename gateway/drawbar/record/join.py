"""The two-sided join: what the model asked for and was shown, against what was called and answered.

The model's side stands in the conversation: tool uses in its replies, tool results in the requests that follow. The
server's side are the tool calls. Where a harness sends the model's id along with the call, they are joined by it;
else by the tool's name, which a harness may have prefixed, the arguments, and order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from drawbar.trajectory import Call, Node
from drawbar.wire.message import ToolResult, ToolUse

ID_KEYS: Final = ("drawbar/toolUseId", "claudecode/toolUseId", "callId", "itemId")
"""Where harnesses put the model's id for a tool call in `_meta`."""

_SEPARATORS: Final = "_-./:"


@dataclass(slots=True, eq=False)
class Asked:
    """A tool use of a model, and the result that it was shown."""

    use: ToolUse
    result: ToolResult | None = None


@dataclass(frozen=True, slots=True)
class Called:
    """A tool call that a server got."""

    id: str
    names: tuple[str, ...]
    """As the agent saw it, and as the server names it."""
    arguments: Any
    meta: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelSide:
    """What the conversation says of tools."""

    asked: list[Asked] = field(default_factory=list)
    """In the order of the replies."""
    strays: list[ToolResult] = field(default_factory=list)
    """Results under an id that no tool use before them has."""


def model_side(calls: Iterable[Call], nodes: Mapping[bytes, Node]) -> ModelSide:
    """Read replies for tool uses and the messages that build on them for results. `nodes` in the order of appearance.

    Ids are looked for upwards from each result, for some providers give the same ids in every turn. Results of tool
    uses that no reply of this session made (an earlier conversation, carried in) are left out.
    """
    side = ModelSide()
    by_reply: dict[tuple[bytes, str], Asked] = {}
    for call in calls:
        for use in call.message.tool_uses if call.message is not None else ():
            assert call.reply is not None
            if (call.reply, use.id) not in by_reply:
                side.asked.append(Asked(use))
                by_reply[call.reply, use.id] = side.asked[-1]
    for node in nodes.values():
        for result in node.message.tool_results:
            origin = _origin(node, result.tool_use_id, nodes)
            if origin is None:
                side.strays.append(result)
                continue
            maker, use = origin
            asked = by_reply.get((maker.id, use.id)) or _rewritten(use, side.asked)
            if asked is not None and asked.result is None:
                asked.result = result
    return side


def _origin(node: Node, id: str, nodes: Mapping[bytes, Node]) -> tuple[Node, ToolUse] | None:
    """The nearest message above that holds the tool use of this id."""
    above: Node | None = node
    while above is not None:
        for use in above.message.tool_uses:
            if use.id == id:
                return above, use
        above = nodes.get(above.parent) if above.parent is not None else None
    return None


def _rewritten(use: ToolUse, asked: Iterable[Asked]) -> Asked | None:
    """The tool use of a reply that its harness sent back in other words."""
    same = ((use.id, use.name, use.arguments) == (a.use.id, a.use.name, a.use.arguments) for a in asked)
    return next((a for a, is_same in zip(asked, same, strict=True) if is_same and a.result is None), None)


def join(asked: Sequence[Asked], called: Sequence[Called]) -> dict[str, Asked]:
    """What the model asked for with each call, by the call's id, as far as it can be told. Nothing is joined twice."""
    left = list(asked)
    joined: dict[str, Asked] = {}
    for matches, calls in ((_by_id, [call for call in called if _ids(call)]), (_by_content, called)):
        for call in calls:
            match = next((item for item in left if matches(item.use, call)), None) if call.id not in joined else None
            if match is not None:
                left.remove(match)
                joined[call.id] = match
    return joined


def _ids(call: Called) -> list[Any]:
    return [call.meta[key] for key in ID_KEYS if key in call.meta]


def _by_id(use: ToolUse, call: Called) -> bool:
    return use.id in _ids(call)


def _by_content(use: ToolUse, call: Called) -> bool:
    return use.arguments == call.arguments and any(is_called(use.name, name) for name in call.names)


def is_called(used: str, name: str) -> bool:
    """Whether a tool's name, as a model used it, is this one, a harness' prefix aside."""
    return used == name or (used.endswith(name) and used[-len(name) - 1] in _SEPARATORS)
