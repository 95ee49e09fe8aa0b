"""Health: what is not as it should be in a session's record is found, by name, place and weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from drawbar.ids import digest
from drawbar.record.findings import FINDINGS, by_weight, finding
from drawbar.record.health import from_json, to_json
from drawbar.record.rows import CallRow, NodeRow, SessionRow
from drawbar.record.store import Store
from drawbar.trajectory import Trajectory

if TYPE_CHECKING:
    from tests.record.conftest import Recording

QUESTION = {"role": "user", "content": "Who wrote it?"}
ANSWER = {"role": "assistant", "content": "Ada wrote it."}


def names(trajectory: Trajectory) -> list[str]:
    found = [finding.name for finding in trajectory.health]
    assert set(found) <= set(FINDINGS), "a finding that no documentation names"
    assert all(each.severity == FINDINGS[each.name].severity for each in trajectory.health)
    return found


def test_results_that_no_server_gave_are_found(sqlite_store: Store, recording: Recording) -> None:
    asks = recording.says(None, ("a", "search", {"q": 1}), ("b", "search", {"q": 2}), ("c", "harness_own", {}))
    asking = recording.call([QUESTION], asks)
    recording.tool_call({"q": 1}, recording.gave("real"))
    shown = [("a", "real"), ("b", "made up"), ("c", "its own"), ("d", "from nowhere")]
    recording.call([QUESTION, asks, *(recording.result(*each) for each in shown)], ANSWER)
    found = recording.read(sqlite_store)
    assert names(found) == ["unjoined_tool_result", "invented_tool_result"]
    stray, invented = found.health
    assert "'d'" in stray.detail
    assert "(b)" in invented.detail
    assert invented.call == asking.id


def test_a_tool_under_the_prefix_of_tools_that_were_called_is_ours_too(
    sqlite_store: Store, recording: Recording
) -> None:
    uses = ("a", "mcp__wiki__search", {"q": 1}), ("b", "mcp__wiki__read", {"id": 2}), ("c", "web_search", {"q": 3})
    asks = recording.says(None, *uses)
    recording.call([QUESTION], asks)
    recording.tool_call({"q": 1}, recording.gave("real"))
    shown = [("a", "real"), ("b", "made up"), ("c", "its own")]
    recording.call([QUESTION, asks, *(recording.result(*each) for each in shown)], ANSWER)
    [finding] = recording.read(sqlite_store).health
    assert (finding.name, "mcp__wiki__read" in finding.detail) == ("invented_tool_result", True)


def test_a_harness_that_refuses_a_call_invents_nothing(sqlite_store: Store, recording: Recording) -> None:
    asks = recording.says(None, ("a", "search", {"q": 1}), ("b", "search", {"wrong": 2}))
    recording.call([QUESTION], asks)
    recording.tool_call({"q": 1}, recording.gave("real"))
    complaint = "1 validation error for search: q: Field required"
    shown = [recording.result("a", "real"), recording.result("b", complaint)]
    recording.call([QUESTION, asks, *shown], ANSWER)
    assert names(recording.read(sqlite_store)) == ["withheld_tool_call"]


def test_a_complaint_about_arguments_that_cannot_be_read_is_no_invention(
    sqlite_store: Store, recording: Recording
) -> None:
    asks = recording.says(None, ("a", "search", {"q": 1}), ("b", "search", "{broken"), ("c", "patch", "*** Begin"))
    recording.call([QUESTION], asks)
    recording.tool_call({"q": 1}, recording.gave("real"))
    shown = [("a", "real"), ("b", "what?"), ("c", "done")]
    recording.call([QUESTION, asks, *(recording.result(*each) for each in shown)], ANSWER)
    [finding] = recording.read(sqlite_store).health
    assert (finding.name, finding.severity) == ("unparsed_arguments", "warning")


def test_a_call_that_no_model_asked_for_is_found(sqlite_store: Store, recording: Recording) -> None:
    recording.call([QUESTION], ANSWER)
    row = recording.tool_call({"q": 1}, recording.gave("real"))
    [finding] = recording.read(sqlite_store).health
    assert (finding.name, finding.tool_call, finding.call) == ("unjoined_tool_call", row.id, None)


def test_tool_calls_without_any_model_are_as_they_should_be(sqlite_store: Store, recording: Recording) -> None:
    recording.tool_call({"q": 1}, recording.gave("real"))
    assert names(recording.read(sqlite_store)) == []


def test_calls_without_an_end_show_as_unfinished(store: Store, recording: Recording) -> None:
    recording.call([QUESTION], None, status="started", ended=None, prompt_tokens=None)
    recording.tool_call({}, None, status="started", ended=None)
    found = recording.read(store)
    assert [c.status for c in found.calls] == ["started"]
    assert [m.text for m in found.messages] == ["Who wrote it?"]
    assert names(found)[:2] == ["unfinished_call", "unfinished_tool_call"]


BROKEN = {"status": "failed", "cause": "upstream_broken", "error": "the connection broke", "prompt_tokens": None}


@pytest.mark.parametrize(
    ("words", "fields", "finding"),
    [
        ("", {}, "empty_reply"),
        ("  \n", {}, "empty_reply"),
        (None, {}, "missing_reply"),
        ("Ada.", {"finish": "length"}, "truncated_reply"),
        ("Ada.", {"prompt_tokens": None}, "missing_usage"),
        (None, {"status": "failed", "cause": "upstream_unavailable", "error": "502"}, "failed_call"),
        (None, {"status": "abandoned", "cause": "client_left"}, "failed_call"),
        ("Ad", BROKEN, "truncated_stream"),
        ("Ad", {"status": "abandoned", "cause": "client_left"}, "truncated_stream"),
        ("", BROKEN, "failed_call"),
    ],
)
def test_what_is_wrong_with_a_call_is_a_finding(
    sqlite_store: Store, recording: Recording, words: str | None, fields: dict[str, Any], finding: str
) -> None:
    row = recording.call([QUESTION], None if words is None else recording.says(words), **fields)
    [found] = recording.read(sqlite_store).health
    assert (found.name, found.call, found.tool_call) == (finding, row.id, None)


def test_thoughts_alone_are_no_reply_and_pictures_are_one(sqlite_store: Store, recording: Recording) -> None:
    thought = recording.says(None, reasoning_content="hm")
    recording.call([QUESTION], thought)
    picture = {"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}
    recording.call([QUESTION, thought, recording.user("Draw it.")], picture)
    assert names(recording.read(sqlite_store)) == ["empty_reply"]


def test_a_tool_call_that_failed_is_a_finding(sqlite_store: Store, recording: Recording) -> None:
    recording.call([QUESTION], recording.says(None, ("call_1", "search", {"q": 1})))
    recording.tool_call({"q": 1}, None, status="failed", error="the server died")
    [finding] = recording.read(sqlite_store).health
    assert finding.name == "failed_tool_call"
    assert "the server died" in finding.detail


def test_arguments_that_are_not_the_models_are_a_finding(sqlite_store: Store, recording: Recording) -> None:
    asks = recording.says(None, ("call_1", "search", {"q": "tides"}))
    recording.call([QUESTION], asks)
    recording.tool_call({"q": "tired"}, recording.gave("sleep"))
    recording.call([QUESTION, asks, recording.result("call_1", "sleep")], ANSWER)
    found = recording.read(sqlite_store)
    assert (names(found), found.tool_calls[0].joined_by) == (["altered_arguments"], "order")


def test_a_second_conversation_in_a_session_is_a_finding(sqlite_store: Store, recording: Recording) -> None:
    recording.call([QUESTION], ANSWER)
    second = recording.call([recording.user("Summarise.")], ANSWER)
    found = recording.read(sqlite_store)
    assert [(f.name, f.call) for f in found.health] == [("several_roots", second.id)]
    assert [[n.message.text for n in b] for b in found.branches] == [
        ["Who wrote it?", "Ada wrote it."],
        ["Summarise.", "Ada wrote it."],
    ]


def test_a_request_that_is_repeated_begins_no_second_conversation(sqlite_store: Store, recording: Recording) -> None:
    recording.call([QUESTION], None, status="failed", cause="upstream_unavailable", error="502")
    recording.call([QUESTION], ANSWER)
    assert names(recording.read(sqlite_store)) == ["failed_call"]


def test_sub_agents_and_compactions_are_no_second_conversations(sqlite_store: Store, recording: Recording) -> None:
    asks = recording.says(None, ("t", "task", {"prompt": "Look for the author of it."}))
    recording.call([QUESTION], asks, tools=b"x")
    recording.call([recording.user("Look for the author of it.")], recording.says("It is Ada."), thread="agent-1")
    recording.call([QUESTION, asks, recording.result("t", "It is Ada.")], ANSWER)
    summary = recording.says("We asked who wrote it, and it was Ada who did.")
    recording.call([QUESTION, recording.user("Sum up.")], summary, purpose="compaction")
    going_on = [recording.user("So far: We asked who wrote it, and it was Ada who did."), recording.user("When?")]
    recording.call(going_on, recording.says("In 1843."))
    assert names(recording.read(sqlite_store)) == []


def test_a_side_call_that_fails_is_a_note(sqlite_store: Store, recording: Recording) -> None:
    recording.call([QUESTION], ANSWER)
    title = {"purpose": "side", "status": "failed", "cause": "upstream_unavailable", "error": "502"}
    row = recording.call([recording.user("Give it a title.")], None, **title)
    [finding] = recording.read(sqlite_store).health
    assert (finding.name, finding.severity, finding.call) == ("dropped_side_call", "note", row.id)


def test_history_that_is_written_anew_is_found_where_it_happens(sqlite_store: Store, recording: Recording) -> None:
    first, more = recording.says("It was Ada, and I am sure."), recording.user("When?")
    recording.call([QUESTION], first)
    in_other_words = recording.call([QUESTION, recording.says("It was Ada."), more], ANSWER)
    left_out = recording.call([QUESTION, more], ANSWER)
    found = recording.read(sqlite_store)
    assert [(f.name, f.call) for f in found.health] == [
        ("rewritten_history", in_other_words.id),
        ("rewritten_history", left_out.id),
    ]


def test_a_way_back_past_an_answer_is_history_written_anew(sqlite_store: Store, recording: Recording) -> None:
    recording.call([QUESTION], ANSWER)
    recording.call([QUESTION, ANSWER, recording.user("When?")], recording.says("In 1843."))
    other = recording.call([QUESTION, ANSWER, recording.user("Where?")], recording.says("In London."))
    [finding] = recording.read(sqlite_store).health
    assert (finding.name, finding.call) == ("rewritten_history", other.id)


def test_what_was_not_answered_may_be_asked_for_again_in_any_way(sqlite_store: Store, recording: Recording) -> None:
    recording.call([QUESTION], ANSWER)
    later = [QUESTION, ANSWER, recording.user("When?")]
    recording.call(later, recording.says("In"), **BROKEN)
    recording.call([*later, recording.user("You were cut off. Go on.")], recording.says("In 1843."))
    assert names(recording.read(sqlite_store)) == ["truncated_stream"]


def test_reasoning_that_is_not_sent_back_is_noted_once(sqlite_store: Store, recording: Recording) -> None:
    messages = [QUESTION]
    for n in range(3):
        recording.call(list(messages), recording.says(f"answer {n}", reasoning_content="hm"))
        messages += [recording.says(f"answer {n}"), recording.user(f"question {n}")]
    recording.call(messages, ANSWER)
    [finding] = recording.read(sqlite_store).health
    assert (finding.name, finding.severity) == ("lost_reasoning", "note")


def test_a_message_that_cannot_be_read_any_more_is_shown_as_it_is(
    sqlite_store: Store, make_call: Callable[..., CallRow]
) -> None:
    bodies = {b"one": ("chat", b"[redacted]"), b"two": ("gone", b'{"role":"user","content":"a"}')}
    nodes = [NodeRow(id=id, parent=None, depth=0, dialect=d, body=body) for id, (d, body) in bodies.items()]
    calls = [make_call("s", n, request=id, status="failed", cause="cancelled") for n, id in enumerate(bodies)]
    sqlite_store.write([SessionRow(id="s", started=1.0), *nodes, *calls])
    found = sqlite_store.trajectory("s")
    assert names(found).count("unreadable_message") == 2
    assert [node.body for node in found.nodes.values()] == [body for _, body in bodies.values()]


def test_a_message_that_the_store_lost_is_a_finding(sqlite_store: Store, make_call: Callable[..., CallRow]) -> None:
    lost = digest(b"lost")
    sqlite_store.write([SessionRow(id="s", started=1.0), make_call("s", request=lost, status="failed")])
    assert "missing_message" in names(sqlite_store.trajectory("s"))


def test_findings_are_kept_as_json_with_their_place_and_weight() -> None:
    found = [finding("missing_usage", "no counts", call="call_1"), finding("altered_tool_result", "x", tool_call="t")]
    assert from_json(to_json(found)) == found
    assert from_json(b'[{"name":"n","detail":"d","of a newer version":1},7]')[0].name == "n"
    assert from_json(b"[redacted") == from_json(b"{}") == []


def test_the_gravest_findings_come_first() -> None:
    found = [finding("missing_usage", "1"), finding("failed_call", "2"), finding("empty_reply", "3")]
    assert [each.detail for each in by_weight([*found, *found])] == ["3", "3", "2", "2", "1", "1"]
