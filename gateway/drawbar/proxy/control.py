"""The control API: what `drawbar run --gateway URL` and other programs steer a gateway with. JSON in, JSON out.

    GET  /healthz                          {"status": "ok", ...}; needs no key
    GET  /api/environments                 {"environments": [{"name", "version", "description", "models"}]}
    POST /api/sessions                     a spec as `spec_from_json` reads it -> {"id", "key", "path", "mcp_path"}
    POST /api/sessions/{id}/end            {"stop", "error", "metadata"} -> {}; also by the id that an answer had, or
                                           by what the session's client calls it
    GET  /api/sessions/{id}/trajectory     as `trajectory_to_json` writes it
    POST /api/sessions/{id}/scores         {"scores": [{"name", "value", ...}]} (a ScoreRow's fields) -> {"ids": [...]}
    POST /api/sessions/{id}/feedback       {"thumbs": "up" | "down", "score", "name", "correction", "comment"} ->
                                           {"session", "call", "ids"}; also by the id that an answer had, or by
                                           the `session` of a client's metadata, and with the key that the
                                           session's requests showed
    PUT  /api/runs/{id}                    a RunRow -> {}
    GET  /api/runs/{id}                    -> a RunRow, of the one run whose id begins so
    GET  /api/runs/{id}/trajectories       {"trajectories": [...]}
    GET  /api/watch?where=&interval=       what happens, as lines of JSON until the client leaves (`proxy.watching`)
    ...  /api/rollouts, /api/policy        rollouts for trainers (`proxy.rollouts`)
    POST /api/complete                     a chat completions request -> its completion; outside any session, for judges

Errors are {"error": {"message", "type", "code", ...}} as on the model side.
"""

from __future__ import annotations

import math
import re
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import anyio.to_thread
import msgspec

from drawbar import __version__
from drawbar.causes import CAUSES
from drawbar.errors import ConfigurationError, ToolServerError, UnknownName
from drawbar.ids import new_id
from drawbar.proxy.client import JSON, BodyTooLarge, Client, ClientGone
from drawbar.proxy.feedback import KeyRequired, give_feedback
from drawbar.proxy.guard import is_admin
from drawbar.proxy.headers import NO_RETRY, client_keys
from drawbar.proxy.rollouts import RolloutService
from drawbar.proxy.spec_json import spec_from_json
from drawbar.proxy.trajectory_json import trajectory_to_json
from drawbar.proxy.upstream import UpstreamError
from drawbar.proxy.watching import TooManyWatch, Watching
from drawbar.record.feedback import found
from drawbar.record.rows import RunRow, ScoreRow
from drawbar.wire import CHAT
from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import dump, load_object, whole

if TYPE_CHECKING:
    from drawbar.gateway import Gateway


_FEEDBACK: Final = re.compile(r"/api/sessions/([^/]+)/feedback")


class _Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Control:
    """Answers `/api/...` and `/healthz` for one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._watching = Watching(gateway)
        self._rollouts = RolloutService(gateway)

    async def stop(self) -> None:
        """Interrupt what goes on for clients that may have left."""
        await self._rollouts.stop()

    async def handle(self, client: Client, path: str) -> None:
        """One request; `path` is whole."""
        try:
            body = await self._answer(client, client.scope["method"], path)
        except ClientGone:
            return
        except _Refused as refused:
            await _say(client, refused.status, str(refused), refused.code)
        except BodyTooLarge:
            await _say(client, 413, "The request's body is too large.", "request_too_large")
        except (BadBody, ConfigurationError) as error:
            await _say(client, 400, str(error), "bad_request")
        except UnknownName as error:
            await _say(client, 404, str(error), f"unknown_{error.kind.replace(' ', '_')}")
        except ToolServerError as error:
            await _say(client, 502, str(error), "tool_server_failed")
        except UpstreamError as error:
            await _say(client, error.status, str(error), error.cause)
        except TooManyWatch as error:
            await _say(client, 429, str(error), "too_many_watch")
        else:
            if body is not None:
                await client.answer(200, [JSON], body)

    async def _answer(self, client: Client, method: str, path: str) -> bytes | None:
        """What is answered; None: that was done already."""
        if path == "/healthz":
            return self._health()
        if (about := _FEEDBACK.fullmatch(path)) is not None and method == "POST":
            return await self._feedback(client, about[1])
        if not is_admin(client_keys(client), self._gateway.settings):
            raise _Refused(401, "The control API needs the gateway's admin key as bearer token.", "admin_key_required")
        match method, path.removeprefix("/api/").split("/"):
            case "GET", ["environments"]:
                return self._environments()
            case "POST", ["sessions"]:
                return await self._open(await self._body(client))
            case "POST", ["sessions", id, "end"]:
                return await self._end(id, await self._body(client))
            case "GET", ["sessions", id, "trajectory"]:
                return trajectory_to_json(await self._gateway.checkups.trajectory(id))
            case "POST", ["sessions", id, "scores"]:
                return await self._score(id, await self._body(client))
            case "PUT", ["runs", id]:
                return await self._run(id, await self._body(client))
            case "GET", ["runs", id]:
                return await anyio.to_thread.run_sync(self._found_run, id)
            case "GET", ["runs", id, "trajectories"]:
                return await anyio.to_thread.run_sync(self._trajectories, id)
            case "GET", ["watch"]:
                await self._watching.tell(client)
                return None
            case _, ["rollouts", *rest]:
                await self._rollouts.handle(client, method, rest, await self._body(client))
                return None
            case (("GET" | "PUT"), ["policy"]):
                await self._rollouts.policy(client, method, await self._body(client))
                return None
            case "POST", ["complete"]:
                return await self._complete(await self._body(client))
        raise _Refused(404, f"The control API has no {method} {path}.", "not_found")

    def _health(self) -> bytes:
        gateway, recorder = self._gateway, self._gateway.recorder
        if gateway.traffic.refusing is not None:
            raise _Refused(503, "This gateway is stopping.", "stopping")
        alarms = {"unrecorded": gateway.model_side.unrecorded, "spooled_bytes": recorder.spooled, "lost": recorder.lost}
        return dump({"status": "ok", "version": __version__, "recording": not recorder.failing, **alarms})

    async def _body(self, client: Client) -> dict[str, Any]:
        raw = await client.body(self._gateway.settings.max_body)
        value: dict[str, Any] = whole(load_object(raw or b"{}", "the body"))
        return value

    def _environments(self) -> bytes:
        found = [
            {"name": e.name, "version": e.version, "description": e.description, "models": sorted(e.models)}
            for e in self._gateway.environments.values()
        ]
        return dump({"environments": found})

    async def _open(self, body: dict[str, Any]) -> bytes:
        session = await self._gateway.open(spec_from_json(body))
        path = f"/s/{session.key}"
        return dump({"id": session.id, "key": session.key, "path": path, "mcp_path": path + "/mcp"})

    async def _end(self, id: str, body: dict[str, Any]) -> bytes:
        stop, error, metadata = body.get("stop", "completed"), body.get("error"), body.get("metadata") or {}
        if not isinstance(stop, str) or stop not in CAUSES:
            raise BadBody(str(UnknownName("cause", str(stop), CAUSES)))
        if not (error is None or isinstance(error, str)) or not isinstance(metadata, dict):
            raise BadBody("`error` must be a string, `metadata` an object")
        await self._gateway.end(await self._meant(unquote(id)), stop=stop, error=error, metadata=metadata)
        return b"{}"

    async def _meant(self, name: str) -> str:
        """The id of the session that has this name: its id, its client's own for it, or that of an answer in it."""
        if name in self._gateway.sessions:
            return name
        await self._gateway.recorder.commit()  # what was answered a moment ago is to be found
        row, _ = await anyio.to_thread.run_sync(found, self._gateway.store, name)
        return row.id

    async def _score(self, id: str, body: dict[str, Any]) -> bytes:
        if await anyio.to_thread.run_sync(self._gateway.store.session, id) is None:
            raise UnknownName("session", id, None)
        given = body.get("scores")
        if not isinstance(given, list) or not all(isinstance(score, dict) for score in given):
            raise BadBody("`scores` must be a list of objects")
        rows = [_score_row(id, score) for score in given]
        await self._gateway.record(*rows)
        return dump({"ids": [row.id for row in rows]})

    async def _feedback(self, client: Client, name: str) -> bytes:
        try:
            rows = await give_feedback(self._gateway, client, unquote(name), await self._body(client))
        except KeyRequired as error:
            raise _Refused(401, str(error), "key_required") from error
        return dump({"session": rows[0].session, "call": rows[0].call, "ids": [row.id for row in rows]})

    async def _run(self, id: str, body: dict[str, Any]) -> bytes:
        config = dump(body.get("config") or {})
        try:
            row = msgspec.convert({**body, "id": id, "config": b""}, RunRow)
        except msgspec.ValidationError as error:
            raise BadBody(f"not a run: {error}") from error
        await self._gateway.record(msgspec.structs.replace(row, config=config))
        return b"{}"

    def _found_run(self, prefix: str) -> bytes:
        row = self._gateway.store.run(self._gateway.store.resolve(prefix))
        if row is None:
            raise UnknownName("run", prefix, [known.id for known in self._gateway.store.runs()])
        return dump({**msgspec.structs.asdict(row), "config": load_object(row.config, "the run's configuration")})

    def _trajectories(self, run: str) -> bytes:
        found = [trajectory_to_json(trajectory) for trajectory in self._gateway.store.trajectories(run=run)]
        return b'{"trajectories":[' + b",".join(found) + b"]}"

    async def _complete(self, body: dict[str, Any]) -> bytes:
        model = body.get("model")
        if not isinstance(model, str):
            raise BadBody("`model` must be a string")
        return dump(await self._gateway.chat(model, body))


def _score_row(session: str, score: dict[str, Any]) -> ScoreRow:
    """A score as JSON has it; what feedback need not say is filled in."""
    defaults = {"kind": "feedback", "weight": 0.0, "rubric_version": "", "source": "feedback"}
    fixed = {"id": new_id("score"), "session": session, "created": time.time(), "usage": None}
    try:
        row = msgspec.convert({**defaults, **score, **fixed}, ScoreRow)
    except msgspec.ValidationError as error:
        raise BadBody(f"not a score: {error}") from error
    if (row.value is not None and not math.isfinite(row.value)) or not math.isfinite(row.weight):
        raise BadBody(f"not a score: {row.name!r} must have finite numbers")
    usage = score.get("usage")
    return row if usage is None else msgspec.structs.replace(row, usage=dump(usage))


async def _say(client: Client, status: int, message: str, code: str) -> None:
    await client.answer(status, [JSON, NO_RETRY], CHAT.error(status, message, code))
