"""/metrics: what is counted, who may read it, that labels are bounded and that it costs next to nothing."""

from __future__ import annotations

import json
import re
import time
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from drawbar.proxy.settings import Settings
from drawbar.record.rows import CallRow, LiveScoringRow, ScoreRow, SessionRow, ToolCallRow
from drawbar.telemetry.exposition import AlertsNow, Now, exposition
from drawbar.telemetry.metrics import MOST_MODELS, Metrics

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse, Provider

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
NOTHING = Now(
    live_sessions=0, calls_under_way=0, recorder_rows=0, recorder_lag=0.0, recorder_failing=False, recorder_lost=0,
    recorder_spooled=0, unrecorded=0, scoring_waiting=0, scoring_working=0, scoring_overflowed=0,
    alerts=AlertsNow(
        firing={"low": True}, values={"low": 0.5}, failed_looks=0, messages={("ops", "sent"): 1}, waiting=0
    ),
)  # fmt: skip


def call(**more: Any) -> CallRow:
    given = {
        "id": "c", "session": "s", "seq": 0, "dialect": "chat", "path": "/", "model": "m", "status": "answered",
        "prompt_tokens": 10, "completion_tokens": 5, "cost": 0.5, "started": 1.0, "first_byte": 1.2, "ended": 3.0,
    }  # fmt: skip
    return CallRow(**{**given, **more})


def scored(name: str, value: float | None, weight: float = 1.0, session: str = "s", kind: str = "reward") -> ScoreRow:
    return ScoreRow(
        id=name, session=session, name=name, kind=kind, value=value, weight=weight, rubric_version="v1",
        source="live", created=1.0,
    )  # fmt: skip


def read(text: str) -> dict[str, float]:
    """Samples by name and labels: `drawbar_requests_total{model=m}`."""
    return {
        f"{sample.name}{{{','.join(f'{k}={v}' for k, v in sorted(sample.labels.items()))}}}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def counted(metrics: Metrics) -> dict[str, float]:
    return read(exposition(metrics, NOTHING).decode())


async def scrape(house: House, key: str | None = None) -> tuple[int, str]:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    async with house.http.get(house.url + "/metrics", headers=headers) as response:
        return response.status, await response.text()


async def test_what_passes_the_gateway_is_counted(house: House, provider: Provider) -> None:
    session = await house.session()
    await house.post(session, ASK)
    await house.post(session, {**ASK, "stream": True})
    await house.post(None, ASK)

    async def refuses(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no"}}, status=400)

    provider.answer = refuses
    await house.post(session, ASK)
    await house.gateway.end(session.id, stop="completed")
    status, text = await scrape(house)
    found = read(text)
    assert status == 200
    assert found["drawbar_requests_total{cause=,dialect=chat,model=m,status=answered}"] == 3
    assert found["drawbar_requests_total{cause=upstream_rejected,dialect=chat,model=m,status=failed}"] == 1
    assert found["drawbar_tokens_total{kind=prompt,model=m}"] >= 20
    assert found["drawbar_request_duration_seconds_count{model=m}"] == 4
    assert found["drawbar_time_to_first_token_seconds_count{model=m}"] >= 3
    assert found["drawbar_live_sessions_open{}"] == 1
    assert sum(value for name, value in found.items() if name.startswith("drawbar_sessions_ended_total")) == 1
    assert 0 <= found["drawbar_recorder_lag_seconds{}"] < 5
    assert found["drawbar_requests_under_way{}"] == 0


async def test_only_this_machine_or_the_admin_reads_them(serve: MakeHouse) -> None:
    async with serve(settings=Settings(admin_key="admin", keys=frozenset({"client"}))) as house:
        assert (await scrape(house))[0] == 401
        assert (await scrape(house, "client"))[0] == 401
        assert (await scrape(house, "admin"))[0] == 200


def test_an_intent_counts_nothing() -> None:
    metrics = Metrics()
    metrics.observe([call(ended=None, status="started")])
    assert not any("requests_total" in name for name in counted(metrics))


def test_a_reward_is_counted_under_its_rubric_and_the_sessions_model() -> None:
    metrics = Metrics()
    for session, value in (("a", 1.0), ("b", 0.0), ("c", 1.0), ("d", None)):
        done = LiveScoringRow(session=session, rubric="shop", state="done", created=1.0)
        metrics.observe([call(session=session)])
        metrics.observe([scored("ok", value, session=session), scored("fast", 1.0, 0.0, session), done])
    found = counted(metrics)
    assert found["drawbar_reward_mean{model=m,rubric=shop@v1}"] == pytest.approx(2 / 3)
    assert found["drawbar_rewards_total{model=m,rubric=shop@v1}"] == 3
    assert found["drawbar_score_mean{model=m,name=fast,rubric=shop@v1}"] == 1.0
    assert found["drawbar_scores_missing_total{name=ok,rubric=shop@v1}"] == 1


def test_feedback_has_a_mean_of_its_own_and_is_no_reward() -> None:
    metrics = Metrics()
    metrics.observe([scored("thumbs", 1.0, 0.0, kind="feedback"), scored("correction", None, 0.0, kind="feedback")])
    found = counted(metrics)
    assert found["drawbar_score_mean{model=other,name=thumbs,rubric=feedback}"] == 1.0
    assert not any(name.startswith("drawbar_reward_mean") for name in found)


def test_tools_are_counted_with_their_errors_and_causes() -> None:
    metrics = Metrics()
    tool: dict[str, Any] = {
        "session": "s",
        "seq": 0,
        "server": "shop",
        "tool": "buy",
        "name": "buy",
        "arguments": b"{}",
    }
    done = {**tool, "started": 1.0, "ended": 1.3}
    metrics.observe([ToolCallRow(id="1", status="answered", is_error=True, **done)])
    metrics.observe([ToolCallRow(id="2", status="failed", cause="tool_timeout", **done)])
    metrics.observe([ToolCallRow(id="3", started=1.0, **tool)])
    found = counted(metrics)
    assert found["drawbar_tool_calls_total{cause=tool_timeout,server=shop,status=failed,tool=buy}"] == 1
    assert found["drawbar_tool_errors_total{server=shop,tool=buy}"] == 1
    assert found["drawbar_tool_duration_seconds_count{server=shop,tool=buy}"] == 2
    assert found["drawbar_tool_duration_seconds_bucket{le=0.25,server=shop,tool=buy}"] == 0


def test_clients_cannot_make_labels_without_end() -> None:
    metrics = Metrics()
    for number in range(3 * MOST_MODELS):
        metrics.observe([call(model=f"model {number}", cause=f"cause {number}", status="failed")])
    assert len(metrics.models) == MOST_MODELS + 1
    assert sum(sum(model.ends.values()) for model in metrics.models.values()) == 3 * MOST_MODELS
    assert {cause for model in metrics.models.values() for _, _, cause in model.ends} == {"other"}


def test_what_cannot_be_counted_fails_nothing(caplog: pytest.LogCaptureFixture) -> None:
    Metrics().observe([call(started="yesterday")])
    assert "could not be counted" in caplog.text


def test_counting_a_call_takes_less_than_five_microseconds() -> None:
    metrics, rows = Metrics(), [SessionRow(id="s", started=1.0), call()]
    best = min(_seconds(metrics, rows) for _ in range(5))
    assert best < 5e-6 * 3  # of a busy machine; alone it takes less than two


def _seconds(metrics: Metrics, rows: list[Any]) -> float:
    began = time.process_time()
    for _ in range(2000):
        metrics.observe(rows)
    return (time.process_time() - began) / 2000


def test_every_query_of_the_dashboard_names_metrics_that_there_are() -> None:
    metrics = Metrics()
    tool = ToolCallRow(
        id="1", session="s", seq=0, server="x", tool="y", name="y", arguments=b"{}", status="answered", started=1.0,
        ended=2.0,
    )  # fmt: skip
    metrics.observe(
        [call(), tool, SessionRow(id="s", started=1.0, status="ended"), scored("a", 1.0), scored("b", None)]
    )
    metrics.observe([scored("c", 1.0)])
    names = {name.partition("{")[0] for name in counted(metrics)}
    dashboard = json.loads(files("drawbar.telemetry").joinpath("grafana.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = {name for query in queries for name in re.findall(r"\bdrawbar_\w+", query)}
    assert len(queries) > 15
    assert used <= names
    shown = {name for name in names if not name.endswith(("_created", "_count", "_sum"))}
    assert shown == used, "a metric that no panel shows"


def test_every_label_of_the_dashboards_queries_is_one_of_its_metric() -> None:
    labels = {
        "model",
        "dialect",
        "status",
        "cause",
        "kind",
        "server",
        "tool",
        "rubric",
        "name",
        "origin",
        "version",
        "alert",
        "webhook",
        "result",
        "le",
    }
    text = files("drawbar.telemetry").joinpath("grafana.json").read_text()
    assert set(re.findall(r"\{\{(\w+)\}\}", text)) <= labels
