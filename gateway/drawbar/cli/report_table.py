"""A run's report as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from drawbar.causes import CAUSES
from drawbar.rollout.report import PASS_THRESHOLD, Percentiles, Report

NO_LLM = "No language model was used: {model!r} is a Python function that comes with the environment."
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
    if report.errors:
        yield ""
        yield _invalid(report)
    if "agent_failed" in report.examples:
        yield Text(f"\nAn agent that failed said: {_short(report.examples['agent_failed'])}", style="yellow")
    if report.unhealthy:
        yield Text(f"\nSessions whose record needs a look: {_counts(report.unhealthy)}", style="yellow")
    if not report.llm:
        yield Text(f"\n{NO_LLM.format(model=run.model)}", style="yellow")
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
        yield f"  {name}", f"{_number(mean)}"
    if len(report.pass_at) > 1:
        yield f"pass@k (reward >= {PASS_THRESHOLD:g})", _by_k(report.pass_at)
        yield "pass^k", _by_k(report.pass_hat)
    kept = f", {report.kept} kept from before" if report.kept else ""
    yield "rollouts", f"{report.rollouts} on {report.tasks} tasks{kept}"
    yield "ended by", _counts(report.stops) or "none is valid"
    if report.turns is not None and report.tool_calls is not None:
        yield "turns", f"{report.turns:.1f} per rollout, {report.tool_calls:.1f} tool calls"
    yield "tokens", _tokens(report.tokens)
    yield "cost", "not known" if report.cost is None else f"${report.cost:.4f}"
    if report.judge_tokens:
        cost = "" if report.judge_cost is None else f", ${report.judge_cost:.4f}"
        yield "judges", f"{report.judge_tokens:,} tokens{cost}"
    yield "time of a rollout", _seconds(report.rollout_seconds)
    yield "of a model call", _seconds(report.call_seconds)
    yield "of a tool call", _seconds(report.tool_seconds)


def _invalid(report: Report) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_row(Text(f"{report.invalid} invalid", style="bold red"), "", "not in any mean above")
    for cause, count in report.errors.items():
        example = report.examples.get(cause)
        table.add_row(f"  {cause}", str(count), CAUSES[cause].meaning + (f"\n{_short(example)}" if example else ""))
    return table


def _reward(report: Report) -> str:
    reward = report.reward
    if reward is None:
        return "none"
    if reward.low is None or reward.high is None:
        return f"{reward.mean:.3f}  (no interval from one task)"
    return f"{reward.mean:.3f}  95 % interval {reward.low:.3f} to {reward.high:.3f}, clustered by task"


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def _by_k(values: Mapping[int, float]) -> str:
    return "   ".join(f"{k}: {value:.3f}" for k, value in values.items())


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _tokens(tokens: Mapping[str, int]) -> str:
    more = "".join(f", {tokens[kind]:,} {kind}" for kind in ("cached", "reasoning") if tokens.get(kind))
    return f"{tokens.get('prompt', 0):,} prompt, {tokens.get('completion', 0):,} completion{more}"


def _seconds(found: Percentiles) -> str:
    if found.p50 is None or found.p90 is None or found.p99 is None:
        return "none"
    return f"p50 {_time(found.p50)}, p90 {_time(found.p90)}, p99 {_time(found.p99)}"


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
