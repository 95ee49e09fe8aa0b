"""The two-sided join where a harness tells replies anew: without ids, in other words, as plain text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from drawbar.record.store import Store
from drawbar.wire import GEMINI

if TYPE_CHECKING:
    from tests.record.conftest import Recording

QUESTION = {"role": "user", "content": "Who wrote it?"}
ANSWER = {"role": "assistant", "content": "Ada wrote it."}


def test_a_reply_that_its_harness_sends_back_in_other_words_still_leads_to_its_result(
    sqlite_store: Store, recording: Recording
) -> None:
    asks = recording.says("I shall look.", ("call_1", "search", {"q": 1}))
    recording.call([QUESTION], asks)
    recording.tool_call({"q": 1}, recording.gave("Ada"))
    without_words = recording.says(None, ("call_1", "search", {"q": 1}))
    recording.call([QUESTION, without_words, recording.result("call_1", "Ada")], ANSWER)
    found = recording.read(sqlite_store)
    assert [c.seen for c in found.tool_calls] == ["same"]
    assert [finding.name for finding in found.health] == ["rewritten_history"]


def test_ids_that_a_harness_gives_anew_are_followed(sqlite_store: Store, recording: Recording) -> None:
    uses = [("search", {"q": 1}), ("search", {"q": 2}), ("search", {"q": 1})]
    recording.call([QUESTION], recording.says(None, *((f"theirs_{n}", *use) for n, use in enumerate(uses))))
    for words, q in (("one", 1), ("two", 2), ("three", 1)):
        recording.tool_call({"q": q}, recording.gave(words))
    told = recording.says(None, *((f"ours_{n}", *use) for n, use in enumerate(uses)))
    shown = [recording.result(f"ours_{n}", words) for n, words in enumerate(("one", "two", "three"))]
    recording.call([QUESTION, told, *shown], ANSWER)
    found = recording.read(sqlite_store)
    assert [(c.tool_use_id, c.seen) for c in found.tool_calls] == [(f"theirs_{n}", "same") for n in range(3)]


def test_arguments_that_a_harness_told_anew_are_found_by_their_number(
    sqlite_store: Store, recording: Recording
) -> None:
    recording.call([QUESTION], recording.says(None, ("a", "search", {"q": "x"}), ("b", "search", {"q": "y"})))
    recording.tool_call({"q": "x"}, recording.gave("of x"))
    recording.tool_call({"q": "y"}, recording.gave("of y"))
    told = recording.says(None, ("1", "search", {"q": "x", "n": 5}), ("2", "search", {"q": "y", "n": 5}))
    shown = [recording.result("1", "of x"), recording.result("2", "of y")]
    recording.call([QUESTION, told, *shown], ANSWER)
    assert [c.seen for c in recording.read(sqlite_store).tool_calls] == ["same", "same"]


def test_the_replies_of_a_cut_stream_and_of_its_repetition_may_come_back_as_one(
    sqlite_store: Store, recording: Recording
) -> None:
    cut, again = (recording.says(None, (id, "search", {"q": 1})) for id in ("cut", "again"))
    recording.call([QUESTION], cut, status="failed", cause="upstream_broken")
    recording.call([QUESTION], again)
    recording.tool_call({"q": 1}, recording.gave("first"), started=10.5)
    recording.tool_call({"q": 1}, recording.gave("second"), started=11.5)
    both = recording.says(None, ("cut", "search", {"q": 1}), ("again", "search", {"q": 1}))
    shown = [recording.result("cut", "first"), recording.result("again", "second")]
    recording.call([QUESTION, both, *shown], ANSWER)
    found = recording.read(sqlite_store)
    assert [(c.tool_use_id, c.seen) for c in found.tool_calls] == [("cut", "same"), ("again", "same")]


def test_history_that_was_told_anew_from_its_beginning_is_found_by_depth(
    sqlite_store: Store, recording: Recording
) -> None:
    """As a resumed session does it, whose ids come again in every turn."""
    messages = [QUESTION]
    for n in range(4):
        asks = recording.says(None, ("call_0", "search", {"q": "same"}))
        recording.call(list(messages), asks)
        recording.tool_call({"q": "same"}, recording.gave(f"result {n}"))
        messages += [asks, recording.result("call_0", f"result {n}")]
    recording.call([recording.user("Who was it who wrote it?"), *messages[1:]], ANSWER)
    assert [c.seen for c in recording.read(sqlite_store).tool_calls] == ["same"] * 4


@pytest.mark.parametrize("drops", ["neither", "calls", "results", "both"])
def test_a_dialect_with_ids_that_its_clients_may_drop(
    sqlite_store: Store, new_recording: Callable[..., Recording], drops: str
) -> None:
    recording = new_recording(dialect=GEMINI)
    question = {"role": "user", "parts": [{"text": "Who?"}]}

    def call(id: str, q: int) -> dict[str, Any]:
        kept = {} if drops in ("calls", "both") else {"id": id}
        return {"functionCall": {"name": "search", "args": {"q": q}, **kept}}

    def shown(id: str, words: str) -> dict[str, Any]:
        kept = {} if drops in ("results", "both") else {"id": id}
        return {"functionResponse": {"name": "search", "response": {"output": words}, **kept}}

    said = [{"functionCall": {"name": "search", "args": {"q": q}, "id": f"id_{q}"}} for q in (1, 2)]
    recording.call([question], {"role": "model", "parts": said})
    recording.tool_call({"q": 1}, recording.gave("one"))
    recording.tool_call({"q": 2}, recording.gave("two"))
    told = {"role": "model", "parts": [call("id_1", 1), call("id_2", 2)]}
    results = {"role": "user", "parts": [shown("id_1", "one"), shown("id_2", "two")]}
    recording.call([question, told, results], {"role": "model", "parts": [{"text": "Ada."}]})
    found = recording.read(sqlite_store)
    assert [(c.tool_use_id, c.seen) for c in found.tool_calls] == [("id_1", "same"), ("id_2", "same")]
    assert not {finding.name for finding in found.health} - {"rewritten_history"}


OBSERVED = [
    ("Observation:\nAda, 1843", "wrapped"),
    ("Ada, 1843", "same"),
    ("meta=None content=[TextContent(type='text', text='Ada, 1843')]", "wrapped"),
    ("Observation:\nGrace, 1952", "missing"),
]


@pytest.mark.parametrize(("words", "seen"), OBSERVED)
def test_a_result_is_found_among_the_words_of_a_later_message(
    sqlite_store: Store, recording: Recording, words: str, seen: str
) -> None:
    """As agents do it that turn tool calls into text, and their results into words of the user."""
    recording.call([QUESTION], recording.says(None, ("a", "search", {"q": 1})))
    recording.tool_call({"q": 1}, recording.gave("Ada, 1843"))
    told = recording.says("Calling tools:\n[{'id': 'a', 'function': {'name': 'search', 'arguments': {'q': 1}}}]")
    recording.call([QUESTION, told, recording.user(words)], ANSWER)
    found = recording.read(sqlite_store)
    assert [(c.tool_use_id, c.seen) for c in found.tool_calls] == [("a", seen)]
    lost = {"missing_tool_result"} if seen == "missing" else set()
    assert {finding.name for finding in found.health} == {"rewritten_history", *lost}


def test_a_part_of_a_result_among_words_is_truncated(sqlite_store: Store, recording: Recording) -> None:
    page = "\n".join(f"line {n} of the page, which says {n * n}" for n in range(300))
    recording.call([QUESTION], recording.says(None, ("a", "search", {"q": 1})))
    recording.tool_call({"q": 1}, recording.gave(page))
    cut = f"Observation:\n{page[:4000]}\n..._This content has been truncated_...\n{page[-4000:]}"
    recording.call([QUESTION, recording.says("Calling tools: ..."), recording.user(cut)], ANSWER)
    found = recording.read(sqlite_store)
    assert [c.seen for c in found.tool_calls] == ["truncated"]


def test_several_results_in_one_text_are_each_found_in_every_turn(sqlite_store: Store, recording: Recording) -> None:
    messages = [QUESTION]
    for n in range(3):
        uses = [(f"{n}{k}", "search", {"q": n * 2 + k}) for k in range(2)]
        recording.call(list(messages), recording.says(None, *uses))
        for _, _, arguments in uses:
            recording.tool_call(
                arguments, recording.gave(f"the result of {arguments['q']}"), started=10.3 + n, ended=10.4 + n
            )
        told = recording.says(f"Calling tools:\n{uses}")
        results = "\n".join(f"the result of {arguments['q']}" for _, _, arguments in uses)
        messages += [told, recording.user(f"Observation:\n{results}")]
    recording.call(messages, ANSWER)
    assert [c.seen for c in recording.read(sqlite_store).tool_calls] == ["wrapped"] * 6


def test_a_result_whose_words_stand_in_the_next_message_is_not_altered(
    sqlite_store: Store, recording: Recording
) -> None:
    asks = recording.says(None, ("a", "search", {"q": 1}))
    recording.call([QUESTION], asks)
    recording.tool_call({"q": 1}, recording.gave("Ada, 1843"))
    shown = [recording.result("a", "See the next message."), recording.user("It said: Ada, 1843")]
    recording.call([QUESTION, asks, *shown], ANSWER)
    found = recording.read(sqlite_store)
    assert [c.seen for c in found.tool_calls] == ["wrapped"]
    assert found.health == []


def test_a_call_that_a_reply_asks_for_in_words_is_joined_to_it(sqlite_store: Store, recording: Recording) -> None:
    """As agents do it whose model writes code, or actions that its harness reads."""
    code = 'Let me look.\n<code>\nfound = [search(query=q) for q in ["the \\"tides\\"", "winds"]]\n</code>'
    asking = recording.call([QUESTION], recording.says(code))
    recording.tool_call({"query": 'the "tides"'}, recording.gave("the Moon"))
    recording.tool_call({"query": "winds"}, recording.gave("the Sun"), started=10.5, ended=10.6)
    recording.tool_call({"query": "rain"}, recording.gave("the sea"), started=10.7, ended=10.8)
    shown = recording.user("Execution logs:\nthe Moon\nthe Sun")
    recording.call([QUESTION, recording.says(code), shown], ANSWER)
    found = recording.read(sqlite_store)
    assert [(c.asked_by, c.tool_use_id, c.joined_by, c.seen) for c in found.tool_calls] == [
        (asking.id, None, "words", "wrapped"),
        (asking.id, None, "words", "wrapped"),
        (None, None, None, None),
    ]
    assert [finding.name for finding in found.health] == ["unjoined_tool_call"]
