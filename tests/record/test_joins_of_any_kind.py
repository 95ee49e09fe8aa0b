"""The two-sided join of any conversation: nothing twice, no tool for another, and all of it where ids are given."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from drawbar.record.arguments import exact
from drawbar.record.asked import Asked, Shown
from drawbar.record.join import Called, Joined, join
from drawbar.record.said import Said
from drawbar.record.shown import WHOLE, compare
from drawbar.trajectory import Call
from drawbar.wire.message import ToolUse

TOOLS = ("search", "wiki_search", "read", "look-up")
PREFIXES = ("", "mcp__wiki__", "wiki_", "wiki-", "wiki__", "mcp_drawbar_")
VALUES = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2, width=16) | st.text("ab \"'\\\n", max_size=4)
ARGUMENTS = st.dictionaries(st.sampled_from("qnk"), VALUES | st.lists(VALUES, max_size=2), max_size=2)


@dataclass
class Wanted:
    """One tool use as it was made, and the call that its harness made of it."""

    tool: str
    arguments: dict[str, Any]
    way: str
    """direct | through: by a tool that calls tools | dropped: its harness never called it"""
    written: str
    """How its harness writes the arguments."""


@dataclass
class Both:
    """Both sides of a conversation, and what is true of them."""

    asked: list[Asked]
    called: list[Called]
    truth: dict[str, Asked]
    """The tool use that each call is for."""
    meant: dict[Asked, str]
    """The tool that each use means."""


TURNS = st.lists(
    st.lists(
        st.builds(
            Wanted,
            st.sampled_from(TOOLS),
            ARGUMENTS,
            st.sampled_from(["direct", "direct", "direct", "through", "dropped"]),
            st.sampled_from(["as it is", "turned", "floats"]),
        ),
        max_size=4,
    ),
    min_size=1,
    max_size=4,
)
IDS = st.sampled_from(["own", "anew", "none"])
WRAPPINGS = ("{}", "Output:\n{}", '{{"result": {}}}', "")


def model_call(seq: int) -> Call:
    given: dict[str, Any] = dict.fromkeys(Call.__dataclass_fields__)
    return Call(**{**given, "id": f"call_{seq}", "seq": seq, "reply": bytes([seq]), "started": 10.0 * seq})


def use(wanted: Wanted, prefix: str, id: str) -> ToolUse:
    name, arguments = prefix + wanted.tool, wanted.arguments
    if wanted.way == "through":
        name, arguments = "tool_call", {"name": name, "arguments": orjson.dumps(wanted.arguments).decode()}
    return ToolUse(id, name, arguments, orjson.dumps(arguments).decode())


def written(wanted: Wanted) -> dict[str, Any]:
    if wanted.written == "turned":
        return dict(reversed(wanted.arguments.items()))
    if wanted.written == "floats":
        return {
            key: float(value) if type(value) is int else value
            for key, value in wanted.arguments.items()
        }  # fmt: skip
    return wanted.arguments


def conversation(
    turns: Sequence[Sequence[Wanted]], prefix: str, ids: str, meta: bool, wrapping: str, order: Sequence[int]
) -> Both:
    asked: list[Asked] = []
    called: list[Called] = []
    truth: dict[str, Asked] = {}
    meant: dict[Asked, str] = {}
    for seq, turn in enumerate(turns):
        made: list[tuple[int, Wanted]] = []
        for number, wanted in enumerate(turn):
            id = {"own": f"use_{seq}_{number}", "anew": f"call_{number}", "none": ""}[ids]
            tool_use = use(wanted, prefix, id)
            asked.append(Asked(tool_use, model_call(seq), exact(tool_use.arguments), depth=seq))
            meant[asked[-1]] = wanted.tool
            if wanted.way != "dropped":
                made.append((len(asked) - 1, wanted))
        made.sort(key=lambda each: order[each[0] % len(order)])  # parallel calls arrive in any order
        for place, (number, wanted) in enumerate(made):
            said = Said((f"result {len(called)} of {wanted.tool}",))
            sent = {"callId": asked[number].use.id} if meta and ids == "own" else {}
            id = f"tool_{len(called)}"
            called.append(Called(id, wanted.tool, written(wanted), sent, 10.0 * seq + 1 + place / 100, said))
            truth[id] = asked[number]
            if wrapping:
                asked[number].result = Shown(wrapping.format(said.text))
    return Both(asked, called, truth, meant)


CONVERSATIONS = st.builds(
    conversation,
    TURNS,
    st.sampled_from(PREFIXES),
    IDS,
    st.booleans(),
    st.sampled_from(WRAPPINGS),
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
)


def joined(both: Both) -> dict[str, Joined]:
    return join(both.asked, both.called)


@given(CONVERSATIONS)
def test_nothing_is_joined_twice(both: Both) -> None:
    found = joined(both)
    assert set(Counter(each.asked for each in found.values()).values()) <= {1}
    assert found.keys() <= {call.id for call in both.called}


@given(CONVERSATIONS)
def test_no_tool_is_taken_for_another(both: Both) -> None:
    names = {call.id: call.name for call in both.called}
    for id, each in joined(both).items():
        meant = both.meant[each.asked]
        assert names[id] == meant or meant not in names.values()


@given(CONVERSATIONS)
def test_all_calls_are_joined_and_none_to_a_use_of_a_later_reply(both: Both) -> None:
    found = joined(both)
    assert found.keys() == both.truth.keys()
    assert all(found[call.id].asked.since < call.started for call in both.called)


@given(CONVERSATIONS)
def test_each_call_is_joined_to_its_own_use_where_an_id_or_what_was_shown_tells_it(both: Both) -> None:
    found = joined(both)
    for call in both.called:
        mine = both.truth[call.id]
        shown = mine.result is not None and call.said is not None and compare(call.said, mine.result) in WHOLE
        if call.meta or shown:
            assert found[call.id].asked is mine


@given(CONVERSATIONS)
def test_the_join_does_not_depend_on_the_order_in_which_calls_are_told(both: Both) -> None:
    back = join(both.asked, both.called[::-1])
    assert {id: each.asked for id, each in joined(both).items()} == {id: each.asked for id, each in back.items()}


PRINTED = st.text(string.printable + "äß日😀\x1b").map(str.strip)
TEXTS = PRINTED.filter(lambda text: not text or any(map(str.isalnum, text)))
"""Of a text that is nothing but quotes and backslashes, its form is all there is."""


@given(st.sampled_from(["", "\n", "\t"]), TEXTS, st.sampled_from([0, 1, 2]))
def test_any_text_inside_of_json_or_a_literal_is_wrapped(edge: str, text: str, deep: int) -> None:
    said, shown = Said((edge + text,)), edge + text
    for _ in range(deep):
        shown = orjson.dumps({"content": [{"text": shown}]}).decode()
    assert compare(said, Shown(shown)) in WHOLE
    assert compare(said, Shown(repr([shown]))) in WHOLE
    assert compare(said, Shown(ascii({"result": edge + text}))) in WHOLE
