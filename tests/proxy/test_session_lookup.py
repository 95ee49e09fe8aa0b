"""Which session a request belongs to: by key in any place, after a restart too; and what becomes of others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from aiohttp import web

from drawbar.environment import Environment
from drawbar.errors import ConfigurationError, UnknownName
from drawbar.proxy.settings import Settings
from drawbar.record.rows import Row
from drawbar.record.store import Store
from drawbar.sessions import Session, SessionSpec
from drawbar.task import Limits, Task

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam
    from tests.proxy.conftest import House, MakeHouse, Provider

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
ASK = {"model": "m", "messages": HI}

WAYS: dict[str, Callable[[str], dict[str, Any]]] = {
    "bearer token": lambda key: {"headers": {"authorization": f"Bearer {key}"}},
    "x-api-key": lambda key: {"headers": {"x-api-key": key}},
    "x-goog-api-key": lambda key: {"headers": {"x-goog-api-key": key}},
    "URL": lambda key: {"path": f"/s/{key}/v1/chat/completions"},
    "URL and any key": lambda key: {
        "path": f"/s/{key}/v1/chat/completions", "headers": {"authorization": "Bearer sk-whatever"},
    },
    "header": lambda key: {"headers": {"x-drawbar-session": key, "authorization": "Bearer sk-whatever"}},
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
async def test_a_session_is_found_by_its_key(house: House, way: str) -> None:
    session = await house.session()
    response = await house.post(None, ASK, **WAYS[way](session.key))
    assert response.status == 200
    assert (await house.trajectory(session)).turns == 1


@pytest.mark.parametrize("way", WAYS)
async def test_an_unknown_key_is_refused_and_not_repeated(house: House, provider: Provider, way: str) -> None:
    response = await house.post(None, ASK, **WAYS[way]("dbk_0123456789"))
    assert response.status == 401
    assert "dbk_0123456789" not in await response.text()
    assert not provider.raw


async def test_the_api_key_comes_before_the_url(house: House) -> None:
    by_key, by_url = await house.session(), await house.session()
    await house.post(by_key, ASK, path=f"/s/{by_url.key}/v1/chat/completions")
    assert ((await house.trajectory(by_key)).turns, (await house.trajectory(by_url)).turns) == (1, 0)


@pytest.mark.parametrize("way", WAYS)
async def test_an_ended_session_answers_409_with_the_reason(house: House, provider: Provider, way: str) -> None:
    session = await house.session()
    await house.gateway.end(session.id, stop="completed")
    response = await house.post(None, ASK, **WAYS[way](session.key))
    assert response.status == 409
    assert response.headers["x-should-retry"] == "false"
    error = (await response.json())["error"]
    assert (error["code"], error["message"]) == ("completed", "This session has ended (completed).")
    assert not provider.raw


async def test_an_sdk_does_not_insist_on_an_ended_session(house: House) -> None:
    session = await house.session()
    await house.gateway.end(session.id, stop="limit_time")
    async with house.openai(session, max_retries=3) as client:
        with pytest.raises(openai.ConflictError, match="limit_time"):
            await client.chat.completions.create(model="m", messages=HI)


async def test_ending_twice_changes_nothing(house: House) -> None:
    session = await house.session(metadata={"a": 1})
    await house.gateway.end(session.id, stop="completed", metadata={"b": 2})
    await house.gateway.end(session.id, stop="harness_failed", error="no")
    trajectory = await house.trajectory(session)
    assert (trajectory.status, trajectory.stop, trajectory.error) == ("ended", "completed", None)
    assert trajectory.metadata == {"a": 1, "b": 2}
    with pytest.raises(UnknownName):
        await house.gateway.end("ses_none", stop="completed")


async def test_calls_under_way_are_stopped_when_their_session_ends(house: House, provider: Provider) -> None:
    asked = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    provider.answer = answer
    session = await house.session()
    under_way = asyncio.create_task(house.post(session, ASK))
    await asked.wait()
    await house.gateway.end(session.id, stop="completed")
    response = await under_way
    assert (response.status, (await response.json())["error"]["code"]) == (409, "cancelled")
    await provider.left.wait()
    (call,) = (await house.trajectory(session)).calls
    assert (call.status, call.cause) == ("failed", "cancelled")


async def test_a_restarted_gateway_knows_its_sessions_with_all_that_they_used(
    serve: MakeHouse, provider: Provider, tmp_path: Path
) -> None:
    environment = Environment(name="env", limits=Limits(turns=3), sampling={"temperature": 0.5})
    task = Task(prompt="do it", key="t1")
    async with serve(environments={"env": environment}) as house:
        session = await house.session(environment="env", task=task, model="real")
        await house.post(session, ASK)
        ended = await house.session()
        await house.gateway.end(ended.id, stop="agent_failed")
    async with serve(environments={"env": environment}) as house:
        found = await asyncio.gather(*(house.gateway.sessions.find(session.key) for _ in range(5)))
        assert len({id(each) for each in found}) == 1
        restored = found[0]
        assert (restored.turns, restored.tokens, restored.calls) == (1, 15, 1)
        assert (restored.environment, restored.task, restored.row.model) == (environment, task, "real")
        assert restored.limits == Limits(turns=3)
        await house.post(restored, ASK)
        await house.post(restored, ASK)
        response = await house.post(restored, ASK)
        assert (response.status, (await response.json())["error"]["code"]) == (409, "limit_turns")
        assert provider.bodies[-1]["temperature"] == 0.5
        assert [call.seq for call in (await house.trajectory(restored)).calls] == [0, 1, 2, 3]
        response = await house.post(ended, ASK)
        assert (response.status, (await response.json())["error"]["code"]) == (409, "agent_failed")


async def test_where_clients_need_keys_only_those_are_served(serve: MakeHouse, provider: Provider) -> None:
    async with serve(settings=Settings(keys=frozenset({"team-key"}), admin_key="admin")) as house:
        assert (await house.post(None, ASK)).status == 401
        assert (await house.post(None, ASK, headers={"authorization": "Bearer wrong"})).status == 401
        assert (await house.post(None, ASK, headers={"authorization": "Bearer team-key"})).status == 200
        assert (await house.post(await house.session(), ASK)).status == 200


def test_a_gateway_for_others_needs_keys() -> None:
    with pytest.raises(ConfigurationError, match="needs an admin key and client keys"):
        Settings(loopback=False)
    with pytest.raises(ConfigurationError, match="needs an admin key and client keys"):
        Settings(loopback=False, admin_key="a")
    assert "secret" not in repr(Settings(loopback=False, admin_key="a-secret", keys=frozenset({"b-secret"})))


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:80"},
        {"origin": "https://evil.example"},
        {"host": ""},
        {"origin": "http://["},
        {"origin": "null"},
        {"origin": "http://localhost@evil.example"},
    ],
)
async def test_pages_of_others_cannot_use_a_gateway_on_this_machine(house: House, headers: dict[str, str]) -> None:
    response = await house.post(await house.session(), ASK, headers=headers)
    assert response.status == 403


@pytest.mark.parametrize(
    "headers",
    [{"host": "localhost:1"}, {"host": "[::1]:80"}, {"host": "box.internal"}, {"origin": "http://localhost:3000"}],
)
async def test_names_of_this_machine_and_allowed_ones_are_served(serve: MakeHouse, headers: dict[str, str]) -> None:
    async with serve(settings=Settings(allowed_hosts=frozenset({"box.internal"}))) as house:
        assert (await house.post(await house.session(), ASK, headers=headers)).status == 200


async def test_an_unknown_environment_is_told_with_the_nearest(serve: MakeHouse) -> None:
    async with serve(environments={"wiki": Environment(name="wiki")}) as house:
        with pytest.raises(UnknownName, match="Did you mean 'wiki'"):
            await house.gateway.open(SessionSpec(environment="wikki"))
        response = await house.post(None, {}, path="/mcp/wikki", headers={"content-type": "application/json"})
        assert response.status == 404


async def test_sessions_are_durable_when_they_are_open(house: House, tmp_path: Path) -> None:
    session: Session = await house.session(metadata={"who": "me"})
    other = Store.open(tmp_path / "test.db", read_only=True)
    try:
        row = other.session(session.id)
    finally:
        other.close()
    assert row is not None
    assert (row.status, row.metadata) == ("open", b'{"who":"me"}')


async def test_a_session_that_ends_while_its_intent_is_recorded_asks_nobody(house: House, provider: Provider) -> None:
    session = await house.session()
    post = house.gateway.recorder.post
    posting, go_on = asyncio.Event(), asyncio.Event()

    async def slow(*rows: Row) -> None:
        posting.set()
        await go_on.wait()
        await post(*rows)

    house.gateway.recorder.post = slow  # type: ignore[method-assign]
    asking = asyncio.create_task(house.post(session, ASK))
    await posting.wait()
    ending = asyncio.create_task(house.gateway.end(session.id, stop="completed"))
    await asyncio.sleep(0)
    go_on.set()
    await ending
    assert ((await asking).status, provider.raw) == (409, [])
    (call,) = (await house.trajectory(session)).calls
    assert (call.status, call.cause) == ("failed", "cancelled")
