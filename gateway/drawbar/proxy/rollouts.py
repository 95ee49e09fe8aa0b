"""The rollout service: a trainer has tasks played by the model that it trains, and gets tokens and advantages back.

    POST   /api/rollouts                  what is asked for, as `rollout.service.asked` has it -> a job, once it has
                                          ended; with "wait": false, or where the gateway stops, at once (202). The same
                                          `id` is the same job: it is never played twice; interrupted, it goes on
    GET    /api/rollouts/{id}?wait=S      a job as it stands, after S seconds at most if it has not ended
    GET    /api/rollouts/{id}?stream=1    its rollouts as lines of JSON, those of a task together once all have ended,
                                          and at last the job itself, without them
    DELETE /api/rollouts/{id}             end it; what has ended stays
    GET    /api/rollouts                  {"under_way": [runs], ...}: and how rollouts are steered
    POST   /api/rollouts/pause            from now on model calls of rollouts wait, and none begins
    POST   /api/rollouts/drain            from now on no rollout begins; those under way end
    POST   /api/rollouts/resume           all goes on
                                          pause and drain take {"wait": S}: answer once no call (drain: no rollout) is
                                          under way, or S seconds are over; `calls_under_way` tells which
    PUT    /api/policy                    {"version"}: of the weights that answer from now on; each call's is recorded
    GET    /api/policy                    the same, and how rollouts are steered

A job is {"id", "run", "status", "total", "ended", "rollouts", "error"}; its status is running, finished, interrupted,
cancelled or failed. A rollout is {"session", "task", "rollout", "attempt", "stop", "error", "valid", "reward",
"scores", "health", "policy_versions", "left_out", "rows"}; `rows` are those of `drawbar export rl`: prompt and
completion ids, log probabilities, masks, advantages against the task's rollouts of the job. `left_out` says why there
are none: invalid_rollout, no_reward, or no_token_ids (its endpoint told none: see `endpoint.tokens`). Limits of wall
time run on while rollouts are paused.

A client that leaves loses nothing: the job goes on. Its endpoint's key is kept in memory alone, so it is to come with
each request that may begin a job or have it go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote

import anyio
import anyio.to_thread
import orjson

from drawbar.proxy.client import JSON, Client
from drawbar.proxy.headers import NO_RETRY
from drawbar.proxy.refused import Refused
from drawbar.rollout.result import RolloutResult
from drawbar.rollout.service.asked import read, run_of
from drawbar.rollout.service.jobs import Conflict, Full, Rollouts, State
from drawbar.rollout.service.told import told
from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import dump

if TYPE_CHECKING:
    from drawbar.gateway import Gateway

_LINES: Final = (b"content-type", b"application/x-ndjson")
_LOOK: Final = 1.0
"""Seconds between looks whether the gateway stops."""
_RETRY_AFTER: Final = 5
_STEERED: Final = ("pause", "drain", "resume")


class RolloutService:
    """Answers for one gateway. Its requests have been found to be an admin's."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._jobs = Rollouts(gateway)

    async def stop(self) -> None:
        """Interrupt all jobs."""
        await self._jobs.stop()

    async def handle(self, client: Client, method: str, rest: list[str], body: dict[str, Any]) -> None:
        """One request below /api/rollouts.

        Raises:
            Refused, BadBody, ConfigurationError, UnknownName, UpstreamError, StoreError
        """
        match method, rest:
            case "POST", []:
                await self._ask(client, body)
            case "GET", []:
                await _say(client, 200, {"under_way": self._jobs.under_way, **self._jobs.steering.to_json()})
            case "POST", [how] if how in _STEERED:
                await self._steer(client, how, body)
            case "GET", [id]:
                await self._show(client, unquote(id))
            case "DELETE", [id]:
                await self._jobs.cancel(unquote(id))
                await self._job(client, unquote(id))
            case _:
                said = f"The rollout service has no {method} {'/'.join(('/api/rollouts', *rest))}."
                raise Refused(404, said, "not_found", retry=False)

    async def policy(self, client: Client, method: str, body: dict[str, Any]) -> None:
        """One request at /api/policy. Raises `BadBody`."""
        steering = self._jobs.steering
        if method == "PUT":
            version = body.get("version")
            if not isinstance(version, str | int) or isinstance(version, bool) or not str(version).strip():
                raise BadBody("`version` must be a text or a whole number")
            steering.version = str(version)
        await _say(client, 200, {"version": steering.version, **steering.to_json()})

    async def _ask(self, client: Client, body: dict[str, Any]) -> None:
        asked = read(body)
        try:
            run = await self._jobs.ask(asked, _url(client))
        except Conflict as error:
            raise Refused(409, str(error), "id_taken", retry=False) from error
        except Full as error:
            raise Refused(429, str(error), "too_many_rollouts", after=_RETRY_AFTER) from error
        if asked.wait:
            await self._wait(run, None)
        await self._job(client, asked.id or run)

    async def _show(self, client: Client, id: str) -> None:
        query = parse_qs(client.query)
        if query.get("stream", ["0"])[-1] not in ("", "0", "false"):
            return await self._stream(client, id)
        try:
            seconds = float(query.get("wait", ["0"])[-1])
        except ValueError as error:
            raise BadBody("`wait` is a number of seconds") from error
        if seconds > 0:
            await self._wait(run_of(id), seconds)
        await self._job(client, id)

    async def _steer(self, client: Client, how: str, body: dict[str, Any]) -> None:
        wait = body.get("wait", 0)
        if isinstance(wait, bool) or not isinstance(wait, int | float) or wait < 0:
            raise BadBody("`wait` is a number of seconds")
        steering = self._jobs.steering
        steering.steer(paused=how == "pause", draining=how == "drain")
        if how != "resume" and wait:
            with anyio.move_on_after(wait):
                await steering.quiet()
        await _say(client, 200, steering.to_json())

    async def _wait(self, run: str, seconds: float | None) -> None:
        """Until a job has ended, the gateway stops, or so many seconds are over."""
        job = self._jobs.job(run)
        with anyio.move_on_after(seconds):
            while job is not None and not job.ended.is_set() and self._gateway.traffic.refusing is None:
                with anyio.move_on_after(_LOOK):
                    await job.ended.wait()

    async def _job(self, client: Client, id: str) -> None:
        state = await self._jobs.state(id)
        rollouts = await self._told(state.results)
        under_way = state.status == "running"
        await _say(client, 202 if under_way else 200, {**_head(id, state), "rollouts": rollouts})

    async def _stream(self, client: Client, id: str) -> None:
        """Lines as they come. Those that are there already come first."""
        job = self._jobs.job(run_of(id))
        state = await self._jobs.state(id)
        await client.start(200, [_LINES, (b"cache-control", b"no-store")])
        if job is None:
            await self._lines(client, state.results)
        sent = 0
        while job is not None and not client.left:
            over, tasks = job.ended.is_set(), job.whole[sent:]
            await self._lines(client, [result for task in tasks for result in job.groups[task]])
            sent += len(tasks)
            if over or self._gateway.traffic.refusing is not None:
                break
            if sent == len(job.whole) and not job.ended.is_set():
                await job.news(_LOOK)
        await client.write(dump(_head(id, await self._jobs.state(id))) + b"\n", last=True)

    async def _lines(self, client: Client, results: list[RolloutResult] | Any) -> None:
        for rollout in await self._told(results):
            await client.write(orjson.dumps(rollout, option=orjson.OPT_APPEND_NEWLINE))

    async def _told(self, results: Any) -> list[dict[str, Any]]:
        await self._gateway.recorder.commit()
        return await anyio.to_thread.run_sync(told, self._gateway.store, list(results))


def _head(id: str, state: State) -> dict[str, Any]:
    return {
        "id": id, "run": state.run, "status": state.status, "total": state.total, "ended": len(state.results),
        "error": state.error,
    }  # fmt: skip


def _url(client: Client) -> str:
    """Where agents on this machine reach the gateway: where this request came in."""
    host, port = client.scope["server"]
    return f"{client.scope.get('scheme', 'http')}://{f'[{host}]' if ':' in host else host}:{port}"


async def _say(client: Client, status: int, value: dict[str, Any]) -> None:
    await client.answer(status, [JSON, NO_RETRY], dump(value))
