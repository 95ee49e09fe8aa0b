"""The gateway: the ASGI application that joins the model side, the tool side and the record.

It routes. What a route does is in `drawbar.proxy` (models, control) and `drawbar.tools` (MCP).
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import anyio
import anyio.to_thread

from drawbar.alerts.alerting import Alerting
from drawbar.errors import StoreError, UnknownName
from drawbar.proxy.admission import Admitted, admitted, holder_of
from drawbar.proxy.answers import asker_of, only, say
from drawbar.proxy.client import JSON, Client, Receive, Scope, Send
from drawbar.proxy.control import Control
from drawbar.proxy.endpoint import ModelSide
from drawbar.proxy.forward import forward
from drawbar.proxy.guard import host_refused
from drawbar.proxy.headers import client_keys, scope_of, session_key, status_of_end
from drawbar.proxy.keys import KeyRing
from drawbar.proxy.live import LiveSessions
from drawbar.proxy.metrics import tell_metrics
from drawbar.proxy.models import Models
from drawbar.proxy.refused import Refused
from drawbar.proxy.registry import SessionEnded, Sessions
from drawbar.proxy.settings import Settings
from drawbar.proxy.traffic import Traffic, Use
from drawbar.proxy.user import UserSide
from drawbar.record.checkups import Checkups
from drawbar.record.recorder import Recorder
from drawbar.record.redaction import Redact
from drawbar.record.retaining import Retaining
from drawbar.record.rows import Row
from drawbar.record.store import Store
from drawbar.score.live import LiveScoring
from drawbar.sessions import Session, SessionSpec
from drawbar.telemetry.metrics import Metrics
from drawbar.wire.listing import described, listed
from drawbar.wire.route import Route, read_route, split_prefix
from drawbar.wire.tolerant import dump

if TYPE_CHECKING:
    from drawbar.environment import Environment
    from drawbar.record.spool import Spool
    from drawbar.tools.endpoint import ToolSide
    from drawbar.trajectory import Trajectory

_log = logging.getLogger(__name__)

_MODELS: Final = re.compile(r"/v1(?:beta)?/models(?:/(.+))?")
_PROBES: Final = frozenset({"/", "/api/hello"})
"""What agents ask to see whether anybody is there."""
_ABORT_SECONDS: Final = 5.0


class Gateway:
    """Owns the recorder, the sessions, both sides and the clients of upstreams. Use it as an async context manager."""

    def __init__(
        self,
        store: Store,
        models: Models,
        *,
        environments: Mapping[str, Environment] | None = None,
        settings: Settings | None = None,
        redact: Redact | None = None,
        spool: Spool | None = None,
    ) -> None:
        """`redact` sees every body before it is persisted, and gives back what may be kept."""
        self.store = store
        self.models = models
        self.settings = settings or Settings()
        self.environments = dict(environments or {})
        self.recorder = Recorder(store, redact=redact, spool=spool)
        self.recorder.keep_all = self.settings.recording == "best-effort"
        self.metrics = Metrics()
        self.recorder.listeners.append(self.metrics.observe)
        self.checkups = Checkups(store, self.recorder)
        self.scoring = LiveScoring(
            store, self.recorder, self.environments, self._reread, self.chat, self.settings.score_live
        )
        self.alerting = Alerting(store, self.recorder, self.settings)
        self.retaining = Retaining(store, self.settings.retention)
        self.sessions = Sessions(store, self.recorder, self.environments, self._let_go, self.scoring.at_end)
        self.live = LiveSessions(self.sessions, store, self.settings, partial(self.end, stop="completed"))
        self.model_side = ModelSide(store, self.recorder, models, self.settings, self.live)
        self.traffic = Traffic()
        self.keys = KeyRing(store)
        self._use = Use(self.models)
        self._retired: list[Use] = []
        self._control = Control(self)
        self._users = UserSide(self)
        self._tools: ToolSide | None = None
        self._tools_lock = asyncio.Lock()
        self._live_tools: dict[str, Session] = {}
        self._former_tools: list[Session] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.recorder)
        self._stack.push_async_callback(self._close_models)
        for work in (self.checkups, self.scoring, self.alerting, self.retaining):
            self._stack.push_async_callback(work.stop)
            work.start()
        await self.live.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop calls under way (their rows say so), close tool servers, write what is left."""
        with anyio.CancelScope(shield=True):
            await self._control.stop()
            for session in self.sessions:
                await _stop_calls(session, "cancelled")
            for session in (*self._live_tools.values(), *self._former_tools):
                await self.end(session.id, stop="completed")
            await self.live.stop()
            await self._stack.__aexit__(kind, error, traceback)

    async def reconfigure(
        self,
        models: Models,
        *,
        environments: Mapping[str, Environment] | None = None,
        settings: Settings | None = None,
        redact: Redact | None = None,
    ) -> None:
        """From now on, requests are answered so. Those under way end as they began, and sessions keep the environment
        that they have."""
        self.models, self.settings = models, settings or Settings()
        self.model_side = ModelSide(self.store, self.recorder, models, self.settings, self.live, self.model_side)
        self.recorder.redact_with(redact)
        self.recorder.keep_all = self.settings.recording == "best-effort"
        self.live.settle(self.settings)
        self.scoring.rules = self.settings.score_live
        self.alerting.settle(self.settings)
        self.retaining.retention = self.settings.retention
        self.environments.clear()
        self.environments.update(environments or {})
        former, self._former_tools = self._former_tools, list(self._live_tools.values())
        self._live_tools.clear()
        for session in former:  # of the configuration before the last: calls of the last one may be under way
            await self.end(session.id, stop="completed")
        self._retired.append(self._use)
        self._use.retire()
        self._use = Use(models)
        self._retired = [use for use in self._retired if not use.closed]

    async def _close_models(self) -> None:
        for use in (self._use, *self._retired):
            await use.models.aclose()

    async def drain(self, limit: float) -> bool:
        """Refuse new requests, and wait up to `limit` seconds for those under way; whether all of them have ended."""
        self.traffic.refuse(limit)
        with anyio.move_on_after(limit):
            await self.traffic.ended()
        return not self.traffic.under_way

    async def open(self, spec: SessionSpec) -> Session:
        """A new session, durable and with its tools connected. `Session.key` is its secret.

        Raises:
            UnknownName: no environment of this name is served.
            ToolServerError: a tool server could not be started; the session is ended and says so.
            StoreError: it could not be recorded.
        """
        session = await self.sessions.open(spec)
        if session.environment is not None and (session.environment.tools or session.environment.servers):
            try:
                await (await self.tool_side()).open(session)
            except BaseException as error:
                with anyio.CancelScope(shield=True):
                    await self.end(session.id, stop=_why(error), error=str(error))
                raise
        return session

    async def end(
        self, session_id: str, *, stop: str, error: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """End a session; a second time does nothing. Its calls are stopped, its tool servers closed, later requests get
        409.

        What the gateway itself saw (a limit, the failure that made an agent give up) comes before `stop`.

        Raises:
            UnknownName: there is no such session.
            StoreError: the end could not be recorded.
        """
        if (session := self.sessions.close(session_id, stop)) is not None:
            await self._leave(session)
            error = await self._users.at_end(session) or error
            if self._tools is not None and (replayed := self._tools.replayed(session)) is not None:
                session.stop = replayed.cause_over(session.stop or stop)
                error, metadata = error or replayed.error, {**(metadata or {}), **replayed.metadata}
        if await self.sessions.end(session_id, session, stop=stop, error=error, metadata=metadata):
            self.checkups.ended(session_id)
            self.scoring.ended(session_id)
            if session is not None and self._tools is not None:
                self._tools.forget(session)

    async def _reread(self, session: str) -> Trajectory:
        """A session that is to be scored."""
        trajectory = await self.checkups.trajectory(session)
        if trajectory.calls:
            self.metrics.remember(session, trajectory.calls[0].model)
        return trajectory

    async def _leave(self, session: Session) -> None:
        """Stop what a session that takes no more requests still does here."""
        await _stop_calls(session, "cancelled")
        if self._tools is not None:
            await self._tools.close(session)

    async def record(self, *rows: Row) -> None:
        """Commit rows (scores, runs) through the gateway's recorder. Raises `StoreError`."""
        await self.recorder.commit(*rows)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"The gateway serves HTTP, not {scope['type']}.")
        client = Client(scope, receive, send)
        refused = host_refused(client.headers, self.settings)
        if refused is not None:
            await say(client, 403, refused, "host_not_allowed")
            return
        if self.traffic.refusing is not None and client.scope["path"] != "/healthz":
            wait = (b"retry-after", b"%d" % max(1, math.ceil(self.traffic.refusing)))
            said = "This gateway is stopping; another one may be there soon."
            body = asker_of(client).error(503, said, "stopping")
            await client.answer(503, [JSON, wait, (b"connection", b"close")], body)
            return
        try:
            with self.traffic.counted(client):
                await self._route(client)
        except Refused as no:
            body = asker_of(client).error(no.status, str(no), no.code)
            await client.answer(no.status, [JSON, *no.headers], body)
        except UnknownName as error:
            await say(client, 401 if error.kind == "session" else 404, str(error), f"unknown_{error.kind}")
        except SessionEnded as ended:
            if ended.here is not None:
                await self._leave(ended.here)
            said = f"This session has ended ({ended.stop})."
            await say(client, status_of_end(client.headers), said, ended.stop)
        except StoreError as error:
            _log.error("A request failed at the store: %s", error)
            await say(client, 503, "The store cannot be used now.", "store_unavailable")
        except asyncio.CancelledError:  # by the server that stops; what the request began has its row
            _log.warning("A request was cut off: the gateway stops.")
        except Exception:
            _log.exception("A request failed in the gateway itself.")
            if not client.started:
                await say(client, 500, "The gateway itself failed at this request; its log says how.", "internal")

    async def _route(self, client: Client) -> None:
        prefix, path = split_prefix(client.scope["path"])
        route = read_route(path, client.query)
        if route is not None:
            await self._ask(client, prefix, route)
        elif path in _PROBES and client.scope["method"] in ("HEAD", "GET"):
            await client.answer(200, [JSON], dump({"status": "ok"}))
        elif prefix is not None and path == "/mcp":
            await self._use_tools(await self._named(client, prefix), client)
        elif prefix is not None and path == "/user":
            await self._users.handle(await self._admitted(client, prefix), client)
        elif path.startswith("/mcp/") and prefix is None:
            await self._use_tools(await self._for_environment(client, path[5:]), client)
        elif (path.startswith("/api/") or path == "/healthz") and prefix is None:
            await self._control.handle(client, path)
        elif path == "/metrics" and prefix is None:
            await tell_metrics(self, client)
        elif (found := _MODELS.fullmatch(path)) is not None:
            await self._models(client, prefix, found[1])
        else:
            await say(client, 404, f"There is nothing at {path}.", "not_found")

    async def _ask(self, client: Client, prefix: str | None, route: Route) -> None:
        if not await only(client, *route.methods):
            return
        who = await self._admitted(client, prefix)
        with self._use.counted():
            if route.kind == "turn":
                await self.model_side.complete(who, route, client)
            else:
                session = who.session or self.sessions.anonymous()
                await forward(self.models, self.settings, session, route, client, who)

    async def chat(self, model: str, body: Mapping[str, Any], own: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One chat completion outside any session, as `Models.chat`."""
        with self._use.counted():
            return await self.models.chat(model, body, own)

    async def _models(self, client: Client, prefix: str | None, wanted: str | None) -> None:
        if not await only(client, "GET", "HEAD"):
            return
        session = (await self._admitted(client, prefix)).session
        known = {model["id"]: model for model in await self.models.listed()}
        own = set(session.environment.models) if session is not None and session.environment is not None else set()
        if session is not None and session.row.model is not None:
            own.add(session.row.model)
        for name in sorted(own):
            known.setdefault(name, {"id": name, "object": "model", "created": 0, "owned_by": "drawbar"})
        shape = asker_of(client).name
        if wanted is None:
            await client.answer(200, [JSON], listed(shape, list(known.values())))
        elif wanted in known:
            await client.answer(200, [JSON], described(shape, known[wanted]))
        else:
            await say(client, 404, str(UnknownName("model", wanted, known)), "model_not_found")

    async def _admitted(self, client: Client, prefix: str | None) -> Admitted:
        return await admitted(client, prefix, self.sessions, self.keys, self.settings)

    async def _named(self, client: Client, prefix: str | None) -> Session:
        key = session_key(client_keys(client), prefix, client.headers)
        return await self.sessions.find(key or "")

    async def _for_environment(self, client: Client, name: str) -> Session | None:
        """The session that uses an environment's tools: the one that the request names, or that of all live agents."""
        keys = client_keys(client)
        if session_key(keys, None, client.headers) is not None:
            return await self._named(client, None)
        holder = await holder_of(keys, self.keys, self.settings)
        if holder is not None:
            holder.check_environment(name)
        async with self._tools_lock:
            if name not in self._live_tools:
                self._live_tools[name] = await self.sessions.open(SessionSpec(environment=name))
            return self._live_tools[name]

    def _let_go(self, session: Session) -> bool:
        """Whether a session that is not used may be forgotten: not while it has something of its own."""
        if session.endpoint is not None or session in (*self._live_tools.values(), *self._former_tools):
            return False
        return self._tools is None or self._tools.let_go(session)

    async def _use_tools(self, session: Session | None, client: Client) -> None:
        if session is None:
            return
        owner = None
        if session in self._live_tools.values():
            owner = partial(self._owner, session, scope_of(client) if await self._keyed() else None)
        await (await self.tool_side()).handle(session, client.scope, client.receive, client.send, owner)

    async def _keyed(self) -> bool:
        """Whether clients are told apart by keys."""
        return bool(self.settings.keys) or await self.keys.required()

    async def _owner(self, shared: Session, scope: bytes | None, params: Mapping[str, Any]) -> Session | None:
        """The live session whose model asked for a tool call, which then works in the tools' environment."""
        meta = params.get("_meta")
        arguments, name = params.get("arguments") or {}, str(params.get("name"))
        found = await self.live.claim(scope, name, arguments, meta if isinstance(meta, dict) else {})
        if found is not None and found.environment is None:
            found.join(shared)
            await self.recorder.post(found.row)
        return found

    async def tool_side(self) -> ToolSide:
        """Made when first needed: the MCP SDK takes a second to import."""
        if self._tools is None:
            made = await anyio.to_thread.run_sync(_import_tool_side)
            if self._tools is None:
                strict = self.settings.recording == "required"
                side = made(self.recorder, strict=strict, allowed_hosts=self.settings.allowed_hosts)
                self._tools = await self._stack.enter_async_context(side)
        return self._tools


def _import_tool_side() -> type[ToolSide]:
    import mcp  # noqa: F401 - whole: two threads that each begin with another part of it would meet half-made modules

    from drawbar.tools.endpoint import ToolSide

    return ToolSide


async def _stop_calls(session: Session, cause: str) -> None:
    """Stop the session's calls, and wait until each has its row."""
    for abort in list(session.aborts):
        abort(cause)
    with anyio.move_on_after(_ABORT_SECONDS):
        await session.idle.wait()


def _why(error: BaseException) -> str:
    return "tool_server_failed" if isinstance(error, Exception) else "cancelled"
