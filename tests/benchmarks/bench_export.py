"""How fast a store of 100,000 sessions of 8 messages (`--sessions N`) is exported, and how fast it opens and is read.

"bare" is what any such program in Python must do: ask SQLite for the rows of sessions, calls, scores and messages,
unpack the bodies, parse each and write them as JSON lines, of which the digest is taken; it asks nothing about them,
masks nothing and relies on messages lying in the order of their sessions. Compare rows per CPU second with it.

Each session has a question, three tool calls with their results and an answer, of 300 to 700 bytes each and unlike all
others, with the scores, the health and the summary that a rollout leaves. One process on one core writes a file; memory
is its peak, with the interpreter in it.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from conversations import text
from drawbar.record.graph import SessionGraph
from drawbar.record.packing import packed
from drawbar.record.rows import CallRow, HealthRow, Row, ScoreRow, SessionRow, SummaryRow, ToolCallRow
from drawbar.record.store import Store
from drawbar.wire import CHAT
from report import Figures, interleaved, note, parser, show

TOOLS = orjson.dumps([
    {"type": "function", "function": {"name": name, "description": text(name, 120).decode(), "parameters": {
        "type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}}}
    for name in ("search", "read", "cite")
])  # fmt: skip
_PROSE = text("prose", 400_000).decode()
_random = random.Random(3)
ENDED: dict[str, Any] = {
    "status": "answered",
    "http_status": 200,
    "prompt_tokens": 900,
    "completion_tokens": 60,
    "upstream": "up/m",
}
FILES = {"openai": "jsonl", "trl": "jsonl", "sharegpt": "jsonl", "trl-completion": "jsonl", "trl ": "parquet"}


def _words() -> str:
    start = _random.randrange(390_000)
    return _PROSE[start : start + _random.randrange(200, 600)]


def _says(n: int, turn: int) -> bytes:
    if turn == 3:
        return orjson.dumps({"role": "assistant", "content": _words(), "refusal": None})
    call = {"id": f"call_{n}_{turn}", "type": "function", "function": {
        "name": "search", "arguments": orjson.dumps({"query": _words()}).decode()}}  # fmt: skip
    return orjson.dumps({"role": "assistant", "content": None, "tool_calls": [call]})


def session(n: int) -> Iterator[Row]:
    """The rows of one session."""
    id, graph, started = f"ses_{n:09}", SessionGraph(), 1_796_000_000.0 + n
    yield SessionRow(
        id=id, run="run_1", environment="wiki", environment_version="1", task_key=f"t{n // 8}", harness="loop",
        model="m", status="ended", stop="completed", started=started, ended=started + 9,
    )  # fmt: skip
    said = [orjson.dumps({"role": "user", "content": _words()})]
    tools, blobs = graph.blob(TOOLS)
    envelope, more = graph.blob(b'{"temperature":1}')
    yield from (*blobs, *more)
    for turn in range(4):
        path, nodes = graph.request(CHAT, said)
        said.append(_says(n, turn))
        reply, replies, body = graph.reply(CHAT, path[-1], said[-1])
        yield from (*nodes, *replies)
        yield CallRow(
            id=f"call_{turn}", session=id, seq=turn, dialect="chat", path="/v1/chat/completions", model="m",
            request=path[-1], reply=reply, reply_body=body, tools=tools, request_envelope=envelope,
            started=started + turn, follows=f"call_{turn - 1}" if turn else None, edge="exact" if turn else None,
            finish="stop", **ENDED,
        )  # fmt: skip
        if turn < 3:
            shown = _words()
            said.append(orjson.dumps({"role": "tool", "tool_call_id": f"call_{n}_{turn}", "content": shown}))
            yield ToolCallRow(
                id=f"tool_{turn}", session=id, seq=turn, server="wiki", tool="search", name="search",
                arguments=orjson.dumps({"query": shown[:40]}), status="answered", started=started, ended=started,
                result=orjson.dumps({"content": [{"type": "text", "text": shown}]}),
            )  # fmt: skip
    yield HealthRow(session=id, findings=b"[]", created=started)
    yield SummaryRow(
        session=id, turns=4, calls=4, failed_calls=0, tool_calls=3, tool_errors=0, prompt_tokens=3600,
        completion_tokens=240, cached_tokens=0, reasoning_tokens=0, cost=0.001, model="m",
        upstreams=packed(("up/m", "up")), health="good", findings="", created=started,
    )  # fmt: skip
    for name in ("correct", "style"):
        yield ScoreRow(
            id=f"s_{name}", session=id, name=name, kind="reward", value=n % 3 / 2, weight=1.0, rubric_version="r",
            source="rollout", created=started,
        )  # fmt: skip


def fill(path: Path, count: int) -> None:
    """A store of so many sessions."""
    store, batch = Store.open(path), list[Row]()
    for n in range(count):
        batch += session(n)
        if len(batch) > 500:  # as a gateway commits under load; rows of one commit lie in the order of their ids
            store.write(batch)
            batch.clear()
    store.write(batch)
    store.close()


JOB = """
import resource, sys, time
from pathlib import Path
from typing import Any
from drawbar.export.engine import Wanted
from drawbar.export.format import format_named
from drawbar.export.run import export
from drawbar.export.writing import target
from drawbar.record.store import Store
format = format_named(sys.argv[2].strip())
store = Store.open(sys.argv[1], read_only=True)
begun = time.perf_counter(), time.process_time()
tally, _ = export(store, Wanted(format=format), target(Path(sys.argv[3]), None, format), licenses={})
print(tally.rows, time.perf_counter() - begun[0], time.process_time() - begun[1],
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""

BARE = """
import hashlib, resource, sqlite3, sys, time
import orjson, zstandard
unpack = zstandard.ZstdDecompressor().decompress
ask = sqlite3.connect(sys.argv[1]).execute
begun = time.perf_counter(), time.process_time()
digest, count = hashlib.sha256(), ask("SELECT count(*) FROM session").fetchone()[0]
with open(sys.argv[3], "wb") as file:
    for start in range(0, count, 256):
        ids = [f"ses_{n:09}" for n in range(start, min(start + 256, count))]
        among = "(" + ",".join("?" * len(ids)) + ")"
        ask("SELECT s.*, m.* FROM session s JOIN summary m ON m.session = s.id WHERE s.id IN " + among, ids).fetchall()
        ask("SELECT session, id, seq, dialect, request, reply, tools, request_envelope, status, prompt_tokens, "
            "completion_tokens FROM call WHERE session IN " + among, ids).fetchall()
        ask("SELECT * FROM newest_score WHERE session IN " + among, ids).fetchall()
        nodes = ask("SELECT id, parent, dialect, body FROM node WHERE rowid BETWEEN ? AND ?",
                    (start * 8 + 1, (start + len(ids)) * 8)).fetchall()
        said = [orjson.loads(unpack(it[3]) if it[3][:4] == zstandard.FRAME_HEADER else it[3]) for it in nodes]
        lines = [orjson.dumps({"messages": said[at : at + 8]}, option=orjson.OPT_APPEND_NEWLINE)
                 for at in range(0, len(said), 8)]
        data = b"".join(lines)
        digest.update(data)
        file.write(data)
print(count, time.perf_counter() - begun[0], time.process_time() - begun[1],
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def exporting(store: Path, format: str, kind: str, job: str = JOB) -> Figures:
    """One export in a process of its own, held to one core."""
    out = store.with_name(f"out.{kind}")
    core = f"{min(os.sched_getaffinity(0))}"
    done = subprocess.run(
        ["taskset", "-c", core, sys.executable, "-c", job, store, format, out],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    rows, seconds, cpu, memory = map(float, done.stdout.split())
    size = out.stat().st_size
    out.unlink()
    out.with_name(f"{out.name}.manifest.json").unlink(missing_ok=True)
    speed = {"rows/s": rows / seconds, "rows/CPU s": rows / cpu}
    return {**speed, "rows": rows, "s": seconds, "CPU s": cpu, "MB": memory, "file MB": size / 2**20}


def opening(path: Path, count: int) -> Figures:
    """Open the store and read a session, as `drawbar show` does; the longest of some."""
    begun = time.perf_counter()
    store = Store.open(path, read_only=True)
    store.session(f"ses_{count - 1:09}")
    opened = time.perf_counter() - begun
    taken = []
    for n in range(0, count, max(1, count // 50)):
        begun = time.perf_counter()
        store.trajectory(f"ses_{n:09}")
        taken.append(time.perf_counter() - begun)
    store.close()
    taken.sort()
    return {"open ms": opened * 1000, "session p50 ms": taken[len(taken) // 2] * 1000, "slowest ms": taken[-1] * 1000}


def main() -> None:
    made = parser(__doc__, rounds=3)
    made.add_argument("--sessions", type=int, default=100_000, metavar="N")
    made.add_argument("--nodes", type=int, default=1_000_000, metavar="N", help="of the store that is opened")
    arguments = made.parse_args()
    count = arguments.sessions // 10 if arguments.quick else arguments.sessions
    nodes = arguments.nodes // 10 if arguments.quick else arguments.nodes
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "drawbar.db"
        note(f"writing {count:,} sessions")
        fill(store, count)
        jobs: dict[str, Callable[[], Figures]] = {"bare": lambda: exporting(store, "", "jsonl", BARE)}
        jobs |= {
            f"{format.strip()} .{kind}": lambda format=format, kind=kind: exporting(store, format, kind)  # type: ignore[misc]
            for format, kind in FILES.items()
        }
        exported = interleaved(jobs, arguments.rounds)
        store.unlink()
        note(f"writing {nodes:,} messages")
        fill(store, nodes // 8)
        opened = interleaved({"": lambda: opening(store, nodes // 8)}, arguments.rounds)
        title = f"a store of {nodes:,} messages"
        show(arguments, {f"exporting {count:,} sessions of 8 messages, one core": exported, title: opened})


if __name__ == "__main__":
    main()
