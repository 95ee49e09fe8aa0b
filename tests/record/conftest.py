"""Stores to test on: SQLite in a temporary folder, and PostgreSQL in a private cluster on a Unix socket."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from drawbar.ids import new_id
from drawbar.record.graph import SessionGraph
from drawbar.record.rows import CallRow, Row, SessionRow, ToolCallRow
from drawbar.record.stitching import CallTree, Turn
from drawbar.record.store import Store
from drawbar.trajectory import Trajectory
from drawbar.wire import CHAT
from drawbar.wire.dialect import Dialect


def _binaries() -> Path | None:
    """Where PostgreSQL's server programs are, if it is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def _account() -> str | None:
    """PostgreSQL refuses to run as root: the account to run it as then."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)


def _run(account: str | None, *command: str | Path) -> None:
    arguments = [str(part) for part in command]
    # To files, not pipes: the server inherits them and would keep a pipe open for ever.
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(
            arguments, check=False, user=account, cwd="/", stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        said.seek(0)
        assert done.returncode == 0, f"{arguments[0]}: {said.read()}"


@contextmanager
def _server(account: str | None, binaries: Path, data: Path, sockets: Path) -> Iterator[None]:
    """PostgreSQL as a child of this process, so that what ends us ends it too."""
    options = (
        "-c",
        "listen_addresses=",
        "-c",
        f"unix_socket_directories={sockets}",
        "-c",
        "fsync=off",
        "-c",
        "lc_messages=C",
    )
    process = subprocess.Popen(
        [binaries / "postgres", "-D", data, *options], user=account, cwd="/", stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stderr is not None
        ready = any("ready to accept connections" in line for line in process.stderr)
        # Its log must be read on: a full pipe would hold it up.
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        try:
            assert ready, "PostgreSQL ended before it was ready"
            yield
        finally:
            process.send_signal(signal.SIGINT)  # end sessions, then stop
            process.wait()
            drain.join()


@contextmanager
def _cluster(binaries: Path) -> Iterator[str]:
    account = _account()
    # Not below pytest's folder: that is closed to other accounts, and too deep for a socket's name.
    home = Path(tempfile.mkdtemp(prefix="drawbar-pg-"))
    try:
        if account is not None:
            shutil.chown(home, account)
        data = home / "data"
        _run(account, binaries / "initdb", "-D", data, "-U", "drawbar", "-A", "trust", "-E", "UTF8", "--no-sync")
        with _server(account, binaries, data, sockets=home):
            yield f"postgresql+psycopg://drawbar@/postgres?host={home}"
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a private PostgreSQL cluster."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    with _cluster(binaries) as url:
        yield url


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """The URL of an empty database."""
    name = new_id("db")
    engine = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield make_url(postgres).set(drivername="postgresql", database=name).render_as_string()
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store can be made, on each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'drawbar.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store, on each kind of database."""
    store = Store.open(store_url)
    yield store
    store.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """An empty store, where the kind of database makes no difference."""
    store = Store.open(tmp_path / "drawbar.db")
    yield store
    store.close()


Count = Callable[[Store, str], int]


@pytest.fixture
def count() -> Count:
    """How many rows a table of a store holds."""

    def count(store: Store, table: str) -> int:
        engine = create_engine(store.url)
        with engine.connect() as connection:
            found = connection.execute(text(f'SELECT count(*) FROM "{table}"')).scalar_one()
        engine.dispose()
        return int(found)

    return count


@pytest.fixture
def make_session() -> Callable[..., SessionRow]:
    return lambda **fields: SessionRow(**{"id": new_id("ses"), "started": 1.0, **fields})


@pytest.fixture
def make_call() -> Callable[..., CallRow]:
    def make(session: str, seq: int = 0, **fields: Any) -> CallRow:
        defaults: dict[str, Any] = {
            "id": new_id("call"),
            "dialect": "chat",
            "path": "/v1/chat/completions",
            "model": "m",
            "started": 10.0 + seq,
        }
        return CallRow(session=session, seq=seq, **{**defaults, **fields})

    return make


@pytest.fixture
def make_tool_call() -> Callable[..., ToolCallRow]:
    def make(session: str, seq: int = 0, **fields: Any) -> ToolCallRow:
        defaults: dict[str, Any] = {
            "id": new_id("tool"),
            "server": "wiki",
            "tool": "search",
            "name": "search",
            "arguments": b"{}",
            "status": "answered",
            "started": 10.3 + seq,
            "ended": 10.4 + seq,
        }
        return ToolCallRow(session=session, seq=seq, **{**defaults, **fields})

    return make


MakeCall = Callable[..., CallRow]
MakeToolCall = Callable[..., ToolCallRow]


class Recording:
    """Builds up one session's rows as the gateway would, and says its lines in chat."""

    def __init__(
        self, make_call: MakeCall, make_tool_call: MakeToolCall, *, id: str = "", dialect: Dialect = CHAT
    ) -> None:
        self.id = id or new_id("ses")
        self.dialect = dialect
        self.rows: list[Row] = [SessionRow(id=self.id, started=1.0)]
        self._graph = SessionGraph()
        self._tree: CallTree[str] = CallTree()
        self._make_call = make_call
        self._make_tool_call = make_tool_call
        self._calls = 0
        self._tool_calls = 0

    def call(self, messages: list[dict[str, Any]], reply: Any | None, **fields: Any) -> CallRow:
        """A model call; without a `status` it is answered."""
        said = [orjson.dumps(message) for message in messages]
        path, nodes = self._graph.request(self.dialect, said)
        place = self._tree.find(self.dialect, path, said, fields.get("thread"))
        turn = Turn(new_id("call"), self.id, path[-1] if path else None, fields.get("thread"))
        self._tree.add(turn, place)
        self.rows += nodes
        node = body = None
        if reply is not None:
            node, replies, body = self._graph.reply(self.dialect, turn.leaf, orjson.dumps(reply))
            self.rows += replies
            self._tree.replied(turn, node, self.dialect, orjson.dumps(reply))
        ended = {"status": "answered", "prompt_tokens": 1, "completion_tokens": 1, "ended": 10.2 + self._calls}
        follows = place.follows.call if place.follows is not None else None
        made = {"id": turn.call, "dialect": self.dialect.name, "follows": follows, "edge": place.edge, **ended}
        row = self._make_call(
            self.id, self._calls, request=turn.leaf, reply=node, reply_body=body, **{**made, **fields}
        )
        self.rows.append(row)
        self._calls += 1
        return row

    def tool_call(self, arguments: dict[str, Any], result: bytes | None, **fields: Any) -> ToolCallRow:
        """A tool call; without a `status` it is answered."""
        row = self._make_tool_call(
            self.id, self._tool_calls, arguments=orjson.dumps(arguments), result=result, **fields
        )
        self.rows.append(row)
        self._tool_calls += 1
        return row

    def with_tool(self, seen: str | None, said: bytes | None, **fields: Any) -> None:
        """A question, one tool call, and the answer; `seen` is what the model saw of the result."""
        question, asks = self.user("Who wrote it?"), self.says(None, ("call_1", "wiki_search", {"query": "it"}))
        self.call([question], asks)
        self.tool_call({"query": "it"}, said, **fields)
        shown = self.user("go on") if seen is None else self.result("call_1", seen)
        self.call([question, asks, shown], self.says("Ada wrote it."))

    def read(self, store: Store) -> Trajectory:
        store.write(self.rows)
        return store.trajectory(self.id)

    @staticmethod
    def user(words: str) -> dict[str, Any]:
        return {"role": "user", "content": words}

    @staticmethod
    def says(words: str | None, *uses: tuple[str, str, Any], **more: Any) -> dict[str, Any]:
        """An assistant message; a tool use is its id, its tool and its arguments (a text: as it is)."""
        calls = [
            {"id": id, "type": "function", "function": {"name": name, "arguments": arguments
             if isinstance(arguments, str) else orjson.dumps(arguments).decode()}}
            for id, name, arguments in uses
        ]  # fmt: skip
        return {"role": "assistant", "content": words, **({"tool_calls": calls} if calls else {}), **more}

    @staticmethod
    def result(id: str, words: str) -> dict[str, Any]:
        """What the model is shown of a tool."""
        return {"role": "tool", "tool_call_id": id, "content": words}

    @staticmethod
    def gave(words: str, **more: Any) -> bytes:
        """What a server said."""
        return orjson.dumps({"content": [{"type": "text", "text": words}], **more})


@pytest.fixture
def recording(make_call: MakeCall, make_tool_call: MakeToolCall) -> Recording:
    return Recording(make_call, make_tool_call)


@pytest.fixture
def new_recording(make_call: MakeCall, make_tool_call: MakeToolCall) -> Callable[..., Recording]:
    return lambda **given: Recording(make_call, make_tool_call, **given)
