"""Keys of clients: what they may ask, what is left of their budgets, and where they never stand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
import pytest
from aiohttp import web
from typer.testing import CliRunner

from drawbar.cli.keys import app
from drawbar.errors import ConfigurationError, UnknownName
from drawbar.proxy.keys import Holder, KeyRing
from drawbar.proxy.refused import Refused
from drawbar.proxy.settings import Settings
from drawbar.record.client_keys import Grant, KeyTable, Used
from drawbar.record.rows import KeyRow
from drawbar.record.store import Store

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse, Provider

HI = [{"role": "user", "content": "hi"}]
Make = Callable[..., str]
NOON = 1_790_000_040.0
"""A time forty seconds into a minute, in the middle of a day and a month."""


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """`drawbar keys create`; the key."""
    monkeypatch.setattr("drawbar.proxy.keys.LOOK", 0.0)

    def make(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["create", *arguments, "--store", str(tmp_path / "test.db")])
        assert done.exit_code == 0, done.output
        return done.stdout.split()[0]

    return make


def run(tmp_path: Path, *arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments, "--store", str(tmp_path / "test.db")], catch_exceptions=False)
    return done.stdout


async def ask(house: House, key: str, path: str = "/v1/chat/completions", **fields: Any) -> tuple[int, dict[str, Any]]:
    body = {"model": "m", "messages": HI, **fields}
    response = await house.post(None, body, path=path, headers={"authorization": f"Bearer {key}"})
    return response.status, await response.json()


async def test_with_a_key_in_the_store_every_client_must_show_one(serve: MakeHouse, make: Make) -> None:
    async with serve() as house:
        assert (await ask(house, "anything"))[0] == 200
        key = make("ci", "--project", "shop")
        status, body = await ask(house, "anything")
        assert (status, body["error"]["code"]) == (401, "key_required")
        status, body = await ask(house, "dbg_" + "0" * 40)
        assert (status, body["error"]["code"]) == (401, "key_unknown")
        assert (await ask(house, key))[0] == 200
        await house.gateway.recorder.commit()
        row = house.gateway.store.sessions()[0]
        assert msgspec.json.decode(row.metadata) == {"key": "ci", "project": "shop"}


async def test_many_who_come_at_once_share_one_look_at_a_key(
    serve: MakeHouse, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make("ci")
    monkeypatch.setattr("drawbar.proxy.keys.LOOK", 60.0)
    looks: list[bytes] = []
    find = KeyTable.find

    def noted(table: KeyTable, name: bytes) -> KeyRow | None:
        looks.append(name)
        return find(table, name)

    monkeypatch.setattr(KeyTable, "find", noted)
    async with serve() as house:
        found = await asyncio.gather(*(ask(house, key) for _ in range(20)))
        assert [status for status, _ in found] == [200] * 20
        assert len(looks) == 1


async def test_a_key_stands_neither_in_the_store_nor_upstream(serve: MakeHouse, make: Make, provider: Provider) -> None:
    key = make("ci")
    async with serve(settings=Settings(pass_key=True)) as house:
        assert (await ask(house, key))[0] == 200
        assert key not in str(provider.requests[0].headers)
        await house.gateway.recorder.commit()
        assert not any(key.encode() in path.read_bytes() for path in house.store_files())


async def test_a_revoked_key_is_of_no_use(serve: MakeHouse, make: Make, tmp_path: Path) -> None:
    key = make("ci")
    make("other")
    async with serve() as house:
        assert (await ask(house, key))[0] == 200
        run(tmp_path, "revoke", "ci")
        assert (await ask(house, key))[0] == 401
    assert "revoked" in run(tmp_path, "list")
    with pytest.raises(UnknownName, match="'other'"):
        run(tmp_path, "revoke", "othr")
    with pytest.raises(ConfigurationError, match="There is a key named 'other'"):
        run(tmp_path, "create", "other")


async def test_a_revoked_key_is_refused_where_no_key_is_needed_any_more(
    serve: MakeHouse, make: Make, tmp_path: Path
) -> None:
    key = make("ci")
    async with serve() as house:
        run(tmp_path, "revoke", "ci")
        assert (await ask(house, key))[0] == 401
        assert (await ask(house, "sk-anything"))[0] == 200


@pytest.mark.parametrize(
    ("path", "shape"),
    [("/v1/chat/completions", "error"), ("/v1/messages", "error"), ("/v1/responses", "error")],
)
async def test_a_model_out_of_scope_is_refused_in_the_clients_dialect(
    serve: MakeHouse, make: Make, provider: Provider, path: str, shape: str
) -> None:
    key = make("ci", "--model", "gpt-*", "--model", "exact")
    async with serve() as house:
        status, body = await ask(house, key, path, model="claude", input="hi", max_tokens=5)
        assert status == 403
        assert "'ci' may not ask the model 'claude'" in body[shape]["message"]
        assert ("type" in body) == (path == "/v1/messages")
        assert not provider.raw
        assert (await ask(house, key, model="gpt-5"))[0] == 200
        assert (await ask(house, key, "/v1/embeddings", model="other", input="x"))[0] == 403
        assert house.gateway.store.sessions()[0].model is None


async def test_an_environment_out_of_scope_is_refused(serve: MakeHouse, make: Make) -> None:
    from drawbar.environment import Environment

    key = make("ci", "--environment", "mine")
    async with serve(environments={"theirs": Environment(name="theirs")}) as house:
        response = await house.post(None, {}, path="/mcp/theirs", headers={"authorization": f"Bearer {key}"})
        assert (response.status, (await response.json())["error"]["code"]) == (403, "key_environment")


async def test_requests_beyond_the_rate_are_told_when_to_come_again(serve: MakeHouse, make: Make) -> None:
    key = make("ci", "--requests-per-minute", "2")
    async with serve() as house:
        statuses = []
        for _ in range(6):  # a minute may begin anew meanwhile, but not twice
            response = await house.post(
                None, {"model": "m", "messages": HI}, headers={"authorization": f"Bearer {key}"}
            )
            statuses.append(response.status)
        assert 429 in statuses
        if response.status == 429:
            assert 1 <= int(response.headers["retry-after"]) <= 60
            error = (await response.json())["error"]
            assert (error["type"], error["code"]) == ("rate_limit_error", "key_requests")
            assert "its 2 requests a minute" in error["message"]


async def test_a_budget_holds_over_a_restart_and_over_two_gateways(
    serve: MakeHouse, make: Make, provider: Provider, tmp_path: Path
) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cost": 0.4}
        return web.json_response(provider.completion(usage=usage))

    provider.answer = answer
    key = make("ci", "--budget-day", "1")
    async with serve() as first, serve(store=Store.open(tmp_path / "test.db")) as second:
        assert (await ask(first, key))[0] == 200
        assert (await ask(second, key))[0] == 200
    async with serve() as third:
        assert (await ask(third, key))[0] == 200
        status, body = await ask(third, key)
        assert (status, body["error"]["code"]) == (429, "key_budget_day")
        assert "its budget of $1 a day" in body["error"]["message"]
    assert "$1.2000 today, $1.2000 this month" in run(tmp_path, "list")
    [told] = orjson.loads(run(tmp_path, "list", "--json"))
    assert (told["name"], told["revoked"], told["allows"]) == ("ci", None, {"budget_day": 1.0})
    assert (told["cost_today"], told["cost_month"]) == (pytest.approx(1.2), pytest.approx(1.2))


def holder(**grant: Any) -> Holder:
    row = KeyRow(id="k", name="ci", digest=b"d", allows=msgspec.json.encode(Grant(**grant)), created=0.0)
    return Holder(row, "gw_1")


def test_a_budget_begins_anew_with_its_day_and_its_month() -> None:
    one = holder(budget_day=1.0, budget_month=1.5)
    one.admit("m", NOON)
    one.learn(one.row, {"2026-09-21": Used(cost=1.0)}, Used())
    with pytest.raises(Refused, match="a day; there is more in"):
        one.admit("m", NOON)
    one.admit("m", NOON + 86_400)
    one.learn(one.row, {"2026-09-21": Used(cost=1.0), "2026-09-22": Used(cost=0.6)}, Used())
    with pytest.raises(Refused, match="a month; there is more in"):
        one.admit("m", NOON + 86_400)
    one.admit("m", NOON + 30 * 86_400)


def test_rates_count_what_other_gateways_answer_too() -> None:
    one = holder(tokens_per_minute=100)
    one.admit("m", NOON)
    one.learn(one.row, {}, Used(tokens=100))
    with pytest.raises(Refused, match=r"100 tokens a minute; there is more in 2\d seconds|more in \d+ seconds") as told:
        one.admit("m", NOON)
    assert told.value.status == 429
    one.admit("m", NOON + 60)


async def test_what_is_used_is_in_the_store_with_the_call(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s.db")
    one = holder()
    one.admit("m", time.time())
    store.write(one.charge(15, 0.25))
    store.write(one.charge(5, 0.25))
    days, now = KeyTable(store).used("k", time.strftime("%Y-%m", time.gmtime()), int(time.time() // 60))
    assert [(used.requests, used.tokens, used.cost) for used in days.values()] == [(1, 20, 0.5)]
    assert now.tokens in (0, 5, 20)  # a minute may have begun anew
    assert await KeyRing(store).required() is False
    store.close()


def test_a_gateway_for_others_takes_keys_of_the_store() -> None:
    with pytest.raises(ConfigurationError, match=r"drawbar keys\s+create NAME"):
        Settings(loopback=False, admin_key="a")
    assert not Settings(loopback=False, admin_key="a", stored_keys=True).loopback
