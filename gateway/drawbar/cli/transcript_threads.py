"""A session's conversations besides the main one: a line for each, and what was said in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from drawbar.cli.output import counted
from drawbar.threads import Thread
from drawbar.trajectory import Call, Trajectory
from drawbar.wire.message import Message, ToolUse
from drawbar.wire.tolerant import dump

_STARTED_BY = 60
"""Characters of the tool call that started a sub-agent."""


def thread_table(trajectory: Trajectory) -> Iterator[RenderableType]:
    """The conversations, where there is more than one."""
    if len(trajectory.threads) < 2:
        return
    yield Text("\nthreads", style="bold")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for thread in trajectory.threads:
        table.add_row(
            Text(f"  {thread.name}"), Text(calls_of(thread), style="dim"), Text(about(trajectory, thread), style="dim")
        )
    yield table


def other_stretches(trajectory: Trajectory) -> list[tuple[str, list[Message]]]:
    """What was said beside the main conversation's last path: of each other branch its thread and its own messages."""
    asked = [(thread, call) for thread in trajectory.threads for call in thread.calls]
    names = {id: f"{thread.name}, call {call.seq + 1}" for thread, call in asked for id in (call.request, call.reply)}
    replies = {call.reply: call.message for _, call in asked if call.message is not None}
    told, stretches = _told(trajectory), []
    for branch in trajectory.branches:
        own = [node for node in branch if node.id not in told]
        told.update(node.id for node in own)
        if own:
            messages = [replies.get(node.id, node.message) for node in own]
            stretches.append((names.get(own[-1].id, "in no call"), messages))
    return stretches


def _told(trajectory: Trajectory) -> set[bytes]:
    """The nodes of `trajectory.messages`."""
    calls = trajectory.threads[0].calls if trajectory.calls else ()
    requests = [call.request for call in calls[-1:]]
    replies = [call.reply for call in reversed(calls) if call.reply is not None]
    return {node.id for leaf in [*replies, *requests][:1] for node in trajectory.path(leaf)}


def calls_of(thread: Thread) -> str:
    """How many model calls it made, and which of the session's, counted from one as findings do: `3 calls: 1-2, 5`."""
    return f"{counted(len(thread.calls), 'call')}: {_ranges([call.seq + 1 for call in thread.calls])}"


def about(trajectory: Trajectory, thread: Thread) -> str:
    """For whom it works, and the tool call that started it."""
    for_whom = f"for {thread.parent}" if thread.parent is not None else ""
    if thread.tool_use_id is None:
        return for_whom
    made = _made(trajectory, thread)
    if made is None:
        return f"{for_whom}, started by tool call {thread.tool_use_id}".removeprefix(", ")
    call, use = made
    said = dump(use.arguments).decode() if use.arguments is not None else use.raw
    shown = said if len(said) <= _STARTED_BY else f"{said[:_STARTED_BY]}…"
    return f"{for_whom}, started in call {call.seq + 1} by {use.name} {shown}".removeprefix(", ")


def _made(trajectory: Trajectory, thread: Thread) -> tuple[Call, ToolUse] | None:
    """The tool call that started a sub-agent, and the model call whose reply made it. Ids may come again in later
    turns: of those before the thread the last is meant."""
    first = thread.calls[0].seq if thread.calls else 0
    for call in reversed(trajectory.calls):
        for use in call.message.tool_uses if call.message is not None and call.seq < first else ():
            if use.id == thread.tool_use_id:
                return call, use
    return None


def _ranges(numbers: Sequence[int]) -> str:
    """`1-3, 7`."""
    if not numbers:
        return ""
    ends = [(before, after) for before, after in pairwise(numbers) if after != before + 1]
    firsts, lasts = [numbers[0], *(after for _, after in ends)], [*(before for before, _ in ends), numbers[-1]]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(firsts, lasts, strict=True))
