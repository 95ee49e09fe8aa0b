"""The model's side of its tool calls, read from the conversation: what its replies asked for, and what it was shown.

A result is looked for upwards from itself, since some providers give the same ids in every turn. A harness may send a
reply back in other words than it got; then the message in its place stands for it. Which dialect or harness it was is
not known here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from drawbar.record.arguments import exact
from drawbar.trajectory import Call, Node
from drawbar.wire.message import Block, Media, ToolResult, ToolUse


@dataclass(frozen=True, slots=True)
class Shown:
    """What the model was shown as a tool's result."""

    text: str
    media: int = 0
    """Pictures, sounds and files that came with it."""
    is_error: bool = False


@dataclass(slots=True, eq=False)
class Asked:
    """One tool use of one reply, and the result that the model was shown for it."""

    use: ToolUse
    call: Call
    arguments: bytes
    """What is the same for the same arguments."""
    depth: int
    """Of the reply in its conversation."""
    result: Shown | None = None

    @property
    def since(self) -> float:
        """When the model began to ask for it: some agents call tools while a reply still comes."""
        return self.call.started if self.call.first_byte is None else self.call.first_byte


@dataclass(frozen=True, slots=True)
class ModelSide:
    """What the conversation says of tools."""

    asked: list[Asked] = field(default_factory=list)
    """In the order of the replies."""
    strays: list[tuple[Node, ToolResult]] = field(default_factory=list)
    """Results under an id that no tool use before them has."""


@dataclass(slots=True, eq=False)
class _Slot:
    """A tool use at its place in the conversation."""

    use: ToolUse
    asked: list[Asked]
    """Several where several calls gave the same reply; none where no reply of this session made it (an earlier
    conversation, carried in)."""
    shown: list[tuple[int, Shown]] = field(default_factory=list)
    """Each with the place of its message in the session."""


_Slots = dict[bytes, list[_Slot]]
"""The tool uses of each message, in order."""


def model_side(calls: Sequence[Call], nodes: Mapping[bytes, Node]) -> ModelSide:
    """Read replies for tool uses and the messages that build on them for results. `nodes` in the order of appearance.

    Results of tool uses that no reply of this session made are left out.
    """
    side = ModelSide()
    slots = _of_replies(calls, nodes, side.asked)
    _add_restated(slots, calls, nodes, side.asked)
    _Walk(nodes, slots, side.strays).run()
    first: dict[Asked, tuple[int, Shown]] = {}
    for slot in (slot for in_message in slots.values() for slot in in_message):
        for asked, shown in _dealt(slot):
            if asked not in first or shown[0] < first[asked][0]:
                first[asked] = shown
    for asked, (_, seen) in first.items():
        asked.result = seen
    return side


def _of_replies(calls: Sequence[Call], nodes: Mapping[bytes, Node], asked: list[Asked]) -> _Slots:
    slots: _Slots = {}
    for call in calls:
        if call.message is None or call.reply is None:
            continue
        node = nodes.get(call.reply)
        made = [Asked(use, call, exact(use.arguments), node.depth if node else 0) for use in call.message.tool_uses]
        if not made:
            continue
        asked += made
        there = slots.setdefault(call.reply, [])
        there += (_Slot(each.use, []) for each in made[len(there) :])
        for slot, each in zip(there, made, strict=False):
            slot.asked.append(each)
    return slots


def _dealt(slot: _Slot) -> Iterator[tuple[Asked, tuple[int, Shown]]]:
    """Who was shown what: one after the other where several share a place, and the last for all that are left."""
    shown = slot.shown
    if len(shown) > 1:
        shown = sorted(shown, key=lambda each: each[0])
    for number, asked in enumerate(slot.asked if shown else ()):
        yield asked, shown[min(number, len(shown) - 1)]


# Replies in other words


def _add_restated(slots: _Slots, calls: Sequence[Call], nodes: Mapping[bytes, Node], asked: Sequence[Asked]) -> None:
    """Slots of the messages that no call gave and that ask for tools: their uses are those of a reply, told anew."""
    others = (node for id, node in nodes.items() if id not in slots and node.message.role == "assistant")
    told = [(node, uses) for node in others if (uses := node.message.tool_uses)]
    if not told:
        return
    at: dict[bytes | None, list[Asked]] = defaultdict(list)
    for each in asked:
        at[each.call.request].append(each)
    index = _ByDepth(asked)
    for node, uses in told:
        there = slots[node.id] = [_Slot(use, []) for use in uses]
        _pair(there, at.get(node.parent, ()))
        for slot in there:
            if not slot.asked:
                slot.asked += index.find(slot.use, node.depth)


def _pair(slots: Sequence[_Slot], asked: Sequence[Asked]) -> None:
    """Uses in the reply's own place: by id, else by name and arguments, else by number where there are as many.

    Two replies may stand in one place: an agent that asked again may send both back as one.
    """
    left = list(asked)
    keys: tuple[tuple[Callable[[_Slot], Hashable], Callable[[Asked], Hashable]], ...] = (
        (lambda slot: slot.use.id, lambda each: each.use.id),
        (lambda slot: (slot.use.name, exact(slot.use.arguments)), lambda each: (each.use.name, each.arguments)),
    )
    for of_slot, of_asked in keys:
        by_key: dict[Hashable, deque[Asked]] = defaultdict(deque)
        for each in left:
            by_key[of_asked(each)].append(each)
        for slot in slots:
            if not slot.asked and (found := by_key.get(of_slot(slot))):
                slot.asked.append(found.popleft())
        paired = {each for slot in slots for each in slot.asked}
        left = [each for each in left if each not in paired]
    rest = [slot for slot in slots if not slot.asked]
    if len(rest) == len(left):
        for slot, each in zip(rest, left, strict=True):
            slot.asked.append(each)


class _ByDepth:
    """Finds tool uses whose history was told anew above them too: alike, and nearest in depth."""

    def __init__(self, asked: Iterable[Asked]) -> None:
        self._found: dict[Hashable, list[tuple[int, int, Asked]]] = defaultdict(list)
        for number, each in enumerate(asked):
            for key in self._keys(each.use, each.arguments):
                self._found[key].append((each.depth, number, each))
        for same in self._found.values():
            same.sort(key=lambda each: each[:2])

    @staticmethod
    def _keys(use: ToolUse, arguments: bytes) -> tuple[Hashable, ...]:
        return (use.id, use.name, arguments), (use.id, use.name), (None, use.name, arguments)

    def find(self, use: ToolUse, depth: int) -> list[Asked]:
        for key in self._keys(use, exact(use.arguments)):
            if same := self._found.get(key):
                above = bisect_left(same, (depth, -1), key=lambda each: each[:2])
                near = same[max(0, above - 1) : above + 1]
                return [min(near, key=lambda each: abs(each[0] - depth))[2]]
        return []


# Results


class _Walk:
    """Goes through the conversations from their roots, knowing at each message which tool uses stand above it."""

    def __init__(self, nodes: Mapping[bytes, Node], slots: _Slots, strays: list[tuple[Node, ToolResult]]) -> None:
        self._nodes = nodes
        self._slots = slots
        self._strays = strays
        self._above: dict[str, list[tuple[list[_Slot], int]]] = defaultdict(list)
        """By id and by name: the uses in the nearest message above that has any, and how many were answered, last."""
        self._places = {id: place for place, id in enumerate(nodes)}

    def run(self) -> None:
        children: dict[bytes | None, list[Node]] = defaultdict(list)
        for node in reversed(list(self._nodes.values())):
            children[node.parent if node.parent in self._nodes else None].append(node)
        open: list[tuple[Node | None, list[str]]] = [(node, []) for node in children[None]]
        while open:
            at, undo = open.pop()
            if at is None:
                for key in undo:
                    self._above[key].pop()
                continue
            open.append((None, self._enter(at)))
            open += ((child, []) for child in children.get(at.id, ()))

    def _enter(self, node: Node) -> list[str]:
        """Read a message's blocks in order; what was put on the piles."""
        put: list[str] = []
        new: set[str] = set()
        blocks = node.message.blocks
        slots = iter(self._slots.get(node.id, ()))
        for number, block in enumerate(blocks):
            if isinstance(block, ToolUse):
                for slot in islice(slots, 1):
                    for key in {slot.use.id, slot.use.name, *(each.use.id for each in slot.asked)}:
                        self._put(key, slot, new, put)
            elif isinstance(block, ToolResult):
                self._result(node, block, _media(blocks, number + 1), put)
        return put

    def _put(self, key: str, slot: _Slot, new: set[str], put: list[str]) -> None:
        pile = self._above[key]
        if key in new:
            pile[-1][0].append(slot)
            return
        pile.append(([slot], 0))
        new.add(key)
        put.append(key)

    def _result(self, node: Node, result: ToolResult, media: int, put: list[str]) -> None:
        """Give a result to the use of its id; without such an id, to the next of its tool's name."""
        key = result.tool_use_id
        pile = self._above.get(key)
        if not pile:
            key = key.rpartition("#")[0]
            pile = self._above.get(key)
        if not pile:
            self._strays.append((node, result))
            return
        slots, answered = pile[-1]
        pile.append((slots, answered + 1))
        put.append(key)
        shown = Shown(result.text, media, result.is_error)
        slots[min(answered, len(slots) - 1)].shown.append((self._places[node.id], shown))


def _media(blocks: Sequence[Block], start: int) -> int:
    """How many pictures and files follow a result that ends before `start`."""
    found = 0
    for block in blocks[start:]:
        if isinstance(block, ToolResult):
            break
        found += isinstance(block, Media)
    return found
