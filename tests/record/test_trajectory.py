"""Trajectories: a recorded session read back, both sides of its tool calls, and its health."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from drawbar.ids import digest, new_id
from drawbar.record.graph import SessionGraph
from drawbar.record.health import FINDINGS
from drawbar.record.rows import CallRow, NodeRow, Row, ScoreRow, SessionRow, ToolCallRow
from drawbar.record.store import Store
from drawbar.task import Limits, Task
from drawbar.trajectory import Score, Trajectory
from drawbar.wire import CHAT

MakeCall = Callable[..., CallRow]
MakeToolCall = Callable[..., ToolCallRow]


def _user(words: str) -> dict[str, Any]:
    return {"role": "user", "content": words}


def _says(words: str | None, *uses: tuple[str, str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    calls = [
        {"id": id, "type": "function", "function": {"name": name, "arguments": orjson.dumps(arguments).decode()}}
        for id, name, arguments in uses
    ]
    return {"role": "assistant", "content": words, **({"tool_calls": calls} if calls else {}), **more}


def _result(id: str, words: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": words}


def _gave(words: str, **more: Any) -> bytes:
    return orjson.dumps({"content": [{"type": "text", "text": words}], **more})


class Recording:
    """Builds up one session's rows as the gateway would."""

    def __init__(self, make_call: MakeCall, make_tool_call: MakeToolCall, id: str = "") -> None:
        self.id = id or new_id("ses")
        self.rows: list[Row] = [SessionRow(id=self.id, started=1.0)]
        self._graph = SessionGraph()
        self._make_call = make_call
        self._make_tool_call = make_tool_call
        self._calls = 0
        self._tool_calls = 0

    def call(self, messages: list[dict[str, Any]], reply: dict[str, Any] | None, **fields: Any) -> None:
        leaf, nodes = self._graph.request(CHAT, [orjson.dumps(m) for m in messages])
        self.rows += nodes
        node = body = None
        if reply is not None:
            node, replies, body = self._graph.reply(CHAT, leaf, orjson.dumps(reply))
            self.rows += replies
        ended = {"status": "answered", "prompt_tokens": 1, "completion_tokens": 1, "ended": 10.2 + self._calls}
        self.rows.append(
            self._make_call(self.id, self._calls, request=leaf, reply=node, reply_body=body, **{**ended, **fields})
        )
        self._calls += 1

    def tool_call(self, arguments: dict[str, Any], result: bytes | None, **fields: Any) -> None:
        row = self._make_tool_call(
            self.id, self._tool_calls, arguments=orjson.dumps(arguments), result=result, **fields
        )
        self.rows.append(row)
        self._tool_calls += 1

    def read(self, store: Store) -> Trajectory:
        store.write(self.rows)
        return store.trajectory(self.id)


@pytest.fixture
def recording(make_call: MakeCall, make_tool_call: MakeToolCall) -> Recording:
    return Recording(make_call, make_tool_call)


def _names(trajectory: Trajectory) -> list[str]:
    names = [finding.name for finding in trajectory.health]
    assert set(names) <= set(FINDINGS), "a finding that no documentation names"
    return names


QUESTION = _user("Who wrote it?")
ASKS = _says(None, ("call_1", "wiki_search", {"query": "it"}))
ANSWER = _says("Ada wrote it.")


def _with_tool(recording: Recording, seen: str | None, said: bytes, **fields: Any) -> None:
    """A question, one tool call, and the answer; `seen` is what the model saw of the result."""
    recording.call([QUESTION], ASKS)
    recording.tool_call({"query": "it"}, said, **fields)
    results = [] if seen is None else [_result("call_1", seen)]
    recording.call([QUESTION, ASKS, *results, *([] if results else [_user("go on")])], ANSWER)


def test_a_healthy_session_reads_as_it_went(store: Store, recording: Recording) -> None:
    task = Task(prompt="Who wrote it?", answer="Ada", key="t", limits=Limits(turns=3))
    recording.rows[0] = SessionRow(
        id=recording.id,
        run="r",
        environment="wiki",
        environment_version="1",
        task=task.to_json(),
        rollout=1,
        attempt=2,
        harness="loop",
        model="m",
        status="ended",
        stop="completed",
        started=1.0,
        ended=2.0,
        metadata=b'{"who":"me"}',
    )
    _with_tool(recording, "Ada, 1843", _gave("Ada, 1843"))
    recording.rows.append(
        ScoreRow(
            id="x", session=recording.id, name="correct", kind="reward", value=1.0, weight=1.0, rubric_version="v",
            source="rollout", usage=b'{"cost":0.5}', created=3.0,
        )
    )  # fmt: skip
    found = recording.read(store)
    assert found.task == task
    assert (found.environment, found.harness, found.rollout, found.attempt) == ("wiki", "loop", 1, 2)
    assert (found.stop, found.ended, found.metadata) == ("completed", 2.0, {"who": "me"})
    assert [m.role for m in found.messages] == ["user", "assistant", "tool", "assistant"]
    assert found.completion == "Ada wrote it."
    assert found.turns == 2
    assert [node.depth for node in found.nodes.values()] == [0, 1, 2, 3]
    [tool_call] = found.tool_calls
    assert (tool_call.tool_use_id, tool_call.seen, tool_call.text) == ("call_1", "same", "Ada, 1843")
    assert found.reward == 1.0
    assert found.scores[0].usage == {"cost": 0.5}
    assert found.health == []


def test_a_session_of_which_only_the_start_is_known_can_be_read(store: Store, recording: Recording) -> None:
    found = recording.read(store)
    assert (found.calls, found.tool_calls, found.nodes, found.health) == ([], [], {}, [])


def test_sixty_messages_come_back_in_order(store: Store, recording: Recording) -> None:
    said: list[dict[str, Any]] = []
    for n in range(30):
        said.append(_user(f"question {n}"))
        recording.call(list(said), _says(f"answer {n}"))
        said.append(_says(f"answer {n}"))
    found = recording.read(store)
    assert [m.text for m in found.messages] == [m["content"] for m in said]
    assert len(list(found.branches)) == 1


@pytest.mark.parametrize("together", [True, False], ids=["in one transaction", "one after the other"])
def test_sessions_that_reason_differently_before_the_same_words_keep_their_own_thoughts(
    store: Store, make_call: MakeCall, make_tool_call: MakeToolCall, together: bool
) -> None:
    thoughts = ["first this", "rather that", "first this", "or so"]
    recordings = [Recording(make_call, make_tool_call) for _ in thoughts]
    for recording, thought in zip(recordings, thoughts, strict=True):
        recording.call([QUESTION], _says("Ada", reasoning_content=thought))
    if together:
        store.write([row for recording in recordings for row in recording.rows])
    else:
        for recording in recordings:
            store.write(recording.rows)
    found = [store.trajectory(recording.id) for recording in recordings]
    replies = [trajectory.calls[0] for trajectory in found]
    assert len({reply.reply for reply in replies}) == 1
    assert [reply.message.reasoning for reply in replies if reply.message] == thoughts
    assert [trajectory.messages[-1].reasoning for trajectory in found] == thoughts


def test_a_reply_is_kept_once_where_the_node_holds_it(
    store: Store, recording: Recording, count: Callable[[Store, str], int]
) -> None:
    _with_tool(recording, "x", _gave("x"))
    recording.read(store)
    assert count(store, "blob") == 0


@pytest.mark.parametrize(
    ("said", "shown", "seen"),
    [
        (_gave("Ada, 1843"), "Ada, 1843", "same"),
        (_gave("Ada, 1843"), "  Ada, 1843\n", "same"),
        (_gave('{"a": 1}', structuredContent={"a": 1}), '{"a":1}', "same"),
        (_gave("Ada, 1843"), '{"result":"Ada, 1843"}', "wrapped"),
        (_gave('say "Ä"\nnow'), orjson.dumps({"result": 'say "Ä"\nnow'}).decode(), "wrapped"),
        (_gave("line\nline"), "[TextContent(text='line\\nline')]", "wrapped"),
        (_gave("Ada, 1843"), "Wall time: 0.01 seconds\nOutput:\nAda, 1843", "wrapped"),
        (_gave("words " * 1000), "words " * 100 + "[900 words left out]", "truncated"),
        (_gave(f"{'a' * 500}{'b' * 500}{'c' * 500}"), f"{'a' * 500}\n...\n{'c' * 500}", "truncated"),
        (_gave("Ada, 1843"), "Grace, 1952", "altered"),
        (_gave("the answer is forty-two, said the oracle"), "the answer is forty-two, as I say. " * 9, "altered"),
        (_gave("Ada, 1843"), None, "missing"),
    ],
)  # fmt: skip
def test_what_the_model_saw_is_held_against_what_the_server_said(
    sqlite_store: Store, recording: Recording, said: bytes, shown: str | None, seen: str
) -> None:
    _with_tool(recording, shown, said)
    found = recording.read(sqlite_store)
    assert found.tool_calls[0].seen == seen
    suspicious = {"truncated", "altered", "missing"}
    assert _names(found) == ([f"{seen}_tool_result"] if seen in suspicious else [])


def test_the_result_is_compared_as_the_server_gave_it_not_as_we_handed_it_on(
    sqlite_store: Store, recording: Recording
) -> None:
    _with_tool(recording, "Ada", _gave("Ada", structuredContent={"a": 1}), shown=_gave("Ada"))
    [tool_call] = recording.read(sqlite_store).tool_calls
    assert tool_call.seen == "same"
    assert tool_call.result == {"content": [{"type": "text", "text": "Ada"}], "structuredContent": {"a": 1}}
    assert tool_call.shown == {"content": [{"type": "text", "text": "Ada"}]}


def test_a_result_that_the_model_was_never_asked_about_again_is_not_missing(
    sqlite_store: Store, recording: Recording
) -> None:
    recording.call([QUESTION], ASKS)
    recording.tool_call({"query": "it"}, _gave("Ada"))
    found = recording.read(sqlite_store)
    assert (found.tool_calls[0].tool_use_id, found.tool_calls[0].seen) == ("call_1", None)
    assert found.health == []


@pytest.mark.parametrize("key", ["claudecode/toolUseId", "callId"])
def test_calls_are_joined_by_the_id_that_the_harness_sends(sqlite_store: Store, recording: Recording, key: str) -> None:
    asks = _says(None, ("one", "mcp__wiki__search", {"q": 1}), ("two", "mcp__wiki__search", {"q": 1}))
    recording.call([QUESTION], asks)
    recording.tool_call({"q": 1}, _gave("for two"), meta=orjson.dumps({key: "two"}))
    recording.tool_call({"q": 1}, _gave("for one"), meta=orjson.dumps({key: "one"}))
    recording.call([QUESTION, asks, _result("one", "for one"), _result("two", "for two")], ANSWER)
    found = recording.read(sqlite_store)
    assert [(c.tool_use_id, c.seen) for c in found.tool_calls] == [("two", "same"), ("one", "same")]


@pytest.mark.parametrize(
    "used", ["search", "wiki_search", "mcp__wiki__search", "wiki-search", "mcp_wiki_search", "wiki.search"]
)
def test_calls_are_joined_by_name_arguments_and_order(sqlite_store: Store, recording: Recording, used: str) -> None:
    asks = _says(None, ("a", used, {"q": 1, "n": 2}), ("b", used, {"q": 2}), ("c", used, {"n": 2, "q": 1}))
    recording.call([QUESTION], asks)
    for arguments, words in (({"q": 2}, "second"), ({"n": 2, "q": 1}, "first"), ({"q": 1, "n": 2}, "third")):
        recording.tool_call(arguments, _gave(words))
    results = [_result("a", "first"), _result("b", "second"), _result("c", "third")]
    recording.call([QUESTION, asks, *results], ANSWER)
    found = recording.read(sqlite_store)
    assert [c.tool_use_id for c in found.tool_calls] == ["b", "a", "c"]
    assert {c.seen for c in found.tool_calls} == {"same"}


def test_ids_that_a_provider_gives_anew_in_every_turn_do_not_mix_turns_up(
    sqlite_store: Store, recording: Recording
) -> None:
    said = [QUESTION]
    for n in range(3):
        asks = _says(None, ("call_0", "search", {"q": n}))
        recording.call(list(said), asks)
        recording.tool_call({"q": n}, _gave(f"result {n}"))
        said += [asks, _result("call_0", f"result {n}")]
    recording.call(said, ANSWER)
    found = recording.read(sqlite_store)
    assert [c.seen for c in found.tool_calls] == ["same"] * 3
    assert found.health == []


def test_a_reply_that_its_harness_sends_back_in_other_words_still_leads_to_its_result(
    sqlite_store: Store, recording: Recording
) -> None:
    asks = _says("I shall look.", ("call_1", "search", {"q": 1}))
    recording.call([QUESTION], asks)
    recording.tool_call({"q": 1}, _gave("Ada"))
    without_words = _says(None, ("call_1", "search", {"q": 1}))
    recording.call([QUESTION, without_words, _result("call_1", "Ada")], ANSWER)
    found = recording.read(sqlite_store)
    assert [c.seen for c in found.tool_calls] == ["same"]
    assert found.health == []


def test_results_that_no_server_gave_are_found(sqlite_store: Store, recording: Recording) -> None:
    asks = _says(None, ("a", "search", {"q": 1}), ("b", "search", {"q": 2}), ("c", "harness_own", {}))
    recording.call([QUESTION], asks)
    recording.tool_call({"q": 1}, _gave("real"))
    results = [_result("a", "real"), _result("b", "invented"), _result("c", "its own"), _result("d", "from nowhere")]
    recording.call([QUESTION, asks, *results], ANSWER)
    found = recording.read(sqlite_store)
    assert _names(found) == ["unjoined_tool_result", "unjoined_tool_result"]
    assert {"'d'" in f.detail or "(b)" in f.detail for f in found.health} == {True}


def test_a_complaint_about_arguments_that_cannot_be_read_is_no_invention(
    sqlite_store: Store, recording: Recording
) -> None:
    asks = _says(None, ("a", "search", {"q": 1}), ("b", "search", {}))
    asks["tool_calls"][1]["function"]["arguments"] = "{broken"
    recording.call([QUESTION], asks)
    recording.tool_call({"q": 1}, _gave("real"))
    recording.call([QUESTION, asks, _result("a", "real"), _result("b", "not JSON")], ANSWER)
    assert _names(recording.read(sqlite_store)) == []


def test_the_history_that_a_session_was_opened_with_is_not_held_against_it(
    sqlite_store: Store, recording: Recording
) -> None:
    before = [_user("earlier"), _says(None, ("old", "search", {"q": 0})), _result("old", "of yesterday"), _says("so")]
    asks = _says(None, ("new", "search", {"q": 1}))
    recording.call([*before, QUESTION], asks)
    recording.tool_call({"q": 1}, _gave("now"))
    recording.call([*before, QUESTION, asks, _result("new", "now")], ANSWER)
    found = recording.read(sqlite_store)
    assert [c.tool_use_id for c in found.tool_calls] == ["new"]
    assert found.health == []


def test_a_call_that_no_model_asked_for_is_found(sqlite_store: Store, recording: Recording) -> None:
    recording.call([QUESTION], ANSWER)
    recording.tool_call({"q": 1}, _gave("real"))
    assert _names(recording.read(sqlite_store)) == ["unjoined_tool_call"]


def test_calls_without_an_end_show_as_unfinished(store: Store, recording: Recording) -> None:
    recording.call([QUESTION], None, status="started", ended=None, prompt_tokens=None)
    recording.tool_call({}, None, status="started", ended=None)
    found = recording.read(store)
    assert [c.status for c in found.calls] == ["started"]
    assert [m.text for m in found.messages] == ["Who wrote it?"]
    assert _names(found)[:2] == ["unfinished_call", "unfinished_tool_call"]


@pytest.mark.parametrize(
    ("reply", "fields", "finding"),
    [
        (_says(""), {}, "empty_reply"),
        (_says("  \n"), {}, "empty_reply"),
        (None, {}, "missing_reply"),
        (ANSWER, {"finish": "length"}, "truncated_reply"),
        (ANSWER, {"prompt_tokens": None}, "missing_usage"),
        (None, {"status": "failed", "cause": "upstream_unavailable", "error": "502"}, "failed_call"),
        (None, {"status": "abandoned", "cause": "client_left"}, "failed_call"),
    ],
)
def test_what_is_wrong_with_a_call_is_a_finding(
    sqlite_store: Store, recording: Recording, reply: dict[str, Any] | None, fields: dict[str, Any], finding: str
) -> None:
    recording.call([QUESTION], reply, **fields)
    assert _names(recording.read(sqlite_store)) == [finding]


def test_a_tool_call_that_failed_is_a_finding(sqlite_store: Store, recording: Recording) -> None:
    recording.call([QUESTION], ASKS)
    recording.tool_call({"query": "it"}, None, status="failed", error="the server died")
    [finding] = recording.read(sqlite_store).health
    assert finding.name == "failed_tool_call"
    assert "the server died" in finding.detail


def test_a_second_conversation_in_a_session_is_a_finding(sqlite_store: Store, recording: Recording) -> None:
    recording.call([QUESTION], ANSWER)
    recording.call([_user("Summarise.")], ANSWER)
    found = recording.read(sqlite_store)
    assert _names(found) == ["several_roots"]
    assert [[n.message.text for n in b] for b in found.branches] == [
        ["Who wrote it?", "Ada wrote it."],
        ["Summarise.", "Ada wrote it."],
    ]


def test_a_message_that_cannot_be_read_any_more_is_shown_as_it_is(sqlite_store: Store, make_call: MakeCall) -> None:
    bodies = {b"one": ("chat", b"[redacted]"), b"two": ("gone", b'{"role":"user","content":"a"}')}
    nodes = [NodeRow(id=id, parent=None, depth=0, dialect=d, body=body) for id, (d, body) in bodies.items()]
    calls = [make_call("s", n, request=id, status="failed", cause="cancelled") for n, id in enumerate(bodies)]
    sqlite_store.write([SessionRow(id="s", started=1.0), *nodes, *calls])
    found = sqlite_store.trajectory("s")
    assert _names(found).count("unreadable_message") == 2
    assert [node.body for node in found.nodes.values()] == [body for _, body in bodies.values()]


def test_a_message_that_the_store_lost_is_a_finding(sqlite_store: Store, make_call: MakeCall) -> None:
    lost = digest(b"lost")
    sqlite_store.write([SessionRow(id="s", started=1.0), make_call("s", request=lost, status="failed")])
    assert "missing_message" in _names(sqlite_store.trajectory("s"))


def test_what_people_say_of_a_session_changes_no_reward() -> None:
    own = Score(name="correct", kind="reward", value=1.0, weight=1.0, rubric_version="v", created=1.0)
    said = Score(
        name="liked", kind="feedback", value=0.0, weight=0.0, rubric_version="", source="feedback", created=2.0
    )
    found = Trajectory(id="ses_1", scores=(own, said))
    assert (found.reward, found.newest_scores) == (1.0, [own])
