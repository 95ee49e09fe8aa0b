"""Traces for OpenTelemetry, by the semantic conventions for generative AI: a session is a trace, with one span for each
model call and tool call. The only place that knows OpenTelemetry (the extra `otel`).

Spans are made of rows once what they tell of has ended, and carry names, counts and causes; what anybody said stays in
the record.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from drawbar import __version__
from drawbar.ids import digest
from drawbar.record.rows import CallRow, Row, ScoreRow, SessionRow, ToolCallRow

_log = logging.getLogger(__name__)

_OPERATIONS: Final = {"gemini": "generate_content"}
"""What a call is called that is no `chat`, by dialect."""


class Traces:
    """Makes spans of what is recorded, and hands them to a processor."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._ids = _Ids()
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come before what is said here.
        resource = Resource({"service.name": "drawbar"}).merge(Resource.create({"service.version": __version__}))
        self._provider = TracerProvider(id_generator=self._ids, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("drawbar", __version__)

    @classmethod
    def to_collector(cls) -> Traces:
        """To where OTEL_EXPORTER_OTLP_ENDPOINT leads, in batches, from a thread of its own."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        return cls(BatchSpanProcessor(OTLPSpanExporter()))

    def close(self) -> None:
        """Hand over what is left. It may wait for the collector."""
        self._provider.shutdown()

    def observe(self, rows: Sequence[Row]) -> None:
        """Rows that are recorded together. Raises nothing: what is told must not fail what it tells of."""
        try:
            for row in rows:
                if isinstance(row, CallRow) and row.ended is not None:
                    self._call(row, row.ended)
                elif isinstance(row, ToolCallRow) and row.ended is not None:
                    self._tool_call(row, row.ended)
                elif isinstance(row, SessionRow) and row.status == "ended":
                    self._session(row)
            for session, scores in _by_session(rows):
                self._scores(session, scores)
        except Exception:
            _log.exception("Something that was recorded could not be traced.")

    def _call(self, row: CallRow, ended: float) -> None:
        operation = _OPERATIONS.get(row.dialect, "chat")
        provider, _, model = row.upstream.partition("/")
        span = self._begin(row.session, f"{operation} {row.model}", SpanKind.CLIENT, row.started, {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": provider or None,
            "gen_ai.request.model": row.model,
            "gen_ai.response.model": model or None,
            "gen_ai.usage.input_tokens": row.prompt_tokens,
            "gen_ai.usage.output_tokens": row.completion_tokens,
            "gen_ai.usage.cache_read.input_tokens": row.cached_tokens,
            "gen_ai.response.finish_reasons": None if row.finish is None else [row.finish],
            "drawbar.call.id": row.id,
            "drawbar.cost": row.cost,
            "drawbar.time_to_first_token": None if row.first_byte is None else row.first_byte - row.started,
        })  # fmt: skip
        _end(span, ended, row.cause)

    def _tool_call(self, row: ToolCallRow, ended: float) -> None:
        span = self._begin(row.session, f"execute_tool {row.tool}", SpanKind.CLIENT, row.started, {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": row.tool,
            "mcp.method.name": "tools/call",
            "drawbar.server": row.server,
            "drawbar.tool_call.id": row.id,
        })  # fmt: skip
        _end(span, ended, row.cause or ("tool_error" if row.is_error else None))

    def _session(self, row: SessionRow) -> None:
        self._ids.next = _ids_of(row.id)
        agent = row.harness
        span = self._tracer.start_span(
            f"invoke_agent {agent}" if agent else "invoke_agent",
            context=None, kind=SpanKind.SERVER, start_time=_nanoseconds(row.started),
            attributes=_said({
                "gen_ai.operation.name": "invoke_agent", "gen_ai.conversation.id": row.id,
                "gen_ai.agent.name": agent, "drawbar.environment": row.environment, "drawbar.stop": row.stop,
            }),
        )  # fmt: skip
        self._ids.next = None
        _end(span, row.ended or row.started, None if row.error is None else row.stop)

    def _scores(self, session: str, scores: Sequence[ScoreRow]) -> None:
        at = scores[0].created
        span = self._begin(session, "evaluate", SpanKind.INTERNAL, at, {})
        for row in scores:
            told = {
                "gen_ai.evaluation.name": row.name, "gen_ai.evaluation.score.value": row.value,
                "drawbar.rubric_version": row.rubric_version, "drawbar.source": row.source,
            }  # fmt: skip
            span.add_event("gen_ai.evaluation.result", _said(told), _nanoseconds(row.created))
        _end(span, at, None)

    def _begin(self, session: str, name: str, kind: SpanKind, started: float, told: dict[str, Any]) -> Span:
        trace, root = _ids_of(session)
        parent = NonRecordingSpan(SpanContext(trace, root, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
        return self._tracer.start_span(
            name, context=set_span_in_context(parent), kind=kind, start_time=_nanoseconds(started),
            attributes=_said({"gen_ai.conversation.id": session, **told}),
        )  # fmt: skip


class _Ids(RandomIdGenerator):
    """Random ones, except for the root of a session's trace, which is only made once its children are there."""

    def __init__(self) -> None:
        self.next: tuple[int, int] | None = None

    def generate_span_id(self) -> int:
        return super().generate_span_id() if self.next is None else self.next[1]

    def generate_trace_id(self) -> int:
        return super().generate_trace_id() if self.next is None else self.next[0]


def _ids_of(session: str) -> tuple[int, int]:
    """A session's trace and root span: the same in every gateway that it passes."""
    found = digest(b"trace", session.encode())
    return int.from_bytes(found[:16]) or 1, int.from_bytes(found[-8:]) or 1


def _by_session(rows: Sequence[Row]) -> Iterator[tuple[str, list[ScoreRow]]]:
    found: dict[str, list[ScoreRow]] = {}
    for row in rows:
        if isinstance(row, ScoreRow):
            found.setdefault(row.session, []).append(row)
    yield from found.items()


def _end(span: Span, ended: float, cause: str | None) -> None:
    if cause is not None:
        span.set_attribute("error.type", cause)
        span.set_status(Status(StatusCode.ERROR))
    span.end(_nanoseconds(ended))


def _nanoseconds(time: float) -> int:
    return int(time * 1e9)


def _said(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}
