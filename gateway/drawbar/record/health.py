"""Health: what is not as it should be in a session's record. What can be found is named in `findings`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import orjson

from drawbar.record import coherence
from drawbar.record.asked import Asked, ModelSide
from drawbar.record.findings import finding
from drawbar.record.join import Joined
from drawbar.record.names import prefix
from drawbar.threads import Thread
from drawbar.trajectory import Call, Finding, Node, ToolCall
from drawbar.wire.notes import notes_in

_CUT: Final = frozenset({"length", "max_tokens", "max_output_tokens", "MAX_TOKENS"})
"""The dialects' words for a reply that was cut off."""
_COMPLAINT: Final = re.compile(
    r"\b(errors?|invalid|validation|denied|not (allowed|permitted|found|available|executed)|abort\w*|cancel\w*|"
    r"reject\w*|refused|failed|interrupted|skipped|missing|timed out|required)\b",
    re.IGNORECASE,
)
_OPENING: Final = 300
"""Characters of a result in which a complaint says that it is one."""


def findings(
    calls: Sequence[Call],
    tool_calls: Sequence[ToolCall],
    nodes: Mapping[bytes, Node],
    unreadable: Sequence[bytes],
    side: ModelSide,
    joined: Mapping[str, Joined],
    threads: Sequence[Thread],
) -> list[Finding]:
    """Everything that is not as it should be, in the order of the session."""
    side_calls = coherence.aside(threads)
    found = [each for call in calls for each in _of_call(call, nodes, aside=call.id in side_calls)]
    found += [each for call in tool_calls for each in _of_tool_call(call, asked_models=bool(calls))]
    found += _of_results(tool_calls, side, joined)
    found += [finding("unreadable_message", f"message {id.hex()[:12]} cannot be read") for id in unreadable]
    found += coherence.findings(threads)
    return found


def to_json(findings: Iterable[Finding]) -> bytes:
    """Findings as a session keeps them when it ends."""
    return orjson.dumps([{name: getattr(each, name) for name in Finding.__dataclass_fields__} for each in findings])


def from_json(data: bytes) -> list[Finding]:
    """What `to_json` wrote. Fields that a newer version added are left out; what is no list of findings is empty."""
    try:
        value = orjson.loads(data)
    except ValueError:
        return []
    known = Finding.__dataclass_fields__
    return [
        Finding(**{name: given for name, given in each.items() if name in known})
        for each in (value if isinstance(value, list) else ())
        if isinstance(each, dict) and {"name", "detail"} <= each.keys()
    ]


def _of_call(call: Call, nodes: Mapping[bytes, Node], *, aside: bool) -> Iterator[Finding]:
    where = f"model call {call.seq + 1}"

    def about(name: str, detail: str) -> Finding:
        return finding(name, f"{where} {detail}", call=call.id)

    if call.status == "started":
        yield about("unfinished_call", "has no end")
    elif call.status != "answered":
        broke_off = call.message is not None and not call.message.is_empty
        why = f"{call.status}: {call.error or call.cause or 'no cause given'}"
        yield about("dropped_side_call" if aside else "truncated_stream" if broke_off else "failed_call", why)
    elif call.message is None:
        yield about("missing_reply", "was answered without a message")
    elif call.message.is_empty:
        yield about("empty_reply", "was answered with nothing")
    for use in call.message.tool_uses if call.message is not None and call.status == "answered" else ():
        if use.arguments is None and use.raw.lstrip().startswith("{"):
            yield about("unparsed_arguments", f"calls {use.name} with arguments that cannot be read")
    if call.finish in _CUT:
        yield about("truncated_reply", f"ended with {call.finish!r}")
    if call.status == "answered" and (call.prompt_tokens is None or call.completion_tokens is None):
        yield about("missing_usage", "has no token counts")
    for name, detail in _noted(call):
        yield about(name, detail)
    for id in (call.request, call.reply):
        if id is not None and id not in nodes:
            yield about("missing_message", f"names message {id.hex()[:12]}, which the store does not hold")


def _noted(call: Call) -> Iterator[tuple[str, str]]:
    """What the gateway noted beside the bodies' own fields."""
    notes = notes_in(call.response_envelope)
    if lost := notes.get("lost"):
        yield "lossy_translation", f"was translated without {', '.join(map(str, lost))}"
    if call.withheld:
        yield "withheld_tools", f"was asked for without {', '.join(call.withheld)}"
    if call.status == "answered" and "tokens" in notes and (missing := _tokens_missing(call, str(notes["tokens"]))):
        yield "missing_tokens", f"lacks token ids: {missing}"


def _tokens_missing(call: Call, asked: str) -> str | None:
    """What is wrong with the tokens of a call in whose record they were wanted."""
    if asked == "unable":
        return f"{call.upstream} cannot be asked for them in the {call.dialect} dialect"
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
    where = f"tool call {call.seq + 1} ({call.name})"

    def about(name: str, detail: str) -> Finding:
        return finding(name, f"{where}{detail}", call=call.asked_by, tool_call=call.id)

    if call.status == "started":
        yield about("unfinished_tool_call", " has no end")
    elif call.status != "answered":
        yield about("failed_tool_call", f" {call.status}: {call.error or call.cause or 'no cause given'}")
    if call.asked_by is None and asked_models:
        yield about("unjoined_tool_call", " was asked for by no reply")
    if call.joined_by == "order":
        yield about("altered_arguments", f" has other arguments than {call.tool_use_id}, which asked for it")
    if call.seen == "invented":
        yield about("invented_tool_result", ": the model was shown something else in place of the result")
    elif call.seen in ("missing", "truncated", "altered"):
        yield about(f"{call.seen}_tool_result", f": the model was shown it {call.seen}")


def _of_results(tool_calls: Sequence[ToolCall], side: ModelSide, joined: Mapping[str, Joined]) -> Iterator[Finding]:
    """Results that no server gave: under an unknown id, or of a tool of ours that was not called.

    A harness has tools of its own; a tool is ours where calls were joined to its name, or to the prefix of its name.
    One whose arguments could not be read has its harness' complaint for a result, which is as it should be.
    """
    for node, stray in side.strays:
        shown = f"a result under the id {stray.tool_use_id!r}, which no reply asked for"
        yield finding("unjoined_tool_result", f"{shown} (message {node.id.hex()[:12]})")
    names = {call.name for call in tool_calls}
    answered = {(each.asked.call.reply, each.asked.use.id) for each in joined.values()}
    used = {(each.asked.use.name, call.name) for call in tool_calls if (each := joined.get(call.id)) is not None}
    prefixes = tuple(before for name, tool in used if name.endswith(tool) and (before := prefix(name, tool)))
    ours = names | {name for name, _ in used}
    for asked in side.asked:
        name = asked.use.name
        if asked.result is None or asked.use.arguments is None or (asked.call.reply, asked.use.id) in answered:
            continue
        if name in ours or (prefixes and name.startswith(prefixes)):
            yield _invented(asked)


def _invented(asked: Asked) -> Finding:
    shown, what = asked.result, f"{asked.use.name} ({asked.use.id})"
    if shown is not None and (shown.is_error or _COMPLAINT.search(shown.text[:_OPENING])):
        return finding("withheld_tool_call", f"{what} was answered by the harness itself", call=asked.call.id)
    return finding("invented_tool_result", f"a result for {what} that no server gave", call=asked.call.id)
