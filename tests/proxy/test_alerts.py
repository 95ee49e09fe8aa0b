"""Alerts of a gateway at work: who is told what, once, whatever becomes of webhooks, gateways and the store."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from aiohttp import web

from drawbar.alerts import delivery
from drawbar.alerts.rule import AlertRule
from drawbar.alerts.webhook import Webhook
from drawbar.environment import Environment
from drawbar.errors import StoreError
from drawbar.proxy.failures import RetryPolicy
from drawbar.proxy.settings import Settings
from drawbar.record.alerts import AlertTable
from drawbar.record.store import Store
from drawbar.score.live_rule import LiveRule

if TYPE_CHECKING:
    from pathlib import Path

    from tests.proxy.conftest import House, MakeHouse, Provider

    from drawbar.record.rows import Row

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
SOON = 0.02
ERRORS = AlertRule(
    name="errors", measure="error_rate", above=0.5, clear=0.2, last=5, at_least=5, webhooks=("ops",)
)  # fmt: skip


@dataclass
class Receiver:
    """Who is told."""

    url: str = ""
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    asked: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.answer is not None:
            return await self.answer(request)
        self.got.append((dict(request.headers), await request.read()))
        return web.Response(text="ok")

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(said["type"], said["alert"]) for said in self.said]

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
async def receiver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    monkeypatch.setattr(delivery, "RETRIES", RetryPolicy(attempts=1000, first_wait=SOON, longest_wait=SOON))
    monkeypatch.setattr(delivery, "POLL", SOON)
    found = Receiver()
    application = web.Application()
    application.router.add_post("/{path:.*}", found.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook/path-secret"
    yield found
    await runner.cleanup()


def settings(receiver: Receiver, *rules: AlertRule, **more: Any) -> Settings:
    webhook = Webhook(
        name="ops", url=receiver.url, headers={"x-token": "header-secret"}, secret="signing", timeout=0.5
    )  # fmt: skip
    given = {"alerts": rules or (ERRORS,), "webhooks": {"ops": webhook}, "alert_interval": SOON}
    return Settings(**{**given, "retries": RetryPolicy(attempts=1), **more})


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while True:
            if condition():
                return
            await anyio.sleep(0.01)


async def looks(house: House, times: int = 3) -> None:
    """Wait until the gateway has looked again, so often, and nothing is under way."""
    look, seen = house.gateway.alerting._look_at_all, 0  # nothing public tells of a look that finds nothing

    async def counted() -> float:
        nonlocal seen
        seen += 1
        return await look()

    house.gateway.alerting._look_at_all = counted  # type: ignore[method-assign]
    await until(lambda: seen > times and not house.gateway.alerting.delivery.waiting)
    house.gateway.alerting._look_at_all = look  # type: ignore[method-assign]


async def refuses(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    return web.json_response({"error": {"message": "no"}}, status=400)


async def ask(house: House, provider: Provider, count: int, *, fail: bool = False) -> None:
    usual = provider.answer
    provider.answer = refuses if fail else usual
    for _ in range(count):
        await house.post(None, ASK)
    await house.gateway.recorder.commit()
    provider.answer = usual


async def test_an_alert_fires_once_stays_quiet_and_resolves(
    serve: MakeHouse, provider: Provider, receiver: Receiver
) -> None:
    async with serve(settings=settings(receiver)) as house:
        await ask(house, provider, 5)
        await looks(house)
        assert receiver.told == []
        await ask(house, provider, 4, fail=True)
        await until(lambda: len(receiver.got) == 1)
        await ask(house, provider, 3, fail=True)
        await looks(house)
        await ask(house, provider, 3)  # 2 of 5 failed: below the limit, above `clear`
        await looks(house)
        assert receiver.told == [("alert.firing", "errors")]
        await ask(house, provider, 2)
        await until(lambda: len(receiver.got) == 2)
        async with house.http.get(house.url + "/metrics") as response:
            metrics = await response.text()
    first, second = receiver.said
    assert receiver.told[1] == ("alert.resolved", "errors")
    assert first["value"] in (0.6, 0.8)
    assert (first["observations"], first["above"], first["clear"]) == (5, 0.5, 0.2)
    assert first["text"].startswith("[drawbar] FIRING errors: error_rate is 0.")
    assert first["incident"] == second["incident"]
    assert 'drawbar_alert_firing{alert="errors"} 0.0' in metrics
    assert 'drawbar_alert_value{alert="errors"} 0.0' in metrics
    assert 'drawbar_alert_messages_total{result="sent",webhook="ops"} 2.0' in metrics


async def test_a_message_is_signed_so_that_its_receiver_can_trust_it(
    serve: MakeHouse, provider: Provider, receiver: Receiver
) -> None:
    async with serve(settings=settings(receiver)) as house:
        await ask(house, provider, 5, fail=True)
        await until(lambda: len(receiver.got) == 1)
    [(headers, body)] = receiver.got
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = hmac.new(b"signing", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
    assert headers["x-token"] == "header-secret"
    assert json.loads(body)["id"] == headers["webhook-id"]


async def test_a_webhook_that_hangs_or_lies_holds_up_no_request_and_is_told_when_it_is_well(
    serve: MakeHouse, provider: Provider, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    gone = asyncio.Event()

    async def hangs(request: web.Request) -> web.StreamResponse:
        await gone.wait()
        return web.Response(status=500)

    async def floods(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=503, headers={"content-type": "text/plain"})
        await response.prepare(request)
        with suppress(ConnectionError):  # its client has enough
            while True:
                await response.write(b"header-secret path-secret " * 1000)
        return response

    receiver.answer = hangs
    async with serve(settings=settings(receiver)) as house:
        await ask(house, provider, 5, fail=True)
        await until(lambda: receiver.asked == 1)
        with anyio.fail_after(5):
            await ask(house, provider, 20)  # it works on meanwhile
        await until(lambda: receiver.asked == 2)
        receiver.answer = floods
        gone.set()
        await until(lambda: receiver.asked >= 4)
        receiver.answer = None
        await until(lambda: len(receiver.got) == 2)
        assert house.gateway.alerting.delivery.tries["ops", "retried"] >= 3
    assert receiver.told == [("alert.firing", "errors"), ("alert.resolved", "errors")]
    assert "did not take a message of the alert errors: it answered 503" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("status", [302, 404])
async def test_a_webhook_that_refuses_for_good_is_told_no_more(
    serve: MakeHouse, provider: Provider, receiver: Receiver, status: int
) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"location": receiver.url}, text="no such hook")

    receiver.answer = refuse
    async with serve(settings=settings(receiver)) as house:
        await ask(house, provider, 5, fail=True)
        tries = house.gateway.alerting.delivery.tries
        await until(lambda: tries["ops", "failed"] == 1)
        await looks(house)
        [message] = AlertTable(house.gateway.store).newest("errors")
        assert receiver.asked == 1
        assert (message.state, message.error) == ("failed", f"it answered {status}: no such hook")


async def test_after_a_restart_nothing_is_told_twice_and_what_waited_is_told(
    serve: MakeHouse, provider: Provider, receiver: Receiver
) -> None:
    async def down(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    receiver.answer = down
    async with serve(settings=settings(receiver)) as house:
        await ask(house, provider, 5, fail=True)
        await until(lambda: receiver.asked >= 2)
    receiver.answer = None
    async with serve(settings=settings(receiver)) as house:
        await until(lambda: len(receiver.got) == 1)
        await looks(house)
    async with serve(settings=settings(receiver)) as house:
        await looks(house)
        await ask(house, provider, 5)
        await until(lambda: len(receiver.got) == 2)
    assert receiver.told == [("alert.firing", "errors"), ("alert.resolved", "errors")]
    assert receiver.got[0][0]["webhook-id"] != receiver.got[1][0]["webhook-id"]


async def test_two_gateways_on_one_store_tell_it_once(
    serve: MakeHouse, provider: Provider, receiver: Receiver, tmp_path: Path
) -> None:
    given = settings(receiver)
    async with serve(settings=given) as one, serve(settings=given, store=Store.open(tmp_path / "test.db")) as other:
        for fail in (True, False):
            await ask(one, provider, 3, fail=fail)
            await ask(other, provider, 3, fail=fail)
            await until(lambda: one.gateway.alerting.firing == other.gateway.alerting.firing == {"errors": fail})  # noqa: B023
            await looks(one)
            await looks(other)
    assert receiver.told == [("alert.firing", "errors"), ("alert.resolved", "errors")]


async def test_a_falling_reward_is_told_with_its_rubric(
    serve: MakeHouse, provider: Provider, receiver: Receiver
) -> None:
    def long(completion: str) -> float:
        return float(len(completion) > 3)

    shop = Environment(name="shop", rubric=[long])
    low = AlertRule(name="low", measure="reward", below=0.6, last=4, at_least=2, where="model = m", webhooks=("ops",))
    given = settings(receiver, low, score_live=(LiveRule(environment="shop", all=True),))
    async with serve(settings=given, environments={"shop": shop}) as house:

        async def live(words: str) -> None:
            async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
                return web.json_response(provider.completion(words))

            provider.answer = answer
            session = await house.session()
            await house.post(session, ASK)
            await house.gateway.end(session.id, stop="completed")

        for words in ("hello", "hello", "no", "no"):
            await live(words)
        await until(lambda: len(receiver.got) == 1)
        for _ in range(4):
            await live("hello")
        await until(lambda: len(receiver.got) == 2)
    said = receiver.said[0]
    assert (said["rubric"], said["where"]) == (shop.rubric_version, "model = m")
    assert f"rubric {shop.rubric_version}" in said["text"]


async def test_a_recorder_that_fails_is_told_although_the_store_takes_nothing(
    serve: MakeHouse, provider: Provider, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = False
    write = Store.write

    def guarded(store: Store, rows: Sequence[Row]) -> None:
        if full:
            raise StoreError("the disk is full")
        write(store, rows)

    monkeypatch.setattr(Store, "write", guarded)
    monkeypatch.setattr(AlertTable, "change", lambda *_: pytest.fail("the store was asked"))
    rule = AlertRule(name="disk", measure="recorder_failing", webhooks=("ops",))
    async with serve(settings=settings(receiver, rule, recording="best-effort")) as house:
        await ask(house, provider, 1)
        full = True
        assert (await house.post(None, ASK)).status == 200
        await until(lambda: len(receiver.got) == 1)
        full = False
        await until(lambda: len(receiver.got) == 2)
    assert receiver.told == [("alert.firing", "disk"), ("alert.resolved", "disk")]
    assert receiver.said[0]["gateway"]


async def test_a_configuration_that_is_read_again_changes_what_is_looked_at(
    serve: MakeHouse, provider: Provider, receiver: Receiver
) -> None:
    async with serve(settings=Settings(retries=RetryPolicy(attempts=1))) as house:
        await ask(house, provider, 5, fail=True)
        await house.gateway.reconfigure(house.gateway.models, settings=settings(receiver))
        await until(lambda: receiver.told == [("alert.firing", "errors")])
        await house.gateway.reconfigure(house.gateway.models, settings=Settings())
        assert house.gateway.alerting.firing == {}
