"""`GET /api/watch`: a gateway tells what happens, and whoever watches from elsewhere sees it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from threading import Event
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from drawbar.errors import ConfigurationError
from drawbar.proxy import watching
from drawbar.proxy.settings import Settings
from drawbar.watching.changes import Change, Pulse, Trouble, Watched
from drawbar.watching.sources import GatewaySource

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


async def line(response: Any) -> dict[str, Any]:
    with anyio.fail_after(30):
        return dict(json.loads(await response.content.readline()))


async def refused(house: House, query: str, **options: Any) -> tuple[int, str]:
    async with house.http.get(f"{house.url}/api/watch?{query}", **options) as response:
        return response.status, (await response.json())["error"]["message"]


async def test_what_happens_comes_as_it_happens(house: House) -> None:
    async with house.http.get(f"{house.url}/api/watch?interval=0.2") as response:
        assert (response.status, response.headers["content-type"]) == (200, "application/x-ndjson")
        assert (await line(response))["event"] == "begun"
        first = await line(response)
        assert (first["event"], first["recorder"]["failing"]) == ("pulse", False)
        await house.post(None, ASK, headers={"authorization": "Bearer k"})
        told = await line(response)
        while told["event"] != "session" or not told["turns"]:
            told = await line(response)
        assert (told["status"], told["model"]) == ("open", "m")


async def test_it_ends_when_the_gateway_stops(house: House) -> None:
    async with house.http.get(f"{house.url}/api/watch?interval=0.2") as response:
        await line(response)
        assert await house.gateway.drain(5)
        with anyio.fail_after(30):
            await response.read()


async def test_only_the_admin_may_watch(serve: MakeHouse) -> None:
    async with serve(settings=Settings(admin_key="admin", keys=frozenset({"one"}))) as house:
        assert (await refused(house, "", headers={"authorization": "Bearer one"}))[0] == 401
        source = GatewaySource(house.url, "one")
        with pytest.raises(ConfigurationError, match="admin key"):
            await anyio.to_thread.run_sync(next, source.changes("", 0.2, Event()))
        looks = GatewaySource(house.url, "admin").changes("", 0.2, Event())
        assert len(await anyio.to_thread.run_sync(next, looks)) == 1
        await anyio.to_thread.run_sync(looks.close)  # type: ignore[attr-defined]  # it is a generator


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("interval=0", "from 0.2 to 60"), ("interval=nan", "from 0.2 to 60"), ("interval=x", "from 0.2 to 60"),
        ("where=modle%3Dx", "Did you mean 'model'"),
    ],
)  # fmt: skip
async def test_what_cannot_be_meant_is_refused(house: House, query: str, says: str) -> None:
    status, message = await refused(house, query)
    assert status == 400
    assert says in message


async def test_no_more_than_so_many_may_watch(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST", 1)
    async with house.http.get(f"{house.url}/api/watch?interval=0.2") as response:
        await line(response)
        assert (await refused(house, ""))[0] == 429
    with anyio.fail_after(30):  # the first one has left; the gateway learns of it at once
        while True:
            async with house.http.get(f"{house.url}/api/watch") as again:
                if again.status == 200:
                    break


async def test_a_gateway_elsewhere_is_watched_as_a_store_is_here(house: House) -> None:
    session, stop = await house.session(), Event()
    source = GatewaySource(house.url, None)
    looks = source.changes("", 0.2, stop)
    seen: list[Change] = []

    async def until(found: type[Change]) -> Sequence[Change]:
        while True:
            with anyio.fail_after(30):
                look = await anyio.to_thread.run_sync(next, looks)
            seen.extend(look)
            if any(isinstance(change, found) for change in look):
                return look

    assert isinstance((await until(Pulse))[-1], Pulse)
    assert [change.id for change in seen if isinstance(change, Watched)] == [session.id]
    assert (await anyio.to_thread.run_sync(source.trajectory, session.id)).id == session.id
    await house.stop()
    assert isinstance((await until(Trouble))[-1], Trouble)
    stop.set()
    assert await anyio.to_thread.run_sync(next, looks, None) is None
