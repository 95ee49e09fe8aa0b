"""`GET /metrics`: the gateway's numbers for Prometheus. For this machine, or with the admin key."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from drawbar.errors import StoreError
from drawbar.proxy.client import JSON, Client
from drawbar.proxy.guard import is_admin
from drawbar.proxy.headers import NO_RETRY, client_keys
from drawbar.wire import CHAT

if TYPE_CHECKING:
    from drawbar.gateway import Gateway
    from drawbar.record.recorder import Recorder
    from drawbar.telemetry.exposition import Now

LONGEST_LAG: Final = 5.0
"""Seconds that are waited for the recorder; a lag of so much may be longer."""


async def tell_metrics(gateway: Gateway, client: Client) -> None:
    """Answer one request for all numbers."""
    if not is_admin(client_keys(client), gateway.settings):
        said = "The metrics need the gateway's admin key as bearer token."
        await client.answer(401, [JSON, NO_RETRY], CHAT.error(401, said, "admin_key_required"))
        return
    if client.scope["method"] not in ("GET", "HEAD"):
        await client.answer(405, [JSON, (b"allow", b"GET, HEAD")], CHAT.error(405, "Metrics are read.", "bad_request"))
        return
    await anyio.to_thread.run_sync(_import)  # it takes a moment the first time
    from drawbar.telemetry.exposition import CONTENT_TYPE, exposition

    text = exposition(gateway.metrics, await _now(gateway))
    await client.answer(200, [(b"content-type", CONTENT_TYPE)], text)


def _import() -> None:
    import drawbar.telemetry.exposition  # noqa: F401 - off the event loop


async def _now(gateway: Gateway) -> Now:
    from drawbar.telemetry.exposition import AlertsNow, Now

    scoring, alerting = gateway.scoring, gateway.alerting
    return Now(
        recorder_rows=gateway.recorder.pending,
        recorder_lag=await recorder_lag(gateway.recorder),
        recorder_failing=gateway.recorder.failing,
        recorder_lost=gateway.recorder.lost,
        recorder_spooled=gateway.recorder.spooled,
        live_sessions=sum(1 for session in gateway.sessions if session.live),
        calls_under_way=max(0, gateway.traffic.under_way - 1),  # this request is one
        unrecorded=gateway.model_side.unrecorded,
        scoring_waiting=scoring.waiting,
        scoring_working=scoring.working,
        scoring_overflowed=scoring.overflowed,
        alerts=AlertsNow(
            firing=alerting.firing,
            values=alerting.values,
            failed_looks=alerting.failed_looks,
            messages=alerting.delivery.tries,
            waiting=alerting.delivery.waiting,
        ),
    )


async def recorder_lag(recorder: Recorder) -> float:
    """How long it takes until what is handed in now is durable."""
    began = time.monotonic()
    try:
        with anyio.fail_after(LONGEST_LAG):
            await recorder.commit()
    except (TimeoutError, StoreError):
        return LONGEST_LAG
    return time.monotonic() - began
