"""A run's report as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from drawbar.causes import CAUSES
from drawbar.cli.drift_text import drift_lines
from drawbar.cli.output import counted
from drawbar.rollout.report import PASS_THRESHOLD, Report

NO_LLM = "No language model was used: {model!r} is a Python function that comes with the environment."
JUDGES_ALONE = NO_LLM.replace("No language model was", "No language model but the judge's was")
HOW_TO_NAME_ONE = (
    "Name one with: drawbar run {environment} --model gpt-5-mini (needs OPENAI_API_KEY), "
    "or --model NAME --base-url URL [--api-key-env VARIABLE]"
)


def print_report(report: Report, console: Console) -> None:
    """Write the report."""
    console.print(Group(*_parts(report)), highlight=False)


def _parts(report: Report) -> Iterator[RenderableType]:
    run = report.run
    yield Text.assemble(("Run ", "bold"), (run.id, "bold cyan"), f"  {run.status}")
    yield Text(f"{run.environment} {run.environment_version} · {run.harness} · {run.model}", style="dim")
    yield ""
    yield _table(report)
    if report.rubric_remark is not None:
        yield Text("\n" + report.rubric_remark, style="yellow")
    if report.errors:
        yield ""
        yield _invalid(report)
    if "agent_failed" in report.examples:
        yield Text(f"\nAn agent that failed said: {_short(report.examples['agent_failed'])}", style="yellow")
    if report.unhealthy:
        yield Text(f"\nSessions whose record needs a look: {_counts(report.unhealthy)}", style="yellow")
        if report.defective:
            having = counted(report.defective, "session has defects", "sessions have defects")
            yield Text(f"{having}; `drawbar show SESSION` tells where.", style="red")
    for drift in report.cassettes:
        yield from drift_lines(drift)
    if not report.llm:
        yield Text("\n" + (JUDGES_ALONE if report.judge_tokens else NO_LLM).format(model=run.model), style="yellow")
        yield Text(HOW_TO_NAME_ONE.format(environment=_reference(report)), style="yellow")


def _table(report: Report) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, value in _rows(report):
        table.add_row(name, value)
    return table


def _rows(report: Report) -> Iterator[tuple[str, str]]:
    yield "reward", _reward(report)
    for name, (mean, weight) in report.rewards.items():
        yield f"  {name}", f"{mean:.3f}  (weight {weight:g})"
    for name, mean in report.metrics.items():
        yield f"  {name}", _number(mean) + _without(report, name)
    for name in report.missing:
        if name not in report.metrics and name not in report.rewards:
            yield f"  {name}", "none" + _without(report, name)
    if len(report.pass_at) > 1:
        yield f"pass@k (reward >= {PASS_THRESHOLD:g})", _by_k(report.pass_at)
        yield "pass^k", _by_k(report.pass_hat)
    kept = f", {report.kept} kept from before" if report.kept else ""
    yield "rollouts", f"{report.rollouts} on {counted(report.tasks, 'task')}{kept}"
    yield "ended by", _counts(report.stops) or "none is valid"
    if report.turns is not None and report.tool_calls is not None:
        yield "per rollout", f"{report.turns:.1f} turns, {report.tool_calls:.1f} tool calls"
    yield "tokens in all", _tokens(report.tokens)
    yield "cost in all", "not known" if report.cost is None else f"${report.cost:.4f}"
    if report.judge_tokens:
        cost = "" if report.judge_cost is None else f", ${report.judge_cost:.4f}"
        yield "judges", f"{report.judge_tokens:,} tokens{cost}"
    if report.user is not None:
        yield "simulated user", _user(report.user)
    yield from _times(report)


def _times(report: Report) -> Iterator[tuple[str, str]]:
    for what, found in (
        ("time of a rollout", report.rollout_seconds),
        ("  of a model call", report.call_seconds),
        ("  of a tool call", report.tool_seconds),
    ):
        if found.p50 is not None and found.p90 is not None and found.p99 is not None:
            yield what, f"p50 {_time(found.p50)}, p90 {_time(found.p90)}, p99 {_time(found.p99)}"


def _invalid(report: Report) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(f"{report.invalid} invalid", style="bold red"), "", "not in any mean above")
    for cause, count in report.errors.items():
        example = report.examples.get(cause)
        about = CAUSES[cause].meaning + (f"\n{_short(example)}" if example else "")
        table.add_row(f"  {cause}", str(count), Text(about))
    return table


def _reward(report: Report) -> str:
    reward = report.reward
    if reward is None:
        return "none"
    if reward.low is None or reward.high is None:
        return f"{reward.mean:.3f}  (no interval from one task)"
    return f"{reward.mean:.3f}  95 % interval {reward.low:.3f} to {reward.high:.3f}, clustered by task"


def _without(report: Report, name: str) -> str:
    missing = report.missing.get(name)
    return f"  (no value in {counted(missing, 'rollout')})" if missing else ""


def _user(user: Mapping[str, Any]) -> str:
    parts = [f"{', '.join(user['who'])}: {counted(user['turns'], 'turn')} in {counted(user['rollouts'], 'rollout')}"]
    if user["replays"]:
        parts.append(f"{user['exact']} of {counted(user['replays'], 'replay')} exact")
    if user["at_most"]:
        parts.append(f"{user['at_most']} ended at the user's max_turns")
    if user["tokens"]:
        parts.append(f"{user['tokens']:,} tokens")
    if user["cost"] is not None:
        parts.append(f"${user['cost']:.4f}")
    return ", ".join(parts)


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def _by_k(values: Mapping[int, float]) -> str:
    return "   ".join(f"{k}: {value:.3f}" for k, value in values.items())


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _tokens(tokens: Mapping[str, int]) -> str:
    more = "".join(f", {tokens[kind]:,} {kind}" for kind in ("cached", "reasoning") if tokens.get(kind))
    return f"{tokens.get('prompt', 0):,} prompt, {tokens.get('completion', 0):,} completion{more}"


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 240 else line[:239] + "…"


def _reference(report: Report) -> str:
    """The environment as the user named it."""
    import orjson

    return str(orjson.loads(report.run.config).get("named") or report.run.environment)
