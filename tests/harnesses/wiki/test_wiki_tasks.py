"""Every harness plays three tasks of the wiki, and its record is held against what both sides saw.

The rows of the table in `harnesses/README.md` say what these runs showed. With `DRAWBAR_WRITE_DOCS=1` they are written;
otherwise a row that says something else than its run fails the test, its seconds aside.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from drawbar.rollout.harnesses import harness_factory, installed_harnesses, load_harness

ROOT = Path(__file__).parents[3]
README = ROOT / "harnesses" / "README.md"
OWN_AGENT = ROOT / "examples" / "own_agent.py"
OWN = {"loop": {}, "chat": {}, "command": {"command": f"{sys.executable} {OWN_AGENT}"}}
"""Harnesses that need no install, and how they are set up here."""
QUICK = {"loop", "chat"}
COLUMNS = (
    "Harness", "Version", "Dialect", "MCP", "`search_pages` is shown as", "Model calls", "Tool calls", "Joined by",
    "Results as the model saw them", "Replies sent back", "Findings", "Seconds a task",
)  # fmt: skip


def _calls(turn: int, *wanted: tuple[str, dict[str, Any]], text: str | None = None) -> dict[str, Any]:
    """An assistant message that calls these tools, under ids of its own."""
    uses = [
        {"id": f"use_{turn}_{n}", "type": "function", "function": {"name": tool, "arguments": json.dumps(arguments)}}
        for n, (tool, arguments) in enumerate(wanted)
    ]
    return {"role": "assistant", "content": text, "tool_calls": uses}


def _read(*sections: str) -> list[tuple[str, dict[str, Any]]]:
    return [("read_section", {"section_id": section}) for section in sections]


SCRIPTS: dict[str, list[dict[str, Any]]] = {
    "sci-density-dispute-birthplace": [
        _calls(1, ("search_pages", {"query": "gallium density Gallia", "limit": 3}), text="Let me search first."),
        _calls(
            2,
            ("view_sections", {"page_id": "gallium"}),
            ("view_sections", {"page_id": "dmitri-mendeleev"}),
            text="Two pages may know.",
        ),
        _calls(3, *_read("dmitri-mendeleev:introduction", "gallium:prediction-and-discovery")),
        {"role": "assistant", "content": "Answer: Tobolsk\nSources: gallium, dmitri-mendeleev"},
    ],
    "sci-principia-printing": [
        _calls(1, ("search_pages", {"query": "Newton Principia printing paid"})),
        _calls(2, ("view_sections", {"page_id": "isac-newton"})),
        _calls(3, ("view_sections", {"page_id": "halleys-comet"}), text="That was “mis-spelt” – once more."),
        _calls(4, *_read("halleys-comet:introduction")),
        {"role": "assistant", "content": "Answer: 1742\nSources: isaac-newton, halleys-comet"},
    ],
    "sci-flyby-moon-discoverer": [
        _calls(
            1,
            ("search_pages", {"query": "Voyager 1 Saturn moon", "limit": 2}),
            ("view_sections", {"page_id": "titan"}),
        ),
        _calls(2, *_read("titan:introduction", "voyager-program:introduction", "titan:nowhere")),
        {"role": "assistant", "content": "Answer: Christiaan Huygens\nSources: voyager-program, titan"},
    ],
}
"""Words beside a call, calls side by side of one tool and of two, and errors that are results."""


def played() -> Iterator[Any]:
    """Every harness that is here, in every dialect that it can be told to speak."""
    for name, point in installed_harnesses().items():
        if not point.value.startswith("drawbar_harnesses."):
            continue
        factory = harness_factory(name)
        marks = [] if name in QUICK else [pytest.mark.slow]
        if name not in OWN:
            reason = f"not installed: drawbar harness install {name}"
            marks.append(pytest.mark.skipif(not factory.install.installed, reason=reason))
        for dialect in getattr(factory, "dialects", (getattr(factory, "dialect", "chat"),)):
            yield pytest.param(name, dialect, marks=marks, id=f"{name}-{dialect}")


@pytest.mark.parametrize(("name", "dialect"), list(played()))
async def test_a_harness_is_recorded_as_the_model_and_the_tools_saw_it(name: str, dialect: str, stage: Any) -> None:
    options = {"dialect": dialect} if hasattr(harness_factory(name), "dialects") else {}
    harness = load_harness(name, {**OWN.get(name, {}), **options})
    tasks = {task.key: task for task in stage.environment.iter_tasks()}
    plays = []
    for key, script in SCRIPTS.items():
        lines = script[-1:] if name == "chat" else script  # it asks once, without tools
        plays.append(await stage.run(harness, tasks[key], lines))
        assert_same_exchanges(plays[-1], lines, dialect)
        assert_same_tool_calls(plays[-1])
        assert_nothing_invented(plays[-1])
        assert await stage.reward(plays[-1]) == 1.0
    assert_documented(row(name, dialect, plays))


def assert_same_exchanges(play: Any, lines: Sequence[Any], dialect: str) -> None:
    """Each model call in its order, with what the model said in it."""
    assert (play.outcome.stop, play.outcome.error) == ("completed", None), play.outcome
    recorded = play.trajectory
    assert {call.dialect for call in recorded.calls} == {dialect}
    assert recorded.turns == len(recorded.calls) == len(play.exchanges) == len(lines)
    for call, exchange in zip(recorded.calls, play.exchanges, strict=True):
        assert call.message.text.strip() == (exchange.said["content"] or "")
        assert [(use.id, use.name, use.arguments) for use in call.message.tool_uses] == uses(exchange.said)
    for n, (before, after) in enumerate(pairwise(recorded.calls)):
        assert after.follows == before.id
        assert after.edge == ("exact" if is_sent_back(play, n) else "rewritten")


def assert_same_tool_calls(play: Any) -> None:
    """Each tool call once and in the turn that asked for it, joined to what asked for it; its result seen whole."""
    recorded = play.trajectory.tool_calls
    by_tools = [(call.tool, call.arguments, call.failed) for call in play.served]
    assert in_turns(play, [(call.tool, call.arguments, call.is_error) for call in recorded]) == in_turns(play, by_tools)
    asked = {of(call): call for exchange in play.exchanges for call in uses(exchange.said)}
    assert len(recorded) == len(asked)
    for call in recorded:
        [served] = [each for each in play.served if each.arguments == call.arguments]
        id, name, _ = next(use for use in asked.values() if use[2] == call.arguments)
        assert call.tool_use_id == id
        assert name.endswith(call.tool)
        assert served.text in call.text
        assert served.failed or served.text == call.text
        assert call.seen == ("same" if call.text.strip() in results(play, id) else "wrapped")
        assert any(form in text for text in results(play, id) for form in forms(served.text))


def assert_nothing_invented(play: Any) -> None:
    """Health says what the model's own log says, and no more."""
    rewritten = sum(not is_sent_back(play, n) for n in range(len(play.exchanges) - 1))
    assert [finding.name for finding in play.trajectory.health] == ["rewritten_history"] * rewritten


def uses(message: Any) -> list[tuple[str, str, Any]]:
    """A message's tool calls: id, name, arguments."""
    return [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls") or ()
    ]


def of(use: tuple[str, str, Any]) -> str:
    return json.dumps(use[2], sort_keys=True)


def in_turns(play: Any, calls: Sequence[tuple[str, Any, bool]]) -> list[list[str]]:
    """Tool calls in the order of the turns that asked for them; those of one turn may run in any order."""
    left = list(calls)
    turns = []
    for exchange in play.exchanges:
        size = len(uses(exchange.said))
        turns.append(sorted(map(str, left[:size])))
        del left[:size]
    assert not left
    return turns


def is_sent_back(play: Any, turn: int) -> bool:
    """Whether the next request holds what the model said in this turn, word for word."""
    said = play.exchanges[turn].said
    replies = [message for message in play.exchanges[turn + 1].asked if message["role"] == "assistant"]
    if len(replies) <= turn:
        return False
    return (words(replies[turn]), uses(replies[turn])) == (said["content"] or "", uses(said))


def results(play: Any, id: str) -> list[str]:
    """What the model saw of a tool call's result: under its id, or, where it has none, all that others said."""
    asked = play.exchanges[-1].asked
    named = [words(message) for message in asked if message.get("tool_call_id") == id]
    return named or [words(message) for message in asked if message["role"] == "user"]


def words(message: Any) -> str:
    content = message.get("content") or ""
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return text.strip()


def forms(text: str) -> Iterator[str]:
    """A text as it is, and as it stands inside of JSON and of a Python literal."""
    yield text
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]


def row(name: str, dialect: str, plays: Sequence[Any]) -> list[str]:
    """What three plays showed of a harness."""
    calls = [call for play in plays for call in play.trajectory.tool_calls]
    turns = [(play, n) for play in plays for n in range(len(play.exchanges) - 1)]
    kept = sum(is_sent_back(play, n) for play, n in turns)
    shown = sorted({tool for play in plays for tool in play.exchanges[0].tools if tool.endswith("search_pages")})
    findings = Counter(finding.name for play in plays for finding in play.trajectory.health)
    install = getattr(harness_factory(name), "install", None)
    return [
        f"`{name}`",
        "drawbar's own" if install is None else install.version,
        dialect,
        ", ".join(sorted(set().union(*(play.revisions for play in plays)))) or "-",
        ", ".join(f"`{tool}`" for tool in shown) or "-",
        str(sum(play.trajectory.turns for play in plays)),
        str(len(calls)),
        ", ".join(sorted({"id" if call.tool_use_id in call.meta.values() else "content" for call in calls})) or "-",
        _counted(Counter("in the user's words" if _in_words(plays, call) else call.seen for call in calls)),
        _sent_back(kept, len(turns)),
        _counted(findings) if findings else "none",
        f"{max(play.seconds for play in plays):.1f}",
    ]


def _sent_back(kept: int, turns: int) -> str:
    if not turns:
        return "-"
    return "as they were" if kept == turns else f"{turns - kept} of {turns} in other words"


def _in_words(plays: Sequence[Any], call: Any) -> bool:
    [play] = [play for play in plays if call in play.trajectory.tool_calls]
    return not any(message.get("tool_call_id") == call.tool_use_id for message in play.exchanges[-1].asked)


def _counted(counts: Counter[str]) -> str:
    if len(counts) == 1 and set(counts) <= {"same", "wrapped", "in the user's words"}:
        return next(iter(counts))
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "-"


def assert_documented(cells: list[str]) -> None:
    """The table says so; or, when it is being written, it will."""
    text = README.read_text(encoding="utf-8")
    rule = f"|{' --- |' * len(COLUMNS)}\n"
    head, _, table = text.partition(rule)
    rows, _, rest = table.partition("\n\n")
    lines = [line for line in rows.splitlines() if line]
    mine = [line for line in lines if _cells(line)[0] == cells[0] and _cells(line)[2] == cells[2]]
    if os.environ.get("DRAWBAR_WRITE_DOCS"):
        others = [line for line in lines if line not in mine]
        made = sorted([*others, f"| {' | '.join(cells)} |"], key=lambda line: (_rank(line), _cells(line)[2]))
        README.write_text(head + rule + "\n".join(made) + "\n\n" + rest, encoding="utf-8")
    else:
        assert [_cells(line)[:-1] for line in mine] == [cells[:-1]], "run it with DRAWBAR_WRITE_DOCS=1"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _rank(line: str) -> int:
    return list(installed_harnesses()).index(_cells(line)[0].strip("`"))


def test_the_table_has_a_row_for_every_harness_and_dialect() -> None:
    table = README.read_text(encoding="utf-8").partition("| --- |")[2]
    rows = {(_cells(line)[0], _cells(line)[2]) for line in table.splitlines() if line.startswith("| `")}
    assert rows == {(f"`{param.values[0]}`", param.values[1]) for param in played()}
