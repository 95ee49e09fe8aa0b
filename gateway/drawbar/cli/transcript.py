"""A session as a person likes to read it: who said what, which tools were called with what, scores, health, timing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from drawbar.trajectory import ToolCall, Trajectory
from drawbar.wire.message import Media, Message, Other, ToolUse

_STYLES = {"system": "dim", "user": "bold green", "assistant": "bold cyan", "tool": "bold magenta"}
LINES = 12
"""Of a long text, unless all of it is asked for."""


def print_transcript(trajectory: Trajectory, console: Console, *, full: bool) -> None:
    """Write the session. `full`: long texts are not shortened."""
    for part in _parts(trajectory, None if full else LINES):
        console.print(part, highlight=False, soft_wrap=False)


def _parts(trajectory: Trajectory, lines: int | None) -> Iterator[RenderableType]:
    yield from _head(trajectory)
    calls = {call.tool_use_id: call for call in trajectory.tool_calls if call.tool_use_id}
    for message in trajectory.messages:
        yield from _message(message, calls, lines)
    others = sum(1 for _ in trajectory.branches) - 1
    if others > 0:
        yield Text(f"\n{others} more branch{'es' if others > 1 else ''} of this conversation not shown.", style="dim")
    yield from _failures(trajectory)
    yield from _scores(trajectory)
    yield from _health(trajectory)


def _head(trajectory: Trajectory) -> Iterator[RenderableType]:
    yield Text.assemble(("Session ", "bold"), (trajectory.id, "bold cyan"), f"  {trajectory.status}")
    task = f"task {trajectory.task.key}, rollout {trajectory.rollout}" if trajectory.task else "no task"
    attempt = f", attempt {trajectory.attempt + 1}" if trajectory.attempt else ""
    where = [trajectory.environment, trajectory.harness, trajectory.model]
    yield Text(" · ".join([name for name in where if name] + [task + attempt]), style="dim")
    if trajectory.run:
        yield Text(f"run {trajectory.run}", style="dim")
    yield Text(_summary(trajectory), style="dim")
    if trajectory.error:
        yield Text(f"{trajectory.stop}: {trajectory.error}", style="red")


def _summary(trajectory: Trajectory) -> str:
    seconds = "" if trajectory.ended is None else f" in {_time(trajectory.ended - trajectory.started)}"
    tokens = f"{trajectory.tokens('prompt'):,} + {trajectory.tokens('completion'):,} tokens"
    cost = "" if trajectory.cost is None else f", ${trajectory.cost:.4f}"
    calls = f"{trajectory.turns} turns, {len(trajectory.tool_calls)} tool calls"
    return f"{trajectory.stop or 'still open'}{seconds}: {calls}, {tokens}{cost}"


def _message(message: Message, calls: Mapping[str, ToolCall], lines: int | None) -> Iterator[RenderableType]:
    style = _STYLES[message.role]
    if message.tool_results:
        for result in message.tool_results:
            yield from _result(result.tool_use_id, result.text, calls, lines)
        return
    yield Text(f"\n{message.role}", style=style)
    if message.reasoning:
        yield _indented(_cut(message.reasoning, lines), "dim italic")
    if message.text:
        yield _indented(_cut(message.text, lines), "dim" if message.role == "system" else "")
    for block in message.blocks:
        if isinstance(block, ToolUse):
            yield _indented(f"→ {block.name}({_arguments(block)})", "yellow")
        elif isinstance(block, Media):
            yield _indented(f"[{block.kind}: {block.url[:80]}]", "dim")
        elif isinstance(block, Other):
            yield _indented(f"[{str(block.raw)[:80]}]", "dim")


def _result(use: str, text: str, calls: Mapping[str, ToolCall], lines: int | None) -> Iterator[RenderableType]:
    call = calls.get(use)
    head = Text("\ntool", style=_STYLES["tool"])
    if call is not None:
        took = "" if call.ended is None else f"  {_time(call.ended - call.started)}"
        head.append(f"  {call.server}/{call.tool}{took}", style="dim")
        if call.is_error or call.status == "failed":
            head.append("  error", style="red")
        if call.seen not in (None, "same"):
            head.append(f"  the model saw it {call.seen}", style="yellow")
    yield head
    yield _indented(_cut(text, lines), "")


def _failures(trajectory: Trajectory) -> Iterator[RenderableType]:
    for call in trajectory.calls:
        if call.status != "answered":
            why = call.cause or "no end was recorded"
            yield Text(
                f"\nmodel call {call.seq + 1} {call.status}: {why}: {call.error or ''}".rstrip(": "), style="red"
            )


def _scores(trajectory: Trajectory) -> Iterator[RenderableType]:
    if not trajectory.scores:
        return
    yield Text("\nscores", style="bold")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for score in trajectory.scores:
        value = "none" if score.value is None else f"{score.value:.3f}"
        weight = f"weight {score.weight:g}" if score.weight else "metric"
        about = Text(_cut(score.error or score.explanation or "", 3), style="red" if score.error else "dim")
        source = "" if score.source == "rollout" else score.source
        table.add_row(f"  {score.name}", value, weight, source, about)
    yield table
    if trajectory.reward is not None:
        yield Text(f"  reward {trajectory.reward:.3f}", style="bold")


def _health(trajectory: Trajectory) -> Iterator[RenderableType]:
    if not trajectory.health:
        yield Text("\nhealth: good", style="green")
        return
    yield Text("\nhealth", style="bold yellow")
    for finding in trajectory.health:
        yield _indented(f"{finding.name}: {finding.detail}", "yellow")


def _arguments(use: ToolUse) -> str:
    """As a call in Python reads; what is not an object as it was said."""
    if use.arguments is None:
        return use.raw
    return ", ".join(f"{name}={_value(value)}" for name, value in use.arguments.items())


def _value(value: Any) -> str:
    return orjson.dumps(value).decode()


def _cut(text: str, lines: int | None) -> str:
    rows = text.strip().splitlines()
    if lines is None or len(rows) <= lines:
        return "\n".join(rows)
    return "\n".join([*rows[:lines], f"… {len(rows) - lines} more lines (--full)"])


def _indented(text: str, style: str) -> Padding:
    return Padding(Text(text, style=style), (0, 0, 0, 2))


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def as_json(trajectory: Trajectory) -> dict[str, Any]:
    """The session for `--json`: messages as their dialect said them, calls, tool calls, scores, health."""
    return {
        "session": trajectory.id, "run": trajectory.run, "environment": trajectory.environment,
        "environment_version": trajectory.environment_version, "harness": trajectory.harness, "model": trajectory.model,
        "task": None if trajectory.task is None else orjson.loads(trajectory.task.to_json()),
        "rollout": trajectory.rollout, "attempt": trajectory.attempt, "status": trajectory.status,
        "stop": trajectory.stop, "error": trajectory.error, "started": trajectory.started, "ended": trajectory.ended,
        "reward": trajectory.reward, "completion": trajectory.completion, "metadata": dict(trajectory.metadata),
        "branches": [[orjson.loads(node.body) for node in branch] for branch in trajectory.branches],
        "calls": _fields(trajectory.calls, {"message", "tools", "request_envelope", "response_envelope"}),
        "tool_calls": _fields(trajectory.tool_calls, set()),
        "scores": _fields(trajectory.scores, set()),
        "health": _fields(trajectory.health, set()),
    }  # fmt: skip


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
