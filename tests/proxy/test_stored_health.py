"""Once a session has ended, its health is stored, whoever ended it and whether or not anybody looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from aiohttp import web

from drawbar.record import checkups
from drawbar.record.rows import HealthRow
from drawbar.record.store import Store
from drawbar.rollout.access import LocalAccess

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse, Provider

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


async def findings(house: House, session: str) -> list[str] | None:
    await house.gateway.recorder.commit()
    found = house.gateway.store.findings(session)
    return None if found is None else [finding.name for finding in found]


async def test_an_open_session_has_no_stored_health(house: House) -> None:
    session = await house.session()
    await house.post(session, ASK)
    assert await findings(house, session.id) is None
    await house.gateway.checkups.trajectory(session.id)
    assert await findings(house, session.id) is None


async def test_whoever_reads_an_ended_session_first_stores_its_health(house: House, provider: Provider) -> None:
    async def silence(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(provider.completion(""))

    provider.answer = silence
    session = await house.session()
    await house.post(session, ASK)
    await house.gateway.end(session.id, stop="completed")
    trajectory = await LocalAccess(house.gateway, house.url).trajectory(session.id)
    assert await findings(house, session.id) == [finding.name for finding in trajectory.health] == ["empty_reply"]


async def test_a_session_that_nobody_reads_is_looked_at_all_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkups, "_PATIENCE", 0.0)
    looked = anyio.Event()
    house.gateway.recorder.listeners.append(
        lambda rows: looked.set() if any(isinstance(row, HealthRow) for row in rows) else None
    )
    session = await house.session()
    await house.post(session, ASK)
    await house.gateway.end(session.id, stop="completed")
    with anyio.fail_after(10):
        await looked.wait()
    assert await findings(house, session.id) == []


async def test_what_is_due_when_the_gateway_stops_is_done_before(serve: MakeHouse, tmp_path: Any) -> None:
    async with serve() as house:
        session = await house.session()
        await house.post(session, ASK)
        await house.gateway.end(session.id, stop="completed")
    store = Store.open(tmp_path / "test.db")
    assert [store.findings(row.id) for row in store.sessions()] == [[]]
    store.close()
