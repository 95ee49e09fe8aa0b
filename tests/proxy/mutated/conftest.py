"""A gateway without a socket, and an upstream that says whatever a test writes."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import psutil  # type: ignore[import-untyped]
import pytest
from rich.console import Console
from tests.proxy.mutated.in_memory import Heard, Liar, Line, Played, ask
from tests.proxy.mutated.mutations import answers

from drawbar.cli.transcript import as_json, print_transcript
from drawbar.gateway import Gateway
from drawbar.proxy.client import JSON
from drawbar.proxy.failures import RetryPolicy
from drawbar.proxy.settings import Settings
from drawbar.proxy.trajectory_json import trajectory_from_json, trajectory_to_json
from drawbar.record.store import Store
from drawbar.sessions import SessionSpec
from drawbar.trajectory import Trajectory

ONCE: Final = RetryPolicy(attempts=1)
GOOD: Final = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
GROWTH: Final = 100_000_000
"""Bytes by which the process may grow after the first third, whatever comes."""

SETS_FIELDS: Final = SessionSpec(model="m", sampling={"temperature": 0.5, "max_tokens": 7, "stop": ["x"], "seed": 1})


@dataclass
class Bench:
    """A gateway without a socket, and what may be said of it whatever it was sent."""

    gateway: Gateway
    path: Path
    liar: Liar
    log: list[logging.LogRecord]
    asked: int = 0
    """Requests so far that are to have left a row."""

    async def ask(self, path: str, body: bytes, **options: Any) -> Heard:
        return await ask(self.gateway, path, body, **options)

    def memory(self, batches: int) -> Memory:
        return Memory(batches)

    async def turns(
        self, asked: Sequence[Mapping[str, Any]], *, sets_fields: bool = False
    ) -> tuple[Trajectory, list[Heard]]:
        """Ask for these turns at once, below the URL of a new session, and look at all that is left of it then.

        `sets_fields`: the session has a model and sampling settings of its own.
        """
        session = await self.gateway.open(SETS_FIELDS if sets_fields else SessionSpec())
        one = (self.ask(**{**it, "path": f"/s/{session.key}{it['path']}"}) for it in asked)
        heard = list(await asyncio.gather(*one))
        await self.gateway.end(session.id, stop="completed")
        self.asked += len(asked)
        return self.seen(session.id, len(heard)), heard

    def seen(self, session: str, calls: int | None = None) -> Trajectory:
        """What is recorded of a session, which can be read and shown, and has this many calls with an end."""
        trajectory = self.gateway.store.trajectory(session)
        assert calls in (None, len(trajectory.calls)), "not one row for each request"
        for call in trajectory.calls:
            assert call.ended is not None
            assert (call.status == "answered") == (call.cause is None), (call.status, call.cause)
        with io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as terminal:
            print_transcript(trajectory, Console(file=terminal, width=100), full=False)
        orjson.dumps(as_json(trajectory), option=orjson.OPT_INDENT_2)
        trajectory_from_json(trajectory_to_json(trajectory))
        assert not self.log, self.log[0].getMessage()
        return trajectory

    async def still_works(self) -> None:
        """A request like any other is answered, the store opens, and every request so far has its row there."""
        line, self.liar.usual = self.liar.usual, Line(headers=[JSON], parts=[answers("chat")[0]])
        _, (heard,) = await self.turns([{"path": "/v1/chat/completions", "body": GOOD}])
        self.liar.usual = line
        assert (heard.status, heard.body) == (200, answers("chat")[0])
        await self.gateway.recorder.commit()
        assert self._counted() == self.asked
        with closing(Store.open(self.path, read_only=True)) as store:
            assert store.sessions(limit=1)

    def _counted(self) -> int:
        """The calls that have an end, as somebody else reads them in the file."""
        with closing(sqlite3.connect(self.path)) as connection:
            found: int = connection.execute("select count(*) from call where ended is not null").fetchone()[0]
            return found


class Memory:
    """How much this process holds: after a while, it does not grow with what passes."""

    def __init__(self, batches: int) -> None:
        self._left = batches // 3
        self._early: int | None = None

    def look(self) -> None:
        """After each batch."""
        self._left -= 1
        if self._left == 0:
            self._early = self._now()

    def must_not_have_grown(self) -> None:
        assert self._early is None or self._now() - self._early < GROWTH

    def _now(self) -> int:
        gc.collect()
        return int(psutil.Process().memory_info().rss)


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record)


@pytest.fixture
def errors() -> Iterator[list[logging.LogRecord]]:
    """What was logged as an error: by the gateway, or by the event loop of a task that nobody waits for."""
    handler = _Errors()
    loggers = [logging.getLogger(name) for name in ("drawbar", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
    yield handler.seen
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.fixture
def liar() -> Liar:
    return Liar()


@pytest.fixture
async def bench(liar: Liar, errors: list[logging.LogRecord], tmp_path: Path) -> AsyncIterator[Bench]:
    path = tmp_path / "mutated.db"
    store = Store.open(path)
    try:
        async with Gateway(store, Played(liar), settings=Settings(retries=ONCE, afterwards=0.01)) as gateway:
            yield Bench(gateway, path, liar, errors)
    finally:
        store.close()
