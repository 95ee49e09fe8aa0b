"""The gateway's numbers as Prometheus reads them (text format 0.0.4). The only place that knows prometheus-client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from drawbar import __version__

if TYPE_CHECKING:
    from drawbar.telemetry.cells import Mean
    from drawbar.telemetry.metrics import Metrics, Model, Tool

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
TOKENS: Final = ("prompt", "completion", "cached", "reasoning")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsNow:
    """How alerts stood when they were last looked at."""

    firing: Mapping[str, bool]
    values: Mapping[str, float]
    failed_looks: int
    messages: Mapping[tuple[str, str], int]
    """Tries to deliver one, by webhook and what came of it."""
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """What is measured when somebody asks."""

    live_sessions: int
    calls_under_way: int
    recorder_rows: int
    recorder_lag: float
    recorder_failing: bool
    recorder_lost: int
    recorder_spooled: int
    unrecorded: int
    scoring_waiting: int
    scoring_working: int
    scoring_overflowed: int
    alerts: AlertsNow


def exposition(metrics: Metrics, now: Now) -> bytes:
    """All numbers, as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_All(metrics, now))
    return generate_latest(registry)


class _All(Collector):
    def __init__(self, metrics: Metrics, now: Now) -> None:
        self._metrics = metrics
        self._now = now

    def collect(self) -> Iterable[Metric]:
        yield _gauge("drawbar_info", "This gateway.", {(__version__,): 1}, "version")
        yield from _models(self._metrics.models)
        yield from _tools(self._metrics.tools)
        yield _counter("drawbar_sessions_ended", "Sessions that have ended.", self._metrics.sessions, "origin", "cause")
        yield from _scores(self._metrics)
        yield from _now(self._now)
        yield from _alerts(self._now.alerts)


def _models(models: Mapping[str, Model]) -> Iterator[Metric]:
    ends = {(name, *end): count for name, model in models.items() for end, count in model.ends.items()}
    yield _counter("drawbar_requests", "Model calls that ended.", ends, "model", "dialect", "status", "cause")
    latency = HistogramMetricFamily(
        "drawbar_request_duration_seconds", "From a model call's request to its end.", labels=["model"]
    )
    first = HistogramMetricFamily(
        "drawbar_time_to_first_token_seconds", "From a model call's request to its upstream's first byte.",
        labels=["model"],
    )  # fmt: skip
    for name, model in models.items():
        latency.add_metric([name], model.latency.buckets(), model.latency.sum)
        first.add_metric([name], model.first.buckets(), model.first.sum)
    yield latency
    yield first
    tokens = {
        (name, kind): count for name, model in models.items() for kind, count in zip(TOKENS, model.tokens, strict=True)
    }
    yield _counter("drawbar_tokens", "Tokens, as providers count them.", tokens, "model", "kind")
    cost = {(name,): model.cost for name, model in models.items()}
    yield _counter("drawbar_cost_dollars", "What calls cost, where the price is known.", cost, "model")


def _tools(tools: Mapping[tuple[str, str], Tool]) -> Iterator[Metric]:
    ends = {(*name, *end): count for name, tool in tools.items() for end, count in tool.ends.items()}
    yield _counter("drawbar_tool_calls", "Tool calls that ended.", ends, "server", "tool", "status", "cause")
    errors = {name: tool.errors for name, tool in tools.items()}
    yield _counter("drawbar_tool_errors", "Results that a tool itself called an error.", errors, "server", "tool")
    latency = HistogramMetricFamily(
        "drawbar_tool_duration_seconds", "From a tool call's request to its end.", labels=["server", "tool"]
    )
    for name, tool in tools.items():
        latency.add_metric(list(name), tool.latency.buckets(), tool.latency.sum)
    yield latency


def _scores(metrics: Metrics) -> Iterator[Metric]:
    rewards, scores = metrics.rewards, metrics.scores
    yield _gauge("drawbar_reward_mean", "Mean reward of the newest sessions.", _means(rewards), "rubric", "model")
    yield _counter("drawbar_rewards", "Sessions that got a reward.", _counts(rewards), "rubric", "model")
    labels = ("rubric", "name", "model")
    yield _gauge("drawbar_score_mean", "Mean of the newest scores; feedback is one too.", _means(scores), *labels)
    yield _counter("drawbar_scores", "Scores with a value.", _counts(scores), *labels)
    yield _counter("drawbar_scores_missing", "Scores without a value.", metrics.missing, "rubric", "name")


def _now(now: Now) -> Iterator[Metric]:
    for name, text, value in (
        ("drawbar_live_sessions_open", "Live sessions that are open.", now.live_sessions),
        ("drawbar_requests_under_way", "Requests that are being answered.", now.calls_under_way),
        ("drawbar_recorder_queue_rows", "Rows that wait to be written; large ones count more.", now.recorder_rows),
        ("drawbar_recorder_lag_seconds", "How long rows take to be durable.", now.recorder_lag),
        ("drawbar_recorder_failing", "1 while the store cannot be written.", int(now.recorder_failing)),
        ("drawbar_recorder_spooled_bytes", "Bytes that wait in the spool for the store.", now.recorder_spooled),
        ("drawbar_live_scoring_queue", "Sessions that wait for live scoring.", now.scoring_waiting),
        ("drawbar_live_scoring_working", "Sessions that are scored now.", now.scoring_working),
    ):
        yield _gauge(name, text, {(): value})
    said = "Answers that were given although they could not be recorded."
    yield _counter("drawbar_unrecorded", said, {(): now.unrecorded})
    said = "Rows that neither the store nor the spool took: they are lost."
    yield _counter("drawbar_recorder_lost_rows", said, {(): now.recorder_lost})
    said = "Sessions that found the queue of live scoring full, and waited in the store."
    yield _counter("drawbar_live_scoring_overflowed", said, {(): now.scoring_overflowed})


def _alerts(now: AlertsNow) -> Iterator[Metric]:
    firing = {(name,): int(firing) for name, firing in now.firing.items()}
    yield _gauge("drawbar_alert_firing", "1 while an alert fires.", firing, "alert")
    values = {(name,): value for name, value in now.values.items()}
    yield _gauge("drawbar_alert_value", "What an alert's measure came to.", values, "alert")
    said = "Tries to tell a webhook of an alert: sent, retried (it is tried again) or failed (it is given up)."
    yield _counter("drawbar_alert_messages", said, now.messages, "webhook", "result")
    yield _gauge("drawbar_alert_messages_waiting", "Messages of alerts that wait.", {(): now.waiting})
    said = "Looks at an alert that the store did not answer."
    yield _counter("drawbar_alert_failed_looks", said, {(): now.failed_looks})


def _means(found: Mapping[Any, Mean]) -> dict[Any, float]:
    return {labels: mean.value for labels, mean in found.items()}


def _counts(found: Mapping[Any, Mean]) -> dict[Any, float]:
    return {labels: mean.count for labels, mean in found.items()}


def _counter(name: str, text: str, values: Mapping[Any, float], *labels: str) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for given, value in values.items():
        family.add_metric(list(given), value)
    return family


def _gauge(name: str, text: str, values: Mapping[Any, float], *labels: str) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for given, value in values.items():
        family.add_metric(list(given), value)
    return family
