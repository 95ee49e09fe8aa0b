"""A session as a person likes to read it: who said what, which tools were called with what, scores, health, timing."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from drawbar.cli.drift_text import session_lines
from drawbar.cli.output import counted
from drawbar.cli.transcript_threads import other_stretches, thread_table
from drawbar.proxy.trajectory_json import thread_to_json
from drawbar.record.findings import FINDINGS, by_weight
from drawbar.trajectory import Finding, ToolCall, Trajectory
from drawbar.user_part import UserPart, heard
from drawbar.wire.dialect import BadBody
from drawbar.wire.message import Media, Message, Other, ToolResult, ToolUse
from drawbar.wire.tolerant import dump, load_whole

_WEIGHTS = {"defect": "red", "warning": "yellow", "note": "dim"}
_STYLES = {"system": "dim", "user": "bold green", "assistant": "bold cyan", "tool": "bold magenta"}
_FOUND = {
    "identity": "live: its agent names the session in its requests",
    "content": "live: its agent names no session; its requests were taken together by what they say",
}
LINES = 12
"""Of a long text, unless all of it is asked for."""
CHARACTERS = 1500
"""The same, of one that has long lines."""
FINDINGS_SHOWN = 3
"""Of many findings of one name, unless all are asked for."""


def print_transcript(trajectory: Trajectory, console: Console, *, full: bool) -> None:
    """Write the session. `full`: long texts are not shortened."""
    for part in _Transcript(trajectory, full=full).parts():
        console.print(part, highlight=False, soft_wrap=False)


class _Transcript:
    """One session, part by part."""

    def __init__(self, trajectory: Trajectory, *, full: bool) -> None:
        self._trajectory = trajectory
        self._full = full
        self._calls: dict[str, deque[ToolCall]] = defaultdict(deque)
        for call in trajectory.tool_calls:
            if call.tool_use_id:
                self._calls[call.tool_use_id].append(call)
        self._uses: dict[str, ToolUse] = {}
        self._side_by_side: set[str] = set()
        self._user = UserPart.of(trajectory.metadata)
        self._played = () if self._user is None else heard(self._user, trajectory.messages)
        told = (node.message for node in trajectory.nodes.values()) if full else iter(trajectory.messages)
        for message in told:
            uses = {block.id: block for block in message.blocks if isinstance(block, ToolUse)}
            self._uses |= uses
            self._side_by_side |= uses.keys() if len(uses) > 1 else set()

    def parts(self) -> Iterator[RenderableType]:
        yield from _head(self._trajectory)
        yield from thread_table(self._trajectory)
        for message in self._trajectory.messages:
            yield from self._message(message)
        yield from self._others()
        yield from self._output()
        yield from _failures(self._trajectory)
        if self._user is not None:
            yield Text(f"\n{self._user.summary}", style="red" if self._user.fault else "dim")
        yield from self._scores()
        yield from session_lines(self._trajectory.metadata)
        yield from self._health()

    def _others(self) -> Iterator[RenderableType]:
        """What else was said: in other conversations, and in this one before its history was written anew."""
        others = other_stretches(self._trajectory)
        if others and not self._full:
            more = counted(len(others), "more branch", "more branches")
            yield Text(f"\n{more} of this session's conversations not shown (--full).", style="dim")
            return
        for name, messages in others:
            yield Text(f"\n─── {name}", style="bold yellow")
            for message in messages:
                yield from self._message(message)

    def _message(self, message: Message) -> Iterator[RenderableType]:
        for result in message.tool_results:
            yield from self._result(result)
        if message.tool_results and not message.text:
            return
        head = Text(f"\n{message.role}", style=_STYLES[message.role])
        if self._user is not None and any(message is played for played in self._played):
            head.append(f"  {self._user.who}", style="dim")
        yield head
        if message.reasoning:
            yield self._said(message.reasoning, "dim italic")
        if message.text:
            yield self._said(message.text, "dim" if message.role == "system" else "")
        for block in message.blocks:
            if isinstance(block, ToolUse):
                yield self._said(f"→ {block.name}({_arguments(block)})", "yellow")
            elif isinstance(block, Media):
                yield _indented(f"[{block.kind}: {block.url[:80]}]", "dim")
            elif isinstance(block, Other):
                yield _indented(f"[{str(block.raw)[:80]}]", "dim")

    def _result(self, result: ToolResult) -> Iterator[RenderableType]:
        """A result, and of its tool call what the record knows. Where ids come again in every turn, so do the calls."""
        calls, use = self._calls.get(result.tool_use_id), self._uses.get(result.tool_use_id)
        call = None if not calls else calls.popleft() if len(calls) > 1 else calls[0]
        head = Text("\ntool", style=_STYLES["tool"], no_wrap=True, overflow="ellipsis")
        if call is not None:
            took = "" if call.ended is None else f"  {_time(call.ended - call.started)}"
            head.append(f"  {call.server}/{call.tool}{took}", style="dim")
            if call.is_error or call.status == "failed":
                head.append("  error", style="red")
            if call.seen not in (None, "same"):
                head.append(f"  the model saw it {call.seen}", style="yellow")
        elif use is not None:
            head.append(f"  {use.name}  not called through the gateway", style="dim")
        if use is not None and use.id in self._side_by_side:
            head.append(f"  {_arguments(use)}", style="dim")
        yield head
        yield self._said(result.text, "")

    def _output(self) -> Iterator[RenderableType]:
        """What a program that was the harness wrote."""
        output = self._trajectory.metadata.get("output") or {}
        for name, text in ((name, text) for name, text in output.items() if text.strip()):
            yield Text(f"\n{name} of the harness", style="dim bold")
            yield self._said(text, "dim")

    def _scores(self) -> Iterator[RenderableType]:
        task = self._trajectory.task
        if task is not None and task.answer is not None:
            yield Text("\nreference answer", style="bold")
            yield self._said(task.answer if isinstance(task.answer, str) else _value(task.answer), "")
        if not self._trajectory.scores:
            return
        yield Text("\nscores", style="bold")
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for _ in range(4):
            table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        versions = {score.rubric_version for score in self._trajectory.scores if score.kind != "feedback"}
        for score in self._trajectory.scores:
            value = "none" if score.value is None else f"{score.value:.3f}"
            weight = f"weight {score.weight:g}" if score.weight else "metric"
            about = Text(self._cut(score.error or score.explanation or "", 3), style="red" if score.error else "dim")
            source = "" if score.source == "rollout" else score.source
            if len(versions) > 1 and score.kind != "feedback":
                source = f"{source} rubric {score.rubric_version}".lstrip()
            table.add_row(Text(f"  {score.name}"), value, weight, source, about)
        yield table
        if self._trajectory.reward is not None:
            newest = self._trajectory.newest_scores[0].rubric_version
            by = f"  (rubric {newest}, the newest)" if len(versions) > 1 else ""
            yield Text(f"  reward {self._trajectory.reward:.3f}{by}", style="bold")

    def _health(self) -> Iterator[RenderableType]:
        """The gravest findings first; of many of one name, a few."""
        if not self._trajectory.health:
            yield Text("\nhealth: good", style="green")
            return
        yield Text("\nhealth", style="bold yellow")
        named: dict[str, list[Finding]] = {}
        for finding in by_weight(self._trajectory.health):
            named.setdefault(finding.name, []).append(finding)
        for name, found in named.items():
            style = _WEIGHTS[found[0].severity]
            yield _indented(f"{found[0].severity}  {name}: {FINDINGS[name].meaning if name in FINDINGS else ''}", style)
            shown = found if self._full else found[:FINDINGS_SHOWN]
            for finding in shown:
                yield Padding(Text(self._cut(finding.detail, 3), style="dim"), (0, 0, 0, 4))
            if len(shown) < len(found):
                yield Padding(Text(f"… {len(found) - len(shown)} more (--full)", style="dim"), (0, 0, 0, 4))

    def _said(self, text: str, style: str) -> Padding:
        return _indented(self._cut(text, LINES), style)

    def _cut(self, text: str, lines: int) -> str:
        """A text's first lines, and of those its first characters: a long one may have no line breaks."""
        text = text.strip()
        if self._full:
            return text
        rows = text.splitlines()
        kept = "\n".join(rows[:lines])
        if len(kept) > CHARACTERS:
            return f"{kept[:CHARACTERS]}\n… {len(text) - CHARACTERS:,} more characters (--full)"
        more = len(rows) - lines
        return kept if more <= 0 else f"{kept}\n… {counted(more, 'more line', 'more lines')} (--full)"


def _head(trajectory: Trajectory) -> Iterator[RenderableType]:
    yield Text.assemble(("Session ", "bold"), (trajectory.id, "bold cyan"), f"  {trajectory.status}")
    task = f"task {trajectory.task.key}, rollout {trajectory.rollout}" if trajectory.task else "no task"
    attempt = f", attempt {trajectory.attempt + 1}" if trajectory.attempt else ""
    where = [trajectory.environment, trajectory.harness, trajectory.model]
    yield Text(" · ".join([name for name in where if name] + [task + attempt]), style="dim")
    if trajectory.run:
        yield Text(f"run {trajectory.run}", style="dim")
    yield Text(_summary(trajectory), style="dim")
    if trajectory.origin in _FOUND:
        after = f", after session {trajectory.continues}" if trajectory.continues else ""
        yield Text(f"{_FOUND[trajectory.origin]}{after}", style="dim")
    if (labels := _labels(trajectory.metadata)) and not trajectory.run:
        yield Text(labels, style="dim")
    if trajectory.error:
        yield Text(f"{trajectory.stop}: {trajectory.error}", style="red")


def _labels(metadata: Mapping[str, Any]) -> str:
    """What its client, or its client's key, said of a live session."""
    said = {name: ", ".join(value) if name == "tags" else value for name, value in metadata.items()}
    return " · ".join(f"{name} {value}" for name, value in said.items() if isinstance(value, str | int | float))


def _summary(trajectory: Trajectory) -> str:
    seconds = "" if trajectory.ended is None else f" in {_time(trajectory.ended - trajectory.started)}"
    tokens = f"{trajectory.tokens('prompt'):,} prompt + {trajectory.tokens('completion'):,} completion tokens"
    cost = "" if trajectory.cost is None else f", ${trajectory.cost:.4f}"
    calls = f"{counted(trajectory.turns, 'turn')}, {counted(len(trajectory.tool_calls), 'tool call')}"
    return f"{trajectory.stop or 'still open'}{seconds}: {calls}, {tokens}{cost}"


def _failures(trajectory: Trajectory) -> Iterator[RenderableType]:
    for call in trajectory.calls:
        if call.status != "answered":
            why = call.cause or "no end was recorded"
            yield Text(
                f"\nmodel call {call.seq + 1} {call.status}: {why}: {call.error or ''}".rstrip(": "), style="red"
            )


def _arguments(use: ToolUse) -> str:
    """As a call in Python reads; what is not an object as it was said."""
    if use.arguments is None:
        return use.raw
    return ", ".join(f"{name}={_value(value)}" for name, value in use.arguments.items())


def _value(value: Any) -> str:
    return dump(value).decode()


def _indented(text: str, style: str) -> Padding:
    return Padding(Text(text, style=style), (0, 0, 0, 2))


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def as_json(trajectory: Trajectory) -> dict[str, Any]:
    """The session for `--json`: messages as their dialect said them, calls, tool calls, scores, health.

    `branch_nodes` names each message of `branches` as the `request` (its last message) and `reply` of calls name them.
    """
    return {
        "session": trajectory.id, "origin": trajectory.origin, "continues": trajectory.continues,
        "run": trajectory.run, "environment": trajectory.environment,
        "environment_version": trajectory.environment_version, "harness": trajectory.harness, "model": trajectory.model,
        "task": None if trajectory.task is None else orjson.loads(trajectory.task.to_json()),
        "rollout": trajectory.rollout, "attempt": trajectory.attempt, "status": trajectory.status,
        "stop": trajectory.stop, "error": trajectory.error, "started": trajectory.started, "ended": trajectory.ended,
        "reward": trajectory.reward, "completion": trajectory.completion, "metadata": dict(trajectory.metadata),
        "branches": [[_body(node.body) for node in branch] for branch in trajectory.branches],
        "branch_nodes": [[node.id.hex() for node in branch] for branch in trajectory.branches],
        "calls": _fields(trajectory.calls, {"message", "tools", "request_envelope", "response_envelope", "reply_body"}),
        "tool_calls": _fields(trajectory.tool_calls, set()),
        "threads": [thread_to_json(thread) for thread in trajectory.threads],
        "scores": _fields(trajectory.scores, set()),
        "health": _fields(by_weight(trajectory.health), set()),
    }  # fmt: skip


def _body(body: bytes) -> Any:
    """As its dialect said it; a redaction hook may have left no JSON."""
    try:
        return load_whole(body)
    except BadBody:
        return body.decode(errors="replace")


def _fields(items: Iterable[Any], without: set[str]) -> list[dict[str, Any]]:
    """Plain values of dataclasses; node ids as hex digits."""
    return [
        {
            name: value.hex() if isinstance(value := getattr(item, name), bytes) else value
            for name in item.__dataclass_fields__
            if name not in without
        }
        for item in items
    ]
