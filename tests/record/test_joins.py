"""The two-sided join: which of the model's tool uses each tool call is for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from drawbar.record.store import Store

if TYPE_CHECKING:
    from tests.record.conftest import Recording

QUESTION = {"role": "user", "content": "Who wrote it?"}
ANSWER = {"role": "assistant", "content": "Ada wrote it."}


@pytest.mark.parametrize("key", ["claudecode/toolUseId", "callId"])
def test_calls_are_joined_by_the_id_that_the_harness_sends(sqlite_store: Store, recording: Recording, key: str) -> None:
    asks = recording.says(None, ("one", "mcp__wiki__search", {"q": 1}), ("two", "mcp__wiki__search", {"q": 1}))
    recording.call([QUESTION], asks)
    recording.tool_call({"q": 1}, recording.gave("for two"), meta=orjson.dumps({key: "two"}))
    recording.tool_call({"q": 1}, recording.gave("for one"), meta=orjson.dumps({key: "one"}))
    shown = [recording.result("one", "for one"), recording.result("two", "for two")]
    recording.call([QUESTION, asks, *shown], ANSWER)
    found = recording.read(sqlite_store)
    assert [(c.tool_use_id, c.seen, c.joined_by) for c in found.tool_calls] == [
        ("two", "same", "id"),
        ("one", "same", "id"),
    ]


def test_a_call_that_is_sent_twice_under_one_id_is_joined_where_its_result_was_shown(
    sqlite_store: Store, recording: Recording
) -> None:
    asks = recording.says(None, ("one", "search", {"q": 1}))
    recording.call([QUESTION], asks)
    for words in ("lost on the way", "got there"):
        recording.tool_call({"q": 1}, recording.gave(words), meta=b'{"callId":"one"}')
    recording.call([QUESTION, asks, recording.result("one", "got there")], ANSWER)
    found = recording.read(sqlite_store)
    assert [(c.tool_use_id, c.seen) for c in found.tool_calls] == [(None, None), ("one", "same")]


@pytest.mark.parametrize(
    "used",
    ["search", "wiki_search", "mcp__wiki__search", "wiki-search", "mcp_wiki_search", "wiki.search", "Wiki-Search"],
)
def test_calls_are_joined_by_name_arguments_and_order(sqlite_store: Store, recording: Recording, used: str) -> None:
    asks = recording.says(None, ("a", used, {"q": 1, "n": 2}), ("b", used, {"q": 2}), ("c", used, {"n": 2, "q": 1.0}))
    recording.call([QUESTION], asks)
    for arguments, words in (({"q": 2}, "second"), ({"n": 2, "q": 1}, "first"), ({"q": 1, "n": 2.0}, "third")):
        recording.tool_call(arguments, recording.gave(words))
    shown = [recording.result("a", "first"), recording.result("b", "second"), recording.result("c", "third")]
    recording.call([QUESTION, asks, *shown], ANSWER)
    found = recording.read(sqlite_store)
    assert [c.tool_use_id for c in found.tool_calls] == ["b", "a", "c"]
    assert {c.seen for c in found.tool_calls} == {"same"}
    assert found.health == []


def test_the_longest_tool_that_a_name_ends_in_is_meant(sqlite_store: Store, recording: Recording) -> None:
    asks = recording.says(None, ("a", "mcp__x__wiki_search", {"q": 1}), ("b", "mcp__x__search", {"q": 1}))
    recording.call([QUESTION], asks)
    recording.tool_call({"q": 1}, recording.gave("short"), name="search", tool="search")
    recording.tool_call({"q": 1}, recording.gave("long"), name="wiki_search", tool="search")
    found = recording.read(sqlite_store)
    assert [c.tool_use_id for c in found.tool_calls] == ["b", "a"]


def test_a_harness_own_tool_is_not_taken_for_one_that_ends_like_it(sqlite_store: Store, recording: Recording) -> None:
    uses = ("own", "web_search", {"q": 1}), ("a", "mcp__x__search", {"q": 1}), ("b", "mcp__x__read", {"id": 1})
    asks = recording.says(None, *uses)
    recording.call([QUESTION], asks)
    recording.tool_call({"q": 1}, recording.gave("found"))
    recording.tool_call({"id": 1}, recording.gave("read"), name="read", tool="read")
    found = recording.read(sqlite_store)
    assert [c.tool_use_id for c in found.tool_calls] == ["a", "b"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "search", "arguments": {"q": "tides", "n": 1}},
        {"tool_name": "wiki/search", "args": '{"n": 1.0, "q": "tides"}'},
        {"server": "wiki", "call": {"tool": "search", "input": {"q": "tides", "n": 1}}},
        {"calls": [{"recipient_name": "functions.search", "parameters": {"q": "tides", "n": 1}}]},
        {"request": '{"name": "search", "arguments": "{\\"q\\": \\"tides\\", \\"n\\": 1}"}'},
    ],
)
def test_a_tool_that_is_called_through_another_one_is_found(
    sqlite_store: Store, recording: Recording, arguments: dict[str, Any]
) -> None:
    asks = recording.says(None, ("find", "tool_search", {"query": "select:search"}), ("use", "tool_call", arguments))
    recording.call([QUESTION], asks)
    recording.tool_call({"q": "tides", "n": 1}, recording.gave("the Moon"))
    shown = [recording.result("find", "a tool"), recording.result("use", "the Moon")]
    recording.call([QUESTION, asks, *shown], ANSWER)
    found = recording.read(sqlite_store)
    assert [(c.tool_use_id, c.seen, c.joined_by) for c in found.tool_calls] == [("use", "same", "arguments")]
    assert found.health == []


def test_several_calls_through_one_tool_use_are_each_found_in_its_result(
    sqlite_store: Store, recording: Recording
) -> None:
    calls = [{"tool": "search", "parameters": {"q": q}} for q in ("a", "b", "a")]
    asks = recording.says(None, ("all", "batch", {"tool_calls": calls}))
    recording.call([QUESTION], asks)
    for q in ("b", "a", "a"):
        recording.tool_call({"q": q}, recording.gave(f"result of {q}"))
    shown = recording.result("all", "1: result of a\n2: result of b\n3: result of a")
    recording.call([QUESTION, asks, shown], ANSWER)
    found = recording.read(sqlite_store)
    assert [(c.tool_use_id, c.seen) for c in found.tool_calls] == [("all", "wrapped")] * 3
    assert found.health == []


@pytest.mark.parametrize(
    ("asked", "called"),
    [
        ({"q": "tides", "n": None}, {"q": "tides"}),
        ({"q": "tides", "n": "3"}, {"q": "tides", "n": 3}),
        ({"q": "tides"}, {"q": "tides", "n": 10, "lang": "en"}),
        ({"q": "tides", "why": "to know"}, {"q": "tides"}),
        ({"filter": '{"a": [1]}'}, {"filter": {"a": [1]}}),
        ({"q": " tides "}, {"q": "tides"}),
    ],
)
def test_arguments_that_a_harness_fills_in_leaves_out_or_spells_otherwise_are_taken_for_the_same(
    sqlite_store: Store, recording: Recording, asked: dict[str, Any], called: dict[str, Any]
) -> None:
    asks = recording.says(None, ("other", "search", {"q": "winds", "n": 7}), ("one", "search", asked))
    recording.call([QUESTION], asks)
    recording.tool_call(called, recording.gave("the Moon"))
    recording.tool_call({"n": 7, "q": "winds"}, recording.gave("the Sun"))
    shown = [recording.result("other", "the Sun"), recording.result("one", "the Moon")]
    recording.call([QUESTION, asks, *shown], ANSWER)
    found = recording.read(sqlite_store)
    assert [(c.tool_use_id, c.joined_by) for c in found.tool_calls] == [("one", "likeness"), ("other", "arguments")]
    assert found.health == []


def test_what_may_be_for_either_of_two_is_joined_with_none(sqlite_store: Store, recording: Recording) -> None:
    recording.call([QUESTION], recording.says(None, ("a", "search", {"q": "a"}), ("b", "search", {"q": "b"})))
    recording.tool_call({"q": "c"}, recording.gave("for whom?"))
    recording.tool_call({}, recording.gave("and this?"))
    found = recording.read(sqlite_store)
    assert [c.tool_use_id for c in found.tool_calls] == [None, None]


def test_true_is_not_one_and_a_text_is_not_its_number_where_it_matters(
    sqlite_store: Store, recording: Recording
) -> None:
    uses = [("a", "set", {"v": 1}), ("b", "set", {"v": True}), ("c", "set", {"v": "1"})]
    recording.call([QUESTION], recording.says(None, *uses))
    for value in ("1", True, 1.0):
        recording.tool_call({"v": value}, recording.gave("done"), name="set", tool="set")
    found = recording.read(sqlite_store)
    assert [c.tool_use_id for c in found.tool_calls] == ["c", "b", "a"]


def test_parallel_calls_that_are_alike_are_told_apart_by_what_was_shown(
    sqlite_store: Store, recording: Recording
) -> None:
    asks = recording.says(None, *((id, "roll", {}) for id in "abc"))
    recording.call([QUESTION], asks)
    for words in ("three", "one", "two"):  # they reached their server in another order
        recording.tool_call({}, recording.gave(words), name="roll", tool="roll")
    shown = [recording.result("a", "one"), recording.result("b", "say: two"), recording.result("c", "three")]
    recording.call([QUESTION, asks, *shown], ANSWER)
    found = recording.read(sqlite_store)
    assert [c.tool_use_id for c in found.tool_calls] == ["c", "a", "b"]
    assert found.health == []


def test_a_call_is_for_the_newest_reply_that_asked_for_it(sqlite_store: Store, recording: Recording) -> None:
    """The first was cut off before its harness called the tool; it was asked again."""
    first, again = (recording.says(None, (id, "search", {"q": 1})) for id in ("cut", "again"))
    recording.call([QUESTION], first, status="failed", cause="upstream_broken")
    retried = recording.call([QUESTION], again)
    recording.tool_call({"q": 1}, recording.gave("found"), started=retried.started + 0.3)
    recording.call([QUESTION, again, recording.result("again", "found")], ANSWER)
    found = recording.read(sqlite_store)
    assert [(c.tool_use_id, c.asked_by, c.seen) for c in found.tool_calls] == [("again", retried.id, "same")]


def test_a_call_may_begin_while_its_reply_still_comes(sqlite_store: Store, recording: Recording) -> None:
    asks = recording.says(None, ("a", "search", {"q": 1}))
    recording.call([QUESTION], asks, first_byte=10.1, ended=10.9)
    recording.tool_call({"q": 1}, recording.gave("found"), started=10.3, ended=10.4)
    recording.call([QUESTION, asks, recording.result("a", "found")], ANSWER)
    assert [c.seen for c in recording.read(sqlite_store).tool_calls] == ["same"]


def test_ids_that_a_provider_gives_anew_in_every_turn_do_not_mix_turns_up(
    sqlite_store: Store, recording: Recording
) -> None:
    messages = [QUESTION]
    for n in range(3):
        asks = recording.says(None, ("call_0", "search", {"q": n}))
        recording.call(list(messages), asks)
        recording.tool_call({"q": n}, recording.gave(f"result {n}"))
        messages += [asks, recording.result("call_0", f"result {n}")]
    recording.call(messages, ANSWER)
    found = recording.read(sqlite_store)
    assert [c.seen for c in found.tool_calls] == ["same"] * 3
    assert found.health == []


def test_two_uses_under_one_id_have_their_results_in_order(sqlite_store: Store, recording: Recording) -> None:
    asks = recording.says(None, ("call_0", "search", {"q": 1}), ("call_0", "search", {"q": 2}))
    recording.call([QUESTION], asks)
    recording.tool_call({"q": 2}, recording.gave("second"))
    recording.tool_call({"q": 1}, recording.gave("first"))
    recording.call([QUESTION, asks, recording.result("call_0", "first"), recording.result("call_0", "second")], ANSWER)
    assert [c.seen for c in recording.read(sqlite_store).tool_calls] == ["same", "same"]


def test_the_history_that_a_session_was_opened_with_is_not_held_against_it(
    sqlite_store: Store, recording: Recording
) -> None:
    old = recording.says(None, ("old", "search", {"q": 0}))
    before = [recording.user("earlier"), old, recording.result("old", "of yesterday"), recording.says("so")]
    asks = recording.says(None, ("new", "search", {"q": 1}))
    recording.call([*before, QUESTION], asks)
    recording.tool_call({"q": 1}, recording.gave("now"))
    recording.call([*before, QUESTION, asks, recording.result("new", "now")], ANSWER)
    found = recording.read(sqlite_store)
    assert [c.tool_use_id for c in found.tool_calls] == ["new"]
    assert found.health == []


@pytest.mark.slow
@pytest.mark.parametrize("told", ["again", "in other words", "as text"])
def test_a_session_of_two_thousand_tool_calls_is_joined_in_the_time_that_reading_it_takes(
    sqlite_store: Store, recording: Recording, told: str
) -> None:
    messages = [QUESTION]
    for n in range(2_000):
        asks = recording.says(None, ("call_0", "search", {"q": "the same"}))
        recording.call(list(messages), asks, started=10.0 + n)
        words = f"result {n} of it"
        recording.tool_call({"q": "the same"}, recording.gave(words), started=10.3 + n, ended=10.4 + n)
        messages += {
            "again": [asks, recording.result("call_0", words)],
            "in other words": [{**asks, "content": "I look."}, recording.result("call_0", words)],
            "as text": [recording.says("Calling call_0"), recording.user(f"Observation: {words}")],
        }[told]
    recording.call(messages, ANSWER, started=5_000.0)
    sqlite_store.write(recording.rows)
    begun = time.process_time()
    found = sqlite_store.trajectory(recording.id)
    assert time.process_time() - begun < 5
    assert {c.seen for c in found.tool_calls} <= {"same", "wrapped"}
