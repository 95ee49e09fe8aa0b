"""The tree of calls for sessions whose rows do not say it: those of stores from before it was written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from drawbar.record.stitching import CallTree, Turn
from drawbar.trajectory import Call, Node
from drawbar.wire.dialect import Dialect


def restitched(calls: Sequence[Call], nodes: Mapping[bytes, Node], dialects: Mapping[str, Dialect]) -> Sequence[Call]:
    """The calls, each with the one that it follows; as they are, if any of them says so itself.

    Whether a reply came back without its reasoning cannot be told any more: such an edge counts as exact.
    """
    if len(calls) < 2 or any(call.follows is not None for call in calls):
        return calls
    tree: CallTree[None] = CallTree()
    found: list[Call] = []
    for call in calls:
        path = _path(call.request, nodes)
        dialect = dialects.get(call.dialect)
        if not path or dialect is None:
            found.append(call)
            continue
        place = tree.find(dialect, [node.id for node in path], [node.body for node in path], call.thread)
        turn = Turn(call.id, None, path[-1].id, call.thread, open=False)
        tree.add(turn, place)
        if call.reply is not None:
            tree.replied(turn, call.reply)
        if call.status == "answered":
            turn.answered = True
        else:
            tree.broke_off(turn, path[-1].parent, dialect, path[-1].body)
        follows = place.follows.call if place.follows is not None else None
        found.append(replace(call, follows=follows, edge=place.edge))
    return found


def _path(leaf: bytes | None, nodes: Mapping[bytes, Node]) -> list[Node]:
    path: list[Node] = []
    while leaf is not None and (node := nodes.get(leaf)) is not None:
        path.append(node)
        leaf = node.parent
    return path[::-1]
