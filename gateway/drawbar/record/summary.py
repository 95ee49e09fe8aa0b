"""What a session comes to: its sums and what is found about it, of its trajectory."""

from __future__ import annotations

import time
from collections.abc import Iterable

from drawbar.record.packing import packed
from drawbar.record.rows import SummaryRow
from drawbar.trajectory import Finding, Trajectory


def summary_of(trajectory: Trajectory) -> SummaryRow:
    """The summary of a session that has ended."""
    calls, tool_calls = trajectory.calls, trajectory.tool_calls
    return SummaryRow(
        session=trajectory.id,
        turns=trajectory.turns,
        calls=len(calls),
        failed_calls=len(calls) - trajectory.turns,
        tool_calls=len(tool_calls),
        tool_errors=sum(call.is_error or call.status != "answered" for call in tool_calls),
        prompt_tokens=trajectory.tokens("prompt"),
        completion_tokens=trajectory.tokens("completion"),
        cached_tokens=trajectory.tokens("cached"),
        reasoning_tokens=trajectory.tokens("reasoning"),
        cost=trajectory.cost,
        model=calls[0].model if calls else None,
        upstreams=packed(name for call in calls for name in upstream_names(call.upstream)),
        health=weighed(trajectory.health),
        findings=packed(finding.name for finding in trajectory.health),
        created=time.time(),
    )


def upstream_names(upstream: str) -> tuple[str, str]:
    """What an upstream is known by: `name/model`, and its name alone."""
    return upstream, upstream.partition("/")[0]


def weighed(findings: Iterable[Finding]) -> str:
    """good | warning | defect: the gravest of the findings; notes harm nobody's health."""
    weights = {finding.severity for finding in findings}
    return "defect" if "defect" in weights else "warning" if "warning" in weights else "good"
