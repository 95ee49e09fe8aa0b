"""Live scoring: which sessions a rubric looks at, that scores come by themselves and once, and what they may cost."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from aiohttp import web

from drawbar.environment import Environment
from drawbar.errors import ConfigurationError
from drawbar.gateway import Gateway
from drawbar.judging import judge
from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings
from drawbar.record.feedback import Feedback
from drawbar.record.rows import LiveScoringRow, SessionRow
from drawbar.record.store import Store
from drawbar.rubric import group_reward, metric, reward
from drawbar.score import live
from drawbar.score.live_rule import LiveRule
from drawbar.score.scoring import score
from drawbar.trajectory import Score, Trajectory

if TYPE_CHECKING:
    from pathlib import Path

    from tests.proxy.conftest import Provider

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
ANY = (LiveRule(environment="shop", all=True),)


def length(completion: str) -> float:
    return float(len(completion))


Open = Callable[..., Any]


@pytest.fixture
def gateway(provider: Provider, tmp_path: Path) -> Open:
    """A gateway with rules, on one store for the whole test."""

    @asynccontextmanager
    async def opened(rubric: Sequence[Any], rules: Sequence[LiveRule] = ANY, **more: Any) -> AsyncIterator[Gateway]:
        store = Store.open(tmp_path / "test.db")
        models = Models(base_url=provider.url + "/v1", api_key="k")
        shop = Environment(name="shop", rubric=rubric, **more)
        try:
            async with Gateway(
                store, models, environments={"shop": shop}, settings=Settings(score_live=tuple(rules))
            ) as found:
                yield found
        finally:
            store.close()

    return opened


async def talk(gateway: Gateway, body: dict[str, Any] = ASK, **headers: str) -> str:
    """One answered call of a live agent; its session's id."""
    sent = anyio.create_memory_object_stream[Any](100)
    raw = json.dumps(body).encode()
    messages = iter([{"type": "http.request", "body": raw, "more_body": False}])

    async def receive() -> dict[str, Any]:
        found = next(messages, None)
        if found is None:
            await asyncio.Event().wait()
        assert found is not None
        return found

    scope = {
        "type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "raw_path": b"",
        "headers": [(b"host", b"localhost"), *((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items())],
    }  # fmt: skip
    await gateway(scope, receive, sent[0].send)
    for stream in sent:
        stream.close()
    await gateway.recorder.commit()
    return str(gateway.store.sessions(limit=1)[0].id)


async def scored(gateway: Gateway, session: str, count: int = 1) -> list[Score]:
    with anyio.fail_after(10):
        while True:
            found = list(gateway.store.trajectory(session).scores)
            if len(found) >= count:
                return found
            await anyio.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while True:
            if condition():
                return
            await anyio.sleep(0.002)


async def settled(gateway: Gateway) -> None:
    """Wait until nothing is due any more."""
    await until(lambda: not gateway.scoring.waiting and not gateway.scoring.working)
    await gateway.recorder.commit()


async def test_a_session_that_ends_is_scored_by_itself(gateway: Open) -> None:
    async with gateway([length]) as served:
        session = await talk(served)
        await served.end(session, stop="completed")
        (found,) = await scored(served, session)
        assert (found.name, found.value, found.source, found.weight) == ("length", 5.0, "live", 1.0)
        assert served.store.trajectory(session).reward == 5.0


async def test_live_scores_are_those_that_the_rubric_gives_elsewhere(gateway: Open) -> None:
    async with gateway([length]) as served:
        session = await talk(served)
        await served.end(session, stop="completed")
        (found,) = await scored(served, session)
        (row,) = await score(served.environments["shop"].scoring, served.store.trajectory(session))
        assert (row.value, row.rubric_version) == (found.value, found.rubric_version)


async def test_what_needs_a_task_is_skipped_with_a_reason_and_weighs_nothing(gateway: Open) -> None:
    @reward
    def exact(completion: str, answer: str) -> bool:
        return completion == answer

    @metric
    def key(task: Any) -> float:
        return 1.0

    @group_reward
    def rank(completions: list[str]) -> list[float]:
        return [0.0 for _ in completions]

    async with gateway([length, exact, key, rank]) as served:
        session = await talk(served)
        await served.end(session, stop="completed")
        found = {score.name: score for score in await scored(served, session, 4)}
        assert served.store.trajectory(session).reward == 5.0
    for name, why in (("exact", "no task"), ("key", "no task"), ("rank", "one task")):
        assert found[name].value is None
        assert str(found[name].error).startswith("skipped: ")
        assert why in str(found[name].error)


async def test_a_crash_between_a_sessions_end_and_its_scores_loses_none(gateway: Open, tmp_path: Path) -> None:
    began = asyncio.Event()

    async def endless(completion: str) -> float:
        began.set()
        await asyncio.Event().wait()
        return 0.0

    async with gateway([endless]) as served:
        session = await talk(served)
        await served.end(session, stop="completed")
        with anyio.fail_after(10):
            await began.wait()
        # What a killed gateway leaves: the claim of whoever was at work, and no score.
        assert served.store.trajectory(session).scores == []
    async with gateway([length]) as served:
        assert [score.value for score in await scored(served, session)] == [5.0]


async def test_the_claim_of_a_dead_gateway_runs_out(gateway: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK", 0.05)
    async with gateway([length], ()) as served:
        session = await talk(served)
        await served.end(session, stop="completed")
        now = time.time()
        await served.record(LiveScoringRow(session=session, rubric="shop", created=now, taken=now + 0.5))
        served.scoring.rules = ANY
        assert [score.value for score in await scored(served, session)] == [5.0]
        assert time.time() >= now + 0.5


async def test_two_gateways_on_one_store_score_a_session_once(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOOK", 0.01)
    counted: list[str] = []

    async def once(session: str) -> float:
        counted.append(session)
        await anyio.sleep(0.05)
        return 1.0

    shop = Environment(name="shop", rubric=[once])
    stores = [Store.open(tmp_path / "test.db") for _ in range(2)]
    try:
        one, two = (
            Gateway(
                store,
                Models(base_url=provider.url + "/v1"),
                environments={"shop": shop},
                settings=Settings(score_live=ANY),
            )
            for store in stores
        )
        async with one, two:
            sessions = [await talk(one, {**ASK, "messages": [{"role": "user", "content": str(n)}]}) for n in range(12)]
            for session in sessions:
                await one.end(session, stop="completed")
            for session in sessions:
                await scored(one, session)
            await settled(one)
            await settled(two)
            assert sorted(counted) == sorted(sessions)
            assert all(len(one.store.trajectory(session).scores) == 1 for session in sessions)
    finally:
        for store in stores:
            store.close()


async def test_a_session_that_is_scored_twice_after_all_has_each_score_once(gateway: Open) -> None:
    async with gateway([length]) as served:
        session = await talk(served)
        await served.end(session, stop="completed")
        await scored(served, session)
        await settled(served)
        await served.record(LiveScoringRow(session=session, rubric="shop", created=1.0))
        served.scoring._add(session, "shop")
        await settled(served)
        assert served.store.due(["shop"], time.time(), 10) == []
        assert len(served.store.trajectory(session).scores) == 1


async def test_feedback_is_a_reward_where_a_rubric_names_it(gateway: Open) -> None:
    @reward
    def liked(feedback: dict[str, Any]) -> float:
        return float(feedback["thumbs"])

    async with gateway([liked]) as served:
        session = await talk(served)
        await served.end(session, stop="completed")
        (before,) = await scored(served, session)
        assert before.error == "skipped: it asks for `feedback`, and nobody has given any"
        await settled(served)
        for count, (thumbs, value) in enumerate((("up", 1.0), ("down", 0.0)), start=1):
            row = served.store.session(session)
            assert row is not None
            await served.record(*Feedback(thumbs=thumbs).rows(session, None))
            await served.scoring.heard(row)
            await settled(served)
            trajectory = served.store.trajectory(session)
            assert trajectory.reward == value
            assert len(trajectory.scores) == 1 + 2 * count


async def test_rollouts_and_sessions_without_an_answer_are_left_alone(gateway: Open, provider: Provider) -> None:
    async def fails(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no"}}, status=400)

    async with gateway([length]) as served:
        provider.answer = fails
        failed = await talk(served)
        await served.end(failed, stop="completed")
        row = SessionRow(id="ses_run", run="run_1", started=1.0)
        await served.record(row)
        await served.end(row.id, stop="completed")
        await settled(served)
        assert [served.store.trajectory(id).scores for id in (failed, row.id)] == [[], []]


async def test_judges_are_skipped_once_their_budget_is_spent(gateway: Open, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(provider.completion("yes" if body["model"] == "judge" else "hello"))

    provider.answer = answer
    rule = LiveRule(environment="shop", all=True, judge_calls=1)
    async with gateway([length, judge("Good? {{ completion }}", model="judge")], [rule]) as served:
        values = []
        for text in ("one", "two"):
            session = await talk(served, {**ASK, "messages": [{"role": "user", "content": text}]})
            await served.end(session, stop="completed")
            values.append({score.name: (score.value, score.error) for score in await scored(served, session, 2)})
            await settled(served)
    assert values[0] == {"length": (5.0, None), "judge": (1.0, None)}
    assert values[1]["length"] == (5.0, None)
    assert values[1]["judge"] == (None, "skipped: this hour's 1 questions to judges have been asked")


@pytest.mark.parametrize("again", ["restarted", "beside"])
async def test_a_judges_budget_holds_after_a_restart_and_for_two_gateways(
    gateway: Open, provider: Provider, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(provider.completion("yes" if body["model"] == "judge" else "hello"))

    async def one_more(served: Gateway, text: str) -> tuple[float | None, str | None]:
        session = await talk(served, {**ASK, "messages": [{"role": "user", "content": text}]})
        await served.end(session, stop="completed")
        [score] = await scored(served, session, 1)
        await settled(served)
        return score.value, score.error

    provider.answer = answer
    monkeypatch.setattr("drawbar.score.live_budget.FRESH", 0.0)
    rubric = [judge("Good? {{ completion }}", model="judge")]
    rule = LiveRule(environment="shop", all=True, judge_calls=2)
    skipped = (None, "skipped: this hour's 2 questions to judges have been asked")
    async with gateway(rubric, [rule]) as first:
        assert await one_more(first, "one") == (1.0, None)
        if again == "beside":
            async with gateway(rubric, [rule]) as other:
                assert await one_more(other, "two") == (1.0, None)
            assert await one_more(first, "three") == skipped
    async with gateway(rubric, [rule]) as second:
        if again == "restarted":
            assert await one_more(second, "two") == (1.0, None)
        assert await one_more(second, "four") == skipped


async def test_a_slow_plain_function_holds_up_no_request(gateway: Open) -> None:
    def slow(completion: str) -> float:
        time.sleep(0.6)
        return 1.0

    async with gateway([slow]) as served:
        session = await talk(served)
        await served.end(session, stop="completed")
        await until(lambda: served.scoring.working > 0)
        longest = 0.0
        while served.scoring.working:
            before = time.monotonic()
            await anyio.sleep(0.005)
            longest = max(longest, time.monotonic() - before)
        assert longest < 0.4
        assert len(await scored(served, session)) == 1


async def test_a_full_queue_is_seen_and_loses_nothing(gateway: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_WAITING", 1)
    monkeypatch.setattr(live, "WORKERS", 1)
    monkeypatch.setattr(live, "LOOK", 0.02)
    go = asyncio.Event()

    async def waits(completion: str) -> float:
        await go.wait()
        return 1.0

    async with gateway([waits]) as served:
        sessions = [await talk(served, {**ASK, "messages": [{"role": "user", "content": str(n)}]}) for n in range(5)]
        for session in sessions:
            await served.end(session, stop="completed")
        assert served.scoring.overflowed > 0
        go.set()
        for session in sessions:
            await scored(served, session)


@pytest.mark.parametrize(
    ("rule", "meant"),
    [
        ("shop", False),
        ("shop,all", True),
        ("shop:0,all", False),
        ("shop,model=m*", True),
        ("shop,model=gpt*", False),
        ("shop,agent=codex", False),
        ("shop,metadata.team=blue", True),
        ("shop,metadata.team=green", False),
        ("shop,key=ci", True),
        ("shop,key=other", False),
        ("shop,tag=beta,metadata.team=blue", True),
    ],
)
def test_a_rule_says_which_sessions_it_means(rule: str, meant: bool) -> None:
    row = SessionRow(id="s", started=1.0, metadata=b'{"team":"blue","tags":["alpha","beta"],"key":"ci"}')
    parsed = LiveRule.parse(rule)
    assert (parsed.may_mean(row) and parsed.means(_with_model("m1"))) == meant


@pytest.mark.parametrize("fields", [{"environment": "shop"}, {"metadata": b'{"environment":"shop"}'}])
def test_a_rule_by_environment_means_the_sessions_that_work_in_it(fields: dict[str, Any]) -> None:
    assert LiveRule(environment="shop").may_mean(SessionRow(id="s", started=1.0, **fields))
    assert not LiveRule(environment="shop").may_mean(SessionRow(id="s", started=1.0, run="run_1", **fields))


def test_sampling_takes_about_its_share_and_always_the_same() -> None:
    rule = LiveRule(environment="shop", all=True, rate=0.25)
    rows = [SessionRow(id=f"ses_{n}", started=1.0) for n in range(2000)]
    taken = [row.id for row in rows if rule.may_mean(row)]
    assert 400 < len(taken) < 600
    assert taken == [row.id for row in rows if rule.may_mean(row)]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("shop:2", "rate"),
        ("shop:x", "not a number"),
        ("shop,colour=red", "colour"),
        ("shop,judge_calls=-1", "judge_calls"),
    ],
)
def test_a_rule_that_cannot_be_meant_says_what_is_wrong(text: str, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=wrong):
        LiveRule.parse(text)


def _with_model(name: str) -> Trajectory:
    from types import SimpleNamespace
    from typing import cast

    return cast(Trajectory, SimpleNamespace(calls=[SimpleNamespace(model=name)]))
