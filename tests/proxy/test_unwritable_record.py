"""A recorder that cannot write: no answer in a rollout; in best-effort mode the answer, and a loud complaint."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from drawbar.errors import StoreError
from drawbar.proxy.settings import Settings
from drawbar.record.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.proxy.conftest import MakeHouse, Provider

    from drawbar.record.rows import Row

HI = [{"role": "user", "content": "hi"}]


class Disk:
    """A store's disk, full or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        write = Store.write

        def guarded(store: Store, rows: Sequence[Row]) -> None:
            if self.full:
                raise StoreError("the disk is full")
            write(store, rows)

        monkeypatch.setattr(Store, "write", guarded)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_cannot_be_recorded_is_not_given(
    serve: MakeHouse, disk: Disk, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    async with serve() as house:
        session = await house.session()
        disk.full = True
        response = await house.post(session, {"model": "m", "messages": HI, "stream": stream})
        text = await response.text()
        assert "could not be recorded" in text
        assert "recorder_failed" in text
        assert "[DONE]" not in text
        assert response.status == (200 if stream else 503)
        await (await house.post(session, {"model": "m", "messages": HI})).read()
        assert caplog.text.count("the disk is full") == 1  # however many calls it fails
        disk.full = False
        assert (await house.post(session, {"model": "m", "messages": HI})).status == 200
        trajectory = await house.trajectory(session)
        assert [message.text for message in trajectory.messages] == ["hi", "hello"]


@pytest.mark.parametrize("stream", [False, True])
async def test_in_best_effort_mode_the_answer_is_given_and_counted(
    serve: MakeHouse, disk: Disk, provider: Provider, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    async with serve(settings=Settings(recording="best-effort")) as house:
        session = await house.session()
        disk.full = True
        with caplog.at_level(logging.ERROR):
            response = await house.post(session, {"model": "m", "messages": HI, "stream": stream})
        assert response.status == 200
        text = await response.text()
        assert ("[DONE]" in text) if stream else ("hello" in text)
        assert "A model call could not be recorded: the disk is full" in caplog.text
        async with house.http.get(house.url + "/healthz") as health:
            assert (await health.json())["unrecorded"] == 1
        disk.full = False


async def test_opening_a_session_that_cannot_be_recorded_is_a_503(serve: MakeHouse, disk: Disk) -> None:
    async with serve() as house:
        disk.full = True
        response = await house.post(None, {}, path="/api/sessions")
        assert (response.status, (await response.json())["error"]["code"]) == (503, "store_unavailable")
        disk.full = False


async def test_in_best_effort_mode_a_store_that_cannot_be_read_stops_nobody(
    serve: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> None:
        raise StoreError("the database is gone")

    unheard = {"role": "assistant", "content": "what this gateway never heard"}
    before = [{"role": "user", "content": "long ago"}, unheard, *HI]
    for recording, status in (("best-effort", 200), ("required", 503)):
        async with serve(settings=Settings(recording=recording)) as house:  # type: ignore[arg-type]  # one of its two
            assert (await house.post(None, {"model": "m", "messages": HI})).status == 200
            with monkeypatch.context() as broken:
                broken.setattr(Store, "conversation", unreadable)
                assert (await house.post(None, {"model": "m", "messages": before})).status == status
