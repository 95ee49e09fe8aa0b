"""Every finding that there is about a session's record: its name, what it weighs and what it means. The one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from drawbar.trajectory import Finding, Severity


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table."""

    name: str
    severity: Severity
    """note: it happened, and no harm was done | warning: worth a look | defect: what was recorded is not all that the
    model saw and did, or not as it was; such a session trains nothing unless told otherwise."""
    meaning: str


_TABLE: Final = (
    #    name                    severity   meaning
    Kind("unfinished_call", "defect", "a model call that has no end: it is under way, or its process was killed"),
    Kind("unfinished_tool_call", "defect", "a tool call that has no end: it is under way, or its process was killed"),
    Kind("failed_call", "warning", "a model call that was not answered"),
    Kind("truncated_stream", "warning", "a model call whose stream broke off after a part of the reply"),
    Kind("dropped_side_call", "note", "a call beside the conversation (a title, a router) that was not answered"),
    Kind("failed_tool_call", "warning", "a tool call that was not answered"),
    Kind("empty_reply", "defect", "a reply with neither words nor tool calls"),
    Kind("missing_reply", "defect", "an answered call without a reply that could be read"),
    Kind("truncated_reply", "defect", "a reply that the model's limit of output tokens cut off"),
    Kind("unparsed_arguments", "warning", "a reply that calls a tool with arguments that are broken JSON"),
    Kind("missing_usage", "note", "an answered call of which the provider did not count the tokens"),
    Kind("lossy_translation", "note", "a model call that its provider's dialect cannot say all of"),
    Kind("withheld_tools", "note", "a request from which a policy took tools that its provider runs by itself"),
    Kind("missing_tokens", "warning", "a call for whose record token ids were wanted, and none, or not all, were told"),
    Kind("unreadable_message", "defect", "a message that its dialect cannot read"),
    Kind("missing_message", "defect", "a message that the store does not hold"),
    Kind("rewritten_history", "warning", "a call that goes on from a reply in other words than the model's"),
    Kind("lost_reasoning", "note", "a call that goes on from a reply without the model's reasoning"),
    Kind("several_roots", "warning", "a conversation that no sub-agent, compaction or side call explains"),
    Kind("unjoined_tool_call", "warning", "a tool call that no reply of the model asked for"),
    Kind("altered_arguments", "defect", "a tool call with other arguments than the model asked for"),
    Kind("unjoined_tool_result", "defect", "a tool result shown to the model under an id that no reply asked for"),
    Kind("withheld_tool_call", "warning", "a tool call of the model that its harness answered with its own complaint"),
    Kind("invented_tool_result", "defect", "a tool result shown to the model that no server gave"),
    Kind("missing_tool_result", "defect", "a tool call's result that the model was never shown"),
    Kind("truncated_tool_result", "warning", "a tool result that the model was shown in part"),
    Kind("altered_tool_result", "defect", "a tool result that the model was shown in other words"),
)

FINDINGS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in _TABLE}
"""Every finding by name."""

_WEIGHTS: Final[tuple[Severity, ...]] = ("defect", "warning", "note")


def finding(name: str, detail: str, *, call: str | None = None, tool_call: str | None = None) -> Finding:
    """A finding of the table, about a call or a tool call (by their ids), or both."""
    return Finding(name, detail, FINDINGS[name].severity, call, tool_call)


def by_weight(findings: Iterable[Finding]) -> list[Finding]:
    """The gravest first; of those that weigh the same, as they came."""
    return sorted(findings, key=lambda each: _WEIGHTS.index(each.severity))
