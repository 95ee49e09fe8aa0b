"""A session on paper: everything that a person needs to see why it went as it did."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from drawbar.cli.transcript import CHARACTERS, LINES, as_json, print_transcript
from drawbar.task import Task
from drawbar.trajectory import Call, Finding, Node, Score, ToolCall, Trajectory
from drawbar.wire.message import Block, Media, Message, Reasoning, Text, ToolResult, ToolUse

TASK = Task(key="tides", prompt="Why tides?", answer="The Moon")


def said_in(*messages: tuple[Block, ...]) -> Trajectory:
    """A session of these messages, the first by the model, the others by its harness."""
    nodes, parent = {}, None
    for number, blocks in enumerate(messages):
        id = bytes([number])
        nodes[id] = node(id, parent, Message("user" if number else "assistant", blocks))
        parent = id
    return Trajectory(id="ses_3", nodes=nodes, calls=(call(0, request=parent),))


def unpadded(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def printed(trajectory: Trajectory, *, full: bool = False) -> str:
    stream = io.StringIO()
    print_transcript(trajectory, Console(file=stream, width=100), full=full)
    return stream.getvalue()


def node(id: bytes, parent: bytes | None, message: Message) -> Node:
    return Node(id, parent, 0, "chat", b"{}", message)


def call(seq: int, **changes: object) -> Call:
    given = {
        "id": f"call_{seq}", "seq": seq, "dialect": "chat", "model": "m", "upstream": "m", "request": b"u",
        "reply": None, "message": None, "status": "answered", "http_status": 200, "cause": None, "error": None,
        "finish": "stop", "streamed": False, "attempts": 1, "prompt_tokens": 10, "completion_tokens": 2,
        "cached_tokens": None,
        "reasoning_tokens": None, "cost": 0.01, "started": 1.0, "first_byte": 1.1, "ended": 1.5,
    }  # fmt: skip
    return Call(**{**given, **changes})  # type: ignore[arg-type]


TOOL_CALL = ToolCall(
    id="tc", seq=0, server="sea", tool="look", name="look", arguments={"word": "tide"}, result=None, shown=None,
    text="cut", is_error=True, status="answered", error=None, started=1.0, ended=1.25, tool_use_id="use",
    seen="truncated",
)  # fmt: skip
LONG = "\n".join(f"line {n}" for n in range(LINES + 5))
TRAJECTORY = Trajectory(
    id="ses_1",
    run="run_1",
    environment="sea",
    task=Task(key="tides", prompt="Why tides?"),
    attempt=1,
    harness="loop",
    model="m",
    status="ended",
    stop="limit_turns",
    error="The limit of 2 turns is reached.",
    started=1.0,
    ended=4.0,
    calls=(call(0, reply=b"d"), call(1, status="failed", cause="upstream_unavailable", error="HTTP 503")),
    tool_calls=(TOOL_CALL,),
    nodes={
        b"u": node(b"u", None, Message("user", (Text("Why tides? [bold]not markup[/bold]"),))),
        b"a": node(b"a", b"u", Message("assistant", (Reasoning("hm"), ToolUse("use", "look", {"word": "tide"}, "{}")))),
        b"t": node(b"t", b"a", Message("tool", (ToolResult("use", LONG),))),
        b"d": node(b"d", b"t", Message("assistant", (Text("The Moon."), Media("image", "data:...")))),
        b"x": node(b"x", b"u", Message("assistant", (Text("another try"),))),
    },
    scores=(
        Score(name="right", kind="reward", value=1.0, weight=1.0, rubric_version="v", explanation="as in the book"),
        Score(name="style", kind="metric", value=None, weight=0.0, rubric_version="v", error="it raised"),
    ),
    health=(
        *(Finding("missing_usage", f"call {n} has no token counts", "note") for n in range(5)),
        Finding("truncated_tool_result", "look was cut", "warning"),
    ),
)


def test_a_session_is_told_from_its_task_to_its_health() -> None:
    out = printed(TRAJECTORY)
    for part in (
        "ses_1", "sea · loop · m · task tides, rollout 0, attempt 2", "limit_turns in 3.0 s: 1 turn, 1 tool call",
        "20 prompt + 4 completion tokens, $0.0200", "limit_turns: The limit of 2 turns is reached.",
        "[bold]not markup[/bold]", "hm",
        '→ look(word="tide")', "sea/look  250 ms  error  the model saw it truncated", "The Moon.", "[image: data:...]",
        "1 more branch of this session's conversations",
        "model call 2 failed: upstream_unavailable: HTTP 503", "as in the book",
        "it raised", "reward 1.000", "warning  truncated_tool_result",
        "look was cut", "note  missing_usage", "… 2 more (--full)",
    ):  # fmt: skip
        assert part in out, part


def test_the_gravest_findings_come_first_and_all_of_them_are_json() -> None:
    out = printed(TRAJECTORY, full=True)
    assert out.index("truncated_tool_result") < out.index("missing_usage")
    assert out.count("has no token counts") == 5
    assert as_json(TRAJECTORY)["health"][0] == {
        "name": "truncated_tool_result", "detail": "look was cut", "severity": "warning", "call": None,
        "tool_call": None,
    }  # fmt: skip
    assert "health: good" in printed(replace(TRAJECTORY, health=()))


def test_ids_that_come_again_in_every_turn_show_each_turns_own_call() -> None:
    use = ToolUse("look#0", "look", {}, "{}")
    said = said_in((use,), (ToolResult("look#0", "one"),), (use,), (ToolResult("look#0", "two"),))
    calls = tuple(replace(TOOL_CALL, tool_use_id="look#0", server=server) for server in ("first", "second"))
    out = printed(replace(said, tool_calls=calls))
    assert out.index("first/look") < out.index("one") < out.index("second/look") < out.index("two")


def test_long_texts_are_shortened_unless_all_is_asked_for() -> None:
    assert "… 5 more lines (--full)" in printed(TRAJECTORY)
    assert f"line {LINES + 4}" not in printed(TRAJECTORY)
    assert f"line {LINES + 4}" in printed(TRAJECTORY, full=True)


def test_a_long_line_is_shortened_too_and_so_are_a_tools_arguments() -> None:
    long = "x" * (CHARACTERS + 7)
    said = said_in((Text(long),), (ToolUse("use", "write", {"text": long}, "{}"),))
    assert "… 7 more characters (--full)" in printed(said)
    assert "… 23 more characters (--full)" in printed(said)
    assert "more characters" not in printed(said, full=True)


def test_results_of_calls_side_by_side_are_told_apart_by_their_arguments() -> None:
    uses = tuple(ToolUse(f"use{n}", "look", {"word": f"w{n}"}, "{}") for n in range(2))
    out = printed(said_in(uses, (ToolResult("use1", "second"), ToolResult("use0", "first"), Text("and words"))))
    assert 'tool  look  not called through the gateway  word="w1"\n  second' in unpadded(out)
    assert out.index("second") < out.index('  word="w0"\n') < out.index("first") < out.index("and words")


def test_what_the_task_wants_and_what_a_program_wrote_is_shown() -> None:
    out = unpadded(printed(Trajectory(id="s", task=TASK, metadata={"output": {"stderr": "oh no", "stdout": ""}})))
    assert "stderr of the harness\n  oh no\n" in out
    assert "stdout" not in out
    assert "reference answer\n  The Moon\n" in out


def test_a_session_without_a_word_is_shown_too() -> None:
    assert "still open: 0 turns" in printed(Trajectory(id="ses_2"))


def agents_at_work() -> Trajectory:
    """A title, a main conversation that starts a sub-agent, the sub-agent, and the main one's end."""
    start = Message("assistant", (ToolUse("use", "task", {"prompt": "Why do they come twice?"}, "{}"),))
    sub = Message("assistant", (Text("Two bulges."),))
    return Trajectory(
        id="ses_2",
        origin="identity",
        nodes={
            b"0": node(b"0", None, Message("user", (Text("Give it a title."),))),
            b"1": node(b"1", b"0", Message("assistant", (Text("On tides"),))),
            b"2": node(b"2", None, Message("user", (Text("Why tides?"),))),
            b"3": node(b"3", b"2", start),
            b"4": node(b"4", None, Message("user", (Text("Why do they come twice?"),))),
            b"5": node(b"5", b"4", sub),
            b"6": node(b"6", b"3", Message("tool", (ToolResult("use", "Two bulges, I hear."),))),
            b"7": node(b"7", b"6", Message("assistant", (Text("The Moon."),))),
        },
        calls=(
            call(0, request=b"0", reply=b"1", message=Message("assistant", (Text("On tides"),))),
            call(1, request=b"2", reply=b"3", message=start, tools=b"[]"),
            call(2, request=b"4", reply=b"5", message=sub, tools=b"[]"),
            call(3, request=b"6", reply=b"7", tools=b"[]", follows="call_1", edge="exact"),
        ),
    )


def test_the_conversations_of_a_session_are_named_each_with_what_started_it() -> None:
    out = unpadded(printed(agents_at_work()))
    assert " ".join(out[out.index("threads") : out.index("user\n")].split()) == (
        "threads main 2 calls: 2, 4 side call 1 1 call: 1 "
        'sub-agent 1 1 call: 3 for main, started in call 2 by task {"prompt":"Why do they come twice?"}'
    )
    assert "its agent names the session" in out
    assert "2 more branches of this session's conversations not shown (--full)" in out
    assert "Two bulges.\n" not in out
    assert "threads" not in printed(said_in((Text("hello"),)))


def test_all_that_was_said_in_other_conversations_is_shown_when_asked_for() -> None:
    out = unpadded(printed(agents_at_work(), full=True))
    aside, sub = out.index("─── side call 1, call 1"), out.index("─── sub-agent 1, call 3")
    assert out.index("The Moon.") < aside < out.index("On tides") < sub < out.index("Two bulges.\n")
    assert [out.count(text) for text in ("Why tides?", "The Moon.", "Give it a title.", "not shown")] == [1, 1, 1, 0]


def test_the_conversations_are_json_by_the_ids_of_their_calls() -> None:
    told = as_json(agents_at_work())
    replies = {call["id"]: call["reply"] for call in told["calls"]}
    assert [branch[-1] for branch in told["branch_nodes"]] == [replies[id] for id in ("call_0", "call_2", "call_3")]
    assert told["threads"] == [
        {"name": "main", "kind": "main", "parent": None, "tool_use_id": None, "calls": ["call_1", "call_3"]},
        {"name": "side call 1", "kind": "side", "parent": None, "tool_use_id": None, "calls": ["call_0"]},
        {"name": "sub-agent 1", "kind": "sub_agent", "parent": "main", "tool_use_id": "use", "calls": ["call_2"]},
    ]


def test_what_a_client_called_its_live_session_is_shown() -> None:
    labels = {"user": "kim", "tags": ["beta", "shop"], "release": "r1", "key": "alpha", "parts": {"user": {}}}
    live = replace(said_in((Text("hello"),)), origin="content", metadata=labels)
    assert "\nuser kim · tags beta, shop · release r1 · key alpha\n" in unpadded(printed(live))
    assert "user kim" not in printed(replace(live, run="run_1"))
