"""Which sessions there are: opened here, found again by key after a restart, ended once."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
import msgspec
import orjson

from drawbar.errors import StoreError, UnknownName
from drawbar.ids import digest, new_id, new_key
from drawbar.proxy.recalling import counted, recalled
from drawbar.record.graph import SessionGraph
from drawbar.record.rows import Row, SessionRow
from drawbar.record.sweeping import GRACE
from drawbar.sessions import Session, SessionSpec
from drawbar.task import Limits, Task
from drawbar.wire.tolerant import dump

if TYPE_CHECKING:
    from drawbar.environment import Environment
    from drawbar.record.recorder import Recorder
    from drawbar.record.store import Store
    from drawbar.trajectory import Trajectory

_ENDED_KEPT: Final = 10_000
_TRUSTED: Final = 5.0
"""Seconds for which what memory says of a session that another gateway opened is taken for true."""
_IDLE: Final = 3600.0
"""Seconds without a request after which a session may be forgotten; the store still knows it."""
_LOST_CAUSES: Final = frozenset({"completed", "agent_failed", "harness_failed"})
"""How a harness explains its end when all it saw was an error, or an agent that swallowed it; what the gateway saw
says more."""


class SessionEnded(LookupError):
    """The key belongs to a session that is over; `stop` says why."""

    def __init__(self, stop: str, here: Session | None = None) -> None:
        super().__init__(stop)
        self.stop = stop
        self.here = here
        """The session, where this gateway has only now learned that it is over."""


class Sessions:
    """All sessions of one gateway. A key that it has not seen is looked up in the store: others may have opened it."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        environments: Mapping[str, Environment],
        let_go: Callable[[Session], bool] = lambda _: True,
        at_end: Callable[[SessionRow], Sequence[Row]] = lambda _: (),
    ) -> None:
        """`let_go` is asked before a session that has long been idle is forgotten; its request finds it again.
        `at_end` gives what is to be written with a session's end."""
        self._let_go = let_go
        self._at_end = at_end
        self._store = store
        self._recorder = recorder
        self._environments = environments
        self._by_key: dict[str, Session] = {}
        self._by_id: dict[str, Session] = {}
        self._closing: dict[str, Session] = {}
        self._swept = time.monotonic()
        self._ended: OrderedDict[bytes, str] = OrderedDict()
        self._loading: dict[bytes, asyncio.Task[Session]] = {}

    def __iter__(self) -> Any:
        return iter(list(self._by_id.values()))

    def __contains__(self, id: object) -> bool:
        return id in self._by_id

    async def open(self, spec: SessionSpec) -> Session:
        """A new session, durable. Raises `UnknownName`, `StoreError`."""
        session = self._new(spec)
        self._remember(session)
        try:
            await self._recorder.commit(session.row)
        except BaseException:  # cancelled, say: its row may be on its way all the same, and nobody else would end it
            with anyio.CancelScope(shield=True), suppress(StoreError):
                await self.end(session.id, self.close(session.id, "cancelled"), stop="cancelled")
            raise
        return session

    def anonymous(self) -> Session:
        """A session for a request that makes no turn, and leaves nothing."""
        return self._new(SessionSpec(), keyed=False)

    def begin(self, origin: str, name: bytes | None, agent: str | None, continues: SessionRow | None = None) -> Session:
        """A live session that nobody opened. Its row is written with its first call's. `name`: what finds it again in
        the store; `continues`: the session that its agent had before."""
        session = self._new(SessionSpec(harness=agent), keyed=False)
        session.row = msgspec.structs.replace(session.row, origin=origin, key_digest=name)
        if continues is not None:
            session.continuing(continues)
        session.unwritten = True
        self._remember(session)
        return session

    async def again(self, name: bytes, path: Sequence[bytes] = ()) -> Session | None:
        """A live session out of the store, by what finds it again; a new one that continues it, if it is over. None:
        there is none. `path`: the nodes of a conversation, to tell it from others that began alike."""
        row = await anyio.to_thread.run_sync(self._store.conversation, name, path)
        if row is None or row.origin == "opened":
            return None
        if row.status == "ended":
            return self.begin(row.origin, name, row.harness, continues=row)
        return await self.known(row)

    async def known(self, row: SessionRow) -> Session:
        """An open live session of the store. Raises `StoreError`."""
        if row.id not in self._by_id:
            self._by_id.setdefault(row.id, (await self._recalled(row, ""))[0])
        return self._by_id[row.id]

    async def resume(self, since: float, most: int) -> list[tuple[Session, Trajectory]]:
        """The live sessions that other gateways have left open and that were heard since then, unless they are known
        here, with their past; the one that was heard last comes last. Raises `StoreError`."""
        found: list[tuple[Session, Trajectory]] = []
        for row in reversed(await anyio.to_thread.run_sync(self._store.heard_since, since, most)):
            if row.id not in self._by_id:
                session, past = await self._recalled(row, "")
                self._by_id[row.id] = session
                found.append((session, past))
        return found

    async def refresh(self, session: Session) -> bool:
        """Take in what other gateways on this store have done in a session; whether there was anything. If they have
        ended it, it takes no requests from now on."""
        if not await self.still_open(session):
            return True
        over = await anyio.to_thread.run_sync(self._store.ended_calls, session.id)
        if session.known.issuperset(over):
            return False
        past = await anyio.to_thread.run_sync(self._store.trajectory, session.id)
        new = [call for call in past.calls if call.status != "started" and call.id not in session.known]
        counted(session, past, new)
        recalled(session, past, {call.id for call in new})
        return True

    async def _trusted(self, session: Session) -> bool:
        """Whether a session goes on; where other gateways may end it, the store is asked now and then."""
        alone = not (session.restored or self._store.shared)
        return alone or time.monotonic() - session.checked <= _TRUSTED or await self.still_open(session)

    async def still_open(self, session: Session) -> bool:
        """Whether a session goes on as far as the store knows; if another gateway has ended it, it is closed here."""
        session.checked = time.monotonic()
        row = await anyio.to_thread.run_sync(self._store.session, session.id)
        if row is None and time.time() - session.touched > GRACE:  # it was ended elsewhere, and deleted since
            row = msgspec.structs.replace(session.row, status="ended", stop="completed")
        if row is None or row.status != "ended":
            return True
        session.row = row
        self.close(session.id, row.stop or "completed")
        self._closing.pop(session.id, None)
        return False

    async def find(self, key: str) -> Session:
        """The session of this key.

        Raises:
            UnknownName: there is none.
            SessionEnded: it is over.
        """
        session = self._by_key.get(key)
        if session is None:
            session = await self._restored(key)
        elif not await self._trusted(session):
            raise SessionEnded(session.stop or "completed", session)
        session.used = time.monotonic()
        return session

    def close(self, id: str, stop: str) -> Session | None:
        """From now on the session takes no requests; the session, if it was open in memory.

        Why it ends is decided here: what the gateway itself saw comes before `stop`.
        """
        session = self._by_id.pop(id, None)
        if session is None:
            return self._closing.get(id)
        session.stop = session.stop or (session.trouble if stop in _LOST_CAUSES and session.trouble else stop)
        if not session.live:
            self._by_key.pop(session.key, None)
            self._note_end(session.row.key_digest, session.stop)
        self._closing[id] = session
        session.known.clear()
        session.flights.clear()  # they lead back to the session, and only the garbage collector would find that
        if session.row.origin != "content":  # whose tree is not its own
            session.tree.clear()
        return session

    async def end(
        self,
        id: str,
        session: Session | None,
        *,
        stop: str,
        error: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> bool:
        """Write a session's end, once; False when it had ended before. `session` is what `close` gave. Raises
        `UnknownName`, `StoreError`."""
        row = session.row if session is not None else await anyio.to_thread.run_sync(self._store.session, id)
        if row is None:
            raise UnknownName("session", id, None)
        if row.status == "ended" or (session is not None and await self._ended_elsewhere(session)):
            await self._recorder.commit()  # it may be on its way
            return False
        stop = session.stop if session is not None and session.stop is not None else stop
        if row.origin == "opened":
            self._note_end(row.key_digest, stop)
        merged = dump({**_object(row.metadata), **(metadata or {})})
        at = session.touched if session is not None and session.live else time.time()
        ended = msgspec.structs.replace(row, status="ended", stop=stop, error=error, metadata=merged, ended=at)
        if session is not None:
            session.row = ended
        try:
            await self._recorder.commit(ended, *self._at_end(ended))
        except StoreError:
            if session is not None:
                session.row = row  # whoever tries again writes it
            raise
        self._closing.pop(id, None)
        return True

    async def _ended_elsewhere(self, session: Session) -> bool:
        """Whether another gateway has written a live session's end already; it may even be deleted since."""
        if not (session.live and self._store.shared) or session.unwritten:
            return False
        await self._recorder.commit()
        row = await anyio.to_thread.run_sync(self._store.session, session.id)
        if row is not None and row.status != "ended":
            return False
        session.row = row or session.row
        self._closing.pop(session.id, None)
        return True

    def _new(self, spec: SessionSpec, *, keyed: bool = True) -> Session:
        environment = None
        if spec.environment is not None:
            environment = self._environments.get(spec.environment)
            if environment is None:
                raise UnknownName("environment", spec.environment, self._environments)
        key = new_key() if keyed else ""
        limits, sampling = _effective(spec, environment)
        row = SessionRow(
            id=new_id("ses"),
            key_digest=key_digest(key) if keyed else None,
            run=spec.run,
            environment=spec.environment,
            environment_version=environment.version if environment is not None else None,
            task_key=spec.task.key if spec.task is not None else None,
            task_hash=spec.task.hash if spec.task is not None else None,
            task=spec.task.to_json() if spec.task is not None else None,
            rollout=spec.rollout,
            attempt=spec.attempt,
            harness=spec.harness,
            model=spec.model,
            config=_config(spec, limits, sampling),
            metadata=dump(dict(spec.metadata)),
            started=time.time(),
        )
        return self._session(row, key, spec.task, environment, limits, sampling)

    def _session(
        self,
        row: SessionRow,
        key: str,
        task: Task | None,
        environment: Environment | None,
        limits: Limits,
        sampling: Mapping[str, Any],
    ) -> Session:
        config = _object(row.config)
        return Session(
            row=row,
            key=key,
            environment=environment,
            task=task,
            limits=limits,
            sampling=sampling,
            graph=SessionGraph(),
            token_ids=config.get("token_ids") is True,
            withhold=frozenset(config.get("withhold", ())),
            epoch=self._recorder.epoch,
        )

    async def _restored(self, key: str) -> Session:
        """A session that this process does not hold; requests that ask at once share one look."""
        name = key_digest(key)
        if name in self._ended:
            raise SessionEnded(self._ended[name])
        task = self._loading.get(name)
        if task is None:
            task = self._loading[name] = asyncio.create_task(self._load(key, name))
            task.add_done_callback(lambda _: self._loading.pop(name, None))
        return await asyncio.shield(task)

    async def _load(self, key: str, name: bytes) -> Session:
        row = await anyio.to_thread.run_sync(self._store.session_by_key, name)
        if row is None:
            raise UnknownName("session", "(the key is not shown)", None)
        if row.status == "ended":
            self._note_end(name, row.stop or "completed")
            raise SessionEnded(row.stop or "completed")
        session, _ = await self._recalled(row, key)
        session.restored = True
        if name in self._ended:  # meanwhile
            raise SessionEnded(self._ended[name])
        self._remember(session)
        return session

    async def _recalled(self, row: SessionRow, key: str) -> tuple[Session, Trajectory]:
        """A session as the store knows it, with all that it used and said."""
        config = _object(row.config)
        session = self._session(
            row,
            key,
            Task.recorded(row.task),
            self._environments.get(row.environment) if row.environment is not None else None,
            Limits(**config.get("limits", {})),
            config.get("sampling", {}),
        )
        past = await anyio.to_thread.run_sync(self._store.trajectory, row.id)
        counted(session, past, past.calls)
        recalled(session, past, {call.id for call in past.calls})
        return session, past

    def _remember(self, session: Session) -> None:
        self._sweep()
        if not session.live:
            self._by_key[session.key] = session
        self._by_id[session.id] = session

    def _sweep(self) -> None:
        """Now and then, forget the sessions that nobody has used for long: many agents never say that they ended."""
        now = time.monotonic()
        if now - self._swept < _TRUSTED:
            return
        self._swept = now
        for session in list(self._by_id.values()):
            idle = now - session.used > _IDLE and not session.aborts and not session.live
            if idle and self._let_go(session):
                del self._by_id[session.id], self._by_key[session.key]

    def _note_end(self, name: bytes | None, stop: str) -> None:
        if name is not None:
            self._ended[name] = stop
            while len(self._ended) > _ENDED_KEPT:
                self._ended.popitem(last=False)


def _object(raw: bytes) -> dict[str, Any]:
    """A JSON object of a row; empty where a redaction hook has left none."""
    try:
        value = orjson.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _config(spec: SessionSpec, limits: Limits, sampling: Mapping[str, Any]) -> bytes:
    """What a session was opened with, for whoever finds it again."""
    more: dict[str, Any] = {"token_ids": True} if spec.token_ids else {}
    if spec.withhold:
        more["withhold"] = sorted(spec.withhold)
    if spec.user_model is not None:
        more["user_model"] = spec.user_model
    return dump({"limits": asdict(limits), "sampling": sampling, "seed": spec.seed, **more})


def key_digest(key: str) -> bytes:
    """What the store keeps of a session key."""
    return digest(key.encode())


def _effective(spec: SessionSpec, environment: Environment | None) -> tuple[Limits, dict[str, Any]]:
    """Limits: the strictest of what was asked for, the task's, the environment's. Sampling: the more special wins."""
    limits, sampling = spec.limits, dict(spec.sampling)
    if spec.task is not None:
        limits = limits.within(spec.task.limits)
    if environment is not None:
        limits = limits.within(environment.limits)
        sampling = {**environment.sampling, **sampling}
    if spec.seed is not None:
        sampling.setdefault("seed", spec.seed)
    return limits, sampling
