"""Health: what is not as it should be in a session's record. Each finding has a name to filter by and a sentence to
read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from drawbar.record.join import Asked, ModelSide, is_called
from drawbar.trajectory import Call, Finding, Node, ToolCall
from drawbar.wire.notes import notes_in

FINDINGS: Final[Mapping[str, str]] = {
    "unfinished_call": "a model call that has no end: it is under way, or its process was killed",
    "unfinished_tool_call": "a tool call that has no end: it is under way, or its process was killed",
    "failed_call": "a model call that was not answered",
    "failed_tool_call": "a tool call that was not answered",
    "empty_reply": "a reply with neither words nor tool calls",
    "missing_reply": "an answered call without a reply that could be read",
    "truncated_reply": "a reply that the model's limit of output tokens cut off",
    "missing_usage": "an answered call of which the provider did not count the tokens",
    "lossy_translation": "a model call whose provider speaks another dialect, in which not all of it can be said",
    "withheld_tools": "a request from which a policy took tools that its provider runs by itself",
    "missing_tokens": "a call for whose record token ids were wanted, and none, or not all, were told",
    "unreadable_message": "a message that its dialect cannot read",
    "missing_message": "a message that the store does not hold",
    "several_roots": "more than one conversation in the session: sub-agents, or compaction",
    "unjoined_tool_call": "a tool call that no reply of the model asked for",
    "unjoined_tool_result": "a tool result shown to the model that no tool call gave",
    "missing_tool_result": "a tool call's result that the model was never shown",
    "truncated_tool_result": "a tool result that the model was shown in part",
    "altered_tool_result": "a tool result that the model was shown in other words",
}
"""Every finding there is, and what it means."""

_CUT: Final = frozenset({"length", "max_tokens", "max_output_tokens", "MAX_TOKENS"})
"""The dialects' words for a reply that was cut off."""


def findings(
    calls: Sequence[Call],
    tool_calls: Sequence[ToolCall],
    nodes: Mapping[bytes, Node],
    unreadable: Sequence[bytes],
    side: ModelSide,
    joined: Mapping[str, Asked],
) -> list[Finding]:
    """Everything that is not as it should be, in the order of the session."""
    found = [finding for call in calls for finding in _of_call(call, nodes)]
    found += [finding for call in tool_calls for finding in _of_tool_call(call, asked_models=bool(calls))]
    found += _of_results(tool_calls, side, joined)
    found += [Finding("unreadable_message", f"message {id.hex()[:12]} cannot be read") for id in unreadable]
    roots = sum(node.parent is None for node in nodes.values())
    if roots > 1:
        found.append(Finding("several_roots", f"{roots} conversations"))
    return found


def _of_call(call: Call, nodes: Mapping[bytes, Node]) -> Iterator[Finding]:
    where = f"model call {call.seq}"
    if call.status == "started":
        yield Finding("unfinished_call", f"{where} has no end")
    elif call.status != "answered":
        yield Finding("failed_call", f"{where} {call.status}: {call.error or call.cause or 'no cause given'}")
    elif call.message is None:
        yield Finding("missing_reply", f"{where} was answered without a message")
    elif not call.message.text.strip() and not call.message.tool_uses:
        yield Finding("empty_reply", f"{where} was answered with nothing")
    if call.finish in _CUT:
        yield Finding("truncated_reply", f"{where} ended with {call.finish!r}")
    if call.status == "answered" and (call.prompt_tokens is None or call.completion_tokens is None):
        yield Finding("missing_usage", f"{where} has no token counts")
    notes = notes_in(call.response_envelope)
    if lost := notes.get("lost"):
        yield Finding("lossy_translation", f"{where} was translated without {', '.join(map(str, lost))}")
    if call.withheld:
        yield Finding("withheld_tools", f"{where} was asked for without {', '.join(call.withheld)}")
    if "tokens" in notes and (missing := _tokens_missing(call, str(notes["tokens"]))):
        yield Finding("missing_tokens", f"{where}: {missing}")
    for id in (call.request, call.reply):
        if id is not None and id not in nodes:
            yield Finding("missing_message", f"{where} names message {id.hex()[:12]}, which the store does not hold")


def _tokens_missing(call: Call, asked: str) -> str | None:
    """What is wrong with the tokens of a call in whose record they were wanted."""
    if asked == "unable":
        return f"{call.upstream} cannot be asked for token ids in the {call.dialect} dialect"
    if asked == "refused":
        return f"{call.upstream} refuses to tell of tokens"
    tokens = call.tokens
    if tokens is None:
        return f"{call.upstream} told of no tokens"
    told, all = tokens.token_ids, call.completion_tokens
    if told is not None and all is not None and len(told) < all:
        return f"{call.upstream} told the ids of {len(told)} of {all} tokens"
    return None


def _of_tool_call(call: ToolCall, *, asked_models: bool) -> Iterator[Finding]:
    where = f"tool call {call.seq} ({call.name})"
    if call.status == "started":
        yield Finding("unfinished_tool_call", f"{where} has no end")
    elif call.status != "answered":
        yield Finding("failed_tool_call", f"{where} {call.status}: {call.error or call.cause or 'no cause given'}")
    if call.tool_use_id is None and asked_models:
        yield Finding("unjoined_tool_call", f"{where} was asked for by no reply")
    if call.seen in ("missing", "truncated", "altered"):
        yield Finding(f"{call.seen}_tool_result", f"{where}: the model was shown it {call.seen}")


def _of_results(tool_calls: Sequence[ToolCall], side: ModelSide, joined: Mapping[str, Asked]) -> Iterator[Finding]:
    """Results that nobody gave: under an unknown id, or of a tool of ours that was not called.

    A harness has tools of its own, so a result counts only where the tool is one that this session has called. One
    whose arguments could not be read has its harness' complaint for a result, which is as it should be.
    """
    for result in side.strays:
        yield Finding("unjoined_tool_result", f"a result under the id {result.tool_use_id!r}, which no reply asked for")
    ours = {name for call in tool_calls for name in (call.name, call.tool)}
    joined_uses = {id(asked) for asked in joined.values()}
    for asked in side.asked:
        if asked.result is None or asked.use.arguments is None or id(asked) in joined_uses:
            continue
        if any(is_called(asked.use.name, name) for name in ours):
            yield Finding("unjoined_tool_result", f"a result for {asked.use.name} ({asked.use.id}) that no server gave")
