"""How long sessions are kept: which ones a configuration means, and a gateway that deletes them beside its work."""

from __future__ import annotations

import math
import time
from typing import Any

import anyio
import pytest

from drawbar.errors import ConfigurationError, StoreError
from drawbar.record import retaining
from drawbar.record.retaining import Retaining
from drawbar.record.retention import DAY, Retention
from drawbar.record.rows import ScoreRow, SessionRow
from drawbar.record.store import Store

NOW = 1_800_000_000.0


def session(id: str, days: float, **fields: Any) -> SessionRow:
    """One that ended so many days ago."""
    return SessionRow(**{"id": id, "started": 1.0, "ended": NOW - days * DAY, "status": "ended", **fields})


def over(store: Store, retention: Retention) -> list[str]:
    """Whose time is over; nobody is meant twice."""
    found = [row.id for filter in retention.over(NOW) for row in store.select(filter)]
    assert len(found) == len(set(found))
    return sorted(found)


def test_the_first_filter_decides_then_the_environment_then_the_rest(store: Store) -> None:
    store.write(
        [
            session("live", 8),
            session("young", 6),
            session("open", 8, status="open"),
            session("rollout", 8, run="r"),
            session("old_rollout", 80, run="r"),
            session("shop", 4, environment="shop"),
            session("old_support", 800, environment="support"),
            session("acme", 2, environment="support", metadata=b'{"tenant":"acme"}'),
            session("praised", 900, environment="shop", metadata=b'{"tenant":"acme"}'),
            ScoreRow(id="x", session="praised", name="thumbs", kind="feedback", value=1.0, weight=0.0,
                     rubric_version="", source="feedback", created=1.0),
        ]
    )  # fmt: skip
    retention = Retention(
        live=7, rollouts=60, environments={"shop": 3, "support": math.inf},
        filters={"feedback > 0": math.inf, "metadata.tenant = acme": 1},
    )  # fmt: skip
    assert over(store, retention) == ["acme", "live", "old_rollout", "shop"]
    assert over(store, Retention(environments={"shop": 3})) == ["praised", "shop"]
    assert over(store, Retention()) == []


@pytest.mark.parametrize("given", [{"live": 0}, {"filters": {"nonsense": 3}}, {"environments": {"e": -1}}])
def test_what_cannot_be_meant_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Retention(**given)


async def test_a_gateway_deletes_what_is_over_and_others_wait_for_their_turn(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retaining, "LOOK", 0.01)
    stores = [Store.open(store_url) for _ in range(2)]
    stores[0].write([session("old", 0, ended=time.time() - 8 * DAY), session("young", 0, ended=time.time())])
    both = [Retaining(store, Retention(live=7)) for store in stores]
    for each in both:
        each.start()
    with anyio.fail_after(30):
        while sum(each.deleted for each in both) < 1:  # noqa: ASYNC110 - it is done in a thread
            await anyio.sleep(0.01)
    for each in both:
        await each.stop()
    assert not any(retaining._begins(store) for store in stores)  # the next round is hours from now
    stores[0].write([session("later", 0, ended=time.time() - 8 * DAY)])
    await both[1].round()
    assert [row.id for row in stores[0].sessions()] == ["young"]
    for store in stores:
        store.close()


async def test_a_round_that_fails_is_told_of_and_tried_again(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unable(store: Store) -> bool:
        raise StoreError("The disk is gone.")

    monkeypatch.setattr(retaining, "LOOK", 0.01)
    monkeypatch.setattr(retaining, "_begins", unable)
    work = Retaining(sqlite_store, Retention(live=7))
    work.start()
    with anyio.fail_after(30):
        while caplog.text.count("tries again") < 2:  # noqa: ASYNC110 - what it waits for is a line in the log
            await anyio.sleep(0.01)
    assert "The disk is gone." in caplog.text
    await work.stop()
