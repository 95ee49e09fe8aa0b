"""Traces: a session is one, its calls and tool calls are spans in it, and nothing that was said is told."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from drawbar.errors import ConfigurationError
from drawbar.record.rows import CallRow, ScoreRow, SessionRow, ToolCallRow
from drawbar.telemetry.traces import Traces
from drawbar.telemetry.tracing import tracing

if TYPE_CHECKING:
    from tests.proxy.conftest import House, Provider

ASK = {"model": "m", "messages": [{"role": "user", "content": "a secret question"}]}


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(exporter: InMemorySpanExporter) -> Traces:
    return Traces(SimpleSpanProcessor(exporter))


def named(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


async def test_a_sessions_calls_and_scores_are_spans_of_its_trace(
    house: House, provider: Provider, traces: Traces, exporter: InMemorySpanExporter
) -> None:
    house.gateway.recorder.listeners.append(traces.observe)
    session = await house.session(harness="loop")
    await house.post(session, ASK)

    async def refuses(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no"}}, status=400)

    provider.answer = refuses
    await house.post(session, {**ASK, "model": "n"})
    await house.gateway.end(session.id, stop="completed")
    found = named(exporter)
    root, good, bad = found["invoke_agent loop"], found["chat m"], found["chat n"]
    assert root.parent is None
    for span in (good, bad):
        assert span.context.trace_id == root.context.trace_id
        assert span.parent is not None
        assert span.parent.span_id == root.context.span_id
    told = dict(good.attributes or {})
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.usage.input_tokens"] == 10
    assert told["gen_ai.conversation.id"] == session.id
    assert good.status.is_ok or good.status.is_unset
    assert dict(bad.attributes or {})["error.type"] == "upstream_rejected"
    assert not bad.status.is_ok
    assert "secret question" not in "".join(span.to_json() for span in exporter.get_finished_spans())


def test_tool_calls_and_scores_have_the_names_of_the_conventions(
    traces: Traces, exporter: InMemorySpanExporter
) -> None:
    tool = ToolCallRow(
        id="t", session="s", seq=0, server="shop", tool="buy", name="shop_buy", arguments=b'{"card":1}',
        status="failed", cause="tool_timeout", started=1.0, ended=2.0,
    )  # fmt: skip
    score = ScoreRow(
        id="x", session="s", name="ok", kind="reward", value=0.5, weight=1.0, rubric_version="v", source="live",
        explanation="said", created=3.0,
    )  # fmt: skip
    traces.observe([tool, score])
    found = named(exporter)
    assert dict(found["execute_tool buy"].attributes or {})["gen_ai.tool.name"] == "buy"
    assert dict(found["execute_tool buy"].attributes or {})["error.type"] == "tool_timeout"
    (event,) = found["evaluate"].events
    assert event.name == "gen_ai.evaluation.result"
    assert dict(event.attributes or {})["gen_ai.evaluation.score.value"] == 0.5
    assert found["evaluate"].context.trace_id == found["execute_tool buy"].context.trace_id


def test_what_is_under_way_is_no_span_yet(traces: Traces, exporter: InMemorySpanExporter) -> None:
    call = CallRow(id="c", session="s", seq=0, dialect="chat", path="/", model="m", started=time.time())
    traces.observe([call, SessionRow(id="s", started=time.time())])
    assert exporter.get_finished_spans() == ()


def test_what_cannot_be_traced_fails_nothing(traces: Traces, caplog: pytest.LogCaptureFixture) -> None:
    broken: Any = SessionRow(id="s", started="yesterday", status="ended")  # type: ignore[arg-type]
    traces.observe([broken])
    assert "could not be traced" in caplog.text


async def test_traces_reach_a_collector_by_http(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        told.append(await request.read())
        return web.Response(body=b"", content_type="application/x-protobuf")

    application = web.Application()
    application.router.add_post("/v1/traces", take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{runner.addresses[0][1]}")
        async with tracing(True) as (observe,):
            observe([SessionRow(id="ses_1", started=1.0, status="ended", ended=2.0)])
    finally:
        await runner.cleanup()
    assert b"ses_1" in b"".join(told)


async def test_traces_without_opentelemetry_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "drawbar.telemetry.traces", None)
    with pytest.raises(ConfigurationError, match="drawbar\\[otel\\]"):
        async with tracing(True):
            raise AssertionError


async def test_nobody_is_told_where_no_traces_are_wanted() -> None:
    async with tracing(False) as listeners:
        assert listeners == []
