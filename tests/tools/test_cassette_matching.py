"""Matching, on any recorded sessions: a replay of what was recorded always hits, and is told what was told then."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drawbar.tools.cassettes.counting import Counting
from drawbar.tools.cassettes.deck import Deck
from drawbar.tools.cassettes.drift import RunDrift
from drawbar.tools.cassettes.format import Recording, new_header
from drawbar.tools.cassettes.likeness import leaves, likeness
from drawbar.tools.cassettes.settings import Cassette, Mode
from drawbar.tools.connection import Caller, ToolRequest

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2).map(lambda x: round(x, 1)) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
ARGUMENTS = st.dictionaries(st.sampled_from(["id", "q"]), VALUES, max_size=2)
CALLS = st.lists(st.tuples(st.sampled_from(["get", "set", "list"]), ARGUMENTS), min_size=1, max_size=8)
SESSIONS = st.lists(CALLS, min_size=1, max_size=4)
TOOLS = [{"name": "get", "annotations": {"readOnlyHint": True}}, {"name": "set"}, {"name": "list"}]

Sessions = list[list[tuple[str, dict[str, Any]]]]


def deck_of(sessions: Sessions, mode: Mode, *, tasks: bool = True, **settings: Any) -> Deck:
    """Every call answered by a text of its own."""
    recordings = []
    for number, calls in enumerate(sessions):
        for seq, (tool, arguments) in enumerate(calls):
            answer = {"content": [{"type": "text", "text": f"{number}.{seq}"}]}
            recordings.append(
                Recording(
                    server="s", tool=tool, arguments=arguments, result=msgspec.Raw(orjson.dumps(answer)),
                    session=f"ses_{number}", seq=seq, task=f"t{number}" if tasks else None, write=tool != "get",
                    writes=sum(name != "get" for name, _ in calls[:seq]),
                )
            )  # fmt: skip
    cassette = Cassette(Path("c.jsonl"), mode=mode, **settings)
    return Deck(cassette, new_header({"s": {"tools": TOOLS}}), recordings, ["s"])


def told(deck: Deck, caller: Caller, tool: str, arguments: dict[str, Any]) -> tuple[str, str] | None:
    found = deck.find("s", ToolRequest(tool, arguments, caller=caller))
    if found is None:
        return None
    answer = found.take.recording.answer
    assert answer is not None
    return found.how, answer["content"][0]["text"]


@pytest.mark.parametrize("mode", get_args(Mode))
@given(sessions=SESSIONS, copies=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_a_replay_of_what_was_recorded_is_told_the_same_in_every_mode(
    mode: Mode, sessions: Sessions, copies: int
) -> None:
    deck = deck_of(sessions, mode)
    for copy in range(copies):  # all go on at the same time
        for seq in range(max(map(len, sessions))):
            for number, calls in enumerate(sessions):
                if seq < len(calls):
                    caller = Caller(f"replay_{number}_{copy}", f"t{number}")
                    assert told(deck, caller, *calls[seq]) == ("hit", f"{number}.{seq}")
    for number in range(len(sessions)):
        drift = deck.drift(Caller(f"replay_{number}_0", f"t{number}"))
        assert (drift["misses"], drift["unused"]) == (0, 0)


@pytest.mark.parametrize("mode", ["strict", "by-arguments", "nearest", "fall-through"])
@given(sessions=SESSIONS)
@settings(max_examples=60, deadline=None)
def test_it_hits_too_where_nobody_says_what_task_it_is(mode: Mode, sessions: Sessions) -> None:
    deck = deck_of(sessions, mode, tasks=False)
    for number, calls in enumerate(sessions):
        for call in calls:
            answer = told(deck, Caller(f"replay_{number}"), *call)
            assert answer is not None
            assert answer[0] == "hit"


@given(calls=CALLS, places=st.data())
@settings(max_examples=60, deadline=None)
def test_calls_that_were_under_way_at_the_same_time_come_in_any_order(calls: Any, places: st.DataObject) -> None:
    deck = deck_of([calls], "strict")
    recordings = [
        Recording(
            server="s", tool=tool, arguments=arguments, result=msgspec.Raw(b'{"content": []}'), session="x", seq=seq,
            task="t", started=100.0 + seq / 100, seconds=1.0,
        )
        for seq, (tool, arguments) in enumerate(calls)
    ]  # fmt: skip
    for mode in ("strict", "by-arguments"):
        deck = Deck(Cassette("c", mode=mode), new_header({"s": {"tools": TOOLS}}), recordings, ["s"])
        for tool, arguments in places.draw(st.permutations(calls)):
            found = deck.find("s", ToolRequest(tool, arguments, caller=Caller("r", "t")))
            assert found is not None
            assert found.how == "hit"


def test_a_call_that_is_missed_does_not_move_a_strict_replay() -> None:
    deck = deck_of([[("get", {"id": 1}), ("get", {"id": 2})]], "strict")
    caller = Caller("r", "t0")
    assert told(deck, caller, "get", {"id": 2}) is None
    assert told(deck, caller, "get", {"id": 1}) == ("hit", "0.0")
    assert told(deck, caller, "list", {}) is None
    assert told(deck, caller, "get", {"id": 2}) == ("hit", "0.1")


def test_a_read_that_was_recorded_only_after_other_writes_is_told_as_stale() -> None:
    deck = deck_of([[("get", {}), ("set", {"id": 1}), ("get", {})]], "by-arguments")
    caller = Caller("r", "t0")
    assert told(deck, caller, "set", {"id": 2}) is None
    assert told(deck, caller, "get", {}) == ("stale", "0.2")  # after another write of the same kind, not before any
    assert deck.drift(caller)["stale"] == 1


def test_a_world_whose_writes_were_taken_out_of_the_file_is_not_taken_for_the_first() -> None:
    call = Recording(server="s", tool="get", arguments={}, result=msgspec.Raw(b'{"content": [{"text": "later"}]}'),
                     session="ses", seq=1, task="t0", write=False, writes=1)  # fmt: skip
    deck = Deck(Cassette("c"), new_header({"s": {"tools": TOOLS}}), [call], ["s"])
    assert told(deck, Caller("r", "t0"), "get", {}) == ("stale", "later")


def test_a_tool_that_only_configuration_says_reads_moves_no_world() -> None:
    deck = deck_of([[("list", {}), ("set", {"id": 1}), ("list", {})]], "by-arguments", read_only=["list"])
    caller = Caller("r", "t0")
    assert told(deck, caller, "set", {"id": 1}) == ("hit", "0.1")
    assert told(deck, caller, "list", {}) == ("hit", "0.2")


def test_another_rollout_of_a_task_has_its_own_answers() -> None:
    recordings = [
        Recording(server="s", tool="get", arguments={}, result=msgspec.Raw(b'{"content": [{"text": "%d"}]}' % rollout),
                  session=f"ses_{rollout}", seq=0, task="t", rollout=rollout)
        for rollout in range(3)
    ]  # fmt: skip
    deck = Deck(Cassette("c"), new_header({"s": {"tools": TOOLS}}), recordings, ["s"])
    assert [told(deck, Caller(f"r{n}", "t", n), "get", {}) for n in (2, 0, 1)] == [("hit", n) for n in ("2", "0", "1")]


@pytest.mark.parametrize(
    ("patterns", "arguments", "kept"),
    [
        (["id"], {"id": 1, "a": {"id": 2}}, {"a": {"id": 2}}),
        (["**.id"], {"id": 1, "a": {"id": 2, "b": [{"id": 3, "c": 4}]}}, {"a": {"b": [{"c": 4}]}}),
        (["a.*.id"], {"a": [{"id": 1, "b": 2}], "id": 3}, {"a": [{"b": 2}], "id": 3}),
        (["a.**"], {"a": {"b": 1}, "c": 2}, {"a": {}, "c": 2}),
        (["*_at"], {"made_at": 1, "made": 2}, {"made": 2}),
        (["other:id"], {"id": 1}, {"id": 1}),
        (["get*:id"], {"id": 1}, {}),
    ],
)
def test_what_is_ignored_is_named_by_its_path(patterns: list[str], arguments: Any, kept: Any) -> None:
    assert Counting(patterns).what_counts("get_order", arguments) == kept


@given(some=ARGUMENTS, others=ARGUMENTS)
def test_likeness_is_between_nothing_and_everything_whichever_comes_first(some: Any, others: Any) -> None:
    one, other = leaves(some), leaves(others)
    assert 0 <= likeness(one, other) <= 1
    assert likeness(one, other) == pytest.approx(likeness(other, one), abs=0.2)  # texts are compared from one side
    assert likeness(one, one) == 1


def test_a_run_names_each_call_that_was_missed_once_and_counts_what_no_session_used() -> None:
    deck = deck_of([[("get", {"id": n}), ("set", {"id": n})] for n in range(4)], "by-arguments")
    total = RunDrift()
    for number in range(2):
        caller = Caller(f"r{number}", f"t{number}")
        told(deck, caller, "get", {"id": number})
        request = ToolRequest("set", {"id": 99}, caller=caller)
        assert deck.find("s", request) is None
        deck.missed("s", request, "not there")
        total.add([deck.drift(caller)])
    (report,) = total.report()
    assert (report["sessions"], report["hits"], report["misses"]) == (2, 2, 2)
    assert report["missed"] == [{"tool": "set", "arguments": {"id": 99}, "why": "not there", "count": 2}]
    assert (report["recorded"], report["unused"]) == (8, 6)
    assert report["tools"]["get"] == {
        "recorded": 4, "hits": 2, "stale": 0, "near": 0, "live": 0, "misses": 0, "unused": 2
    }  # fmt: skip
