"""What a long conversation takes in the store, against what is new in it, and how fast rows are written.

A conversation of 60 turns, each of which resends everything before it, goes through the gateway. Counted are: the new
content (what the client added and what the model said, as JSON), the rows before compression (every field of every row,
keys and bookkeeping too), and the store's file.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import msgspec

from conversations import REPLY_TEXT, text
from dialects import CHAT
from drawbar.gateway import Gateway
from drawbar.proxy.models import Models
from drawbar.record.recorder import Recorder
from drawbar.record.rows import NodeRow, Row
from drawbar.record.store import Store
from drawbar.serving import serving
from drawbar.sessions import SessionSpec
from processes import running
from report import interleaved, note, parser, show

TURNS = 60
CONVERSATIONS = 10
SIZES = (500, 2000, 8000)
"""Bytes of the message that the client adds in each turn; the model's is 0.4 KB."""


class CountingStore(Store):
    """A store that also remembers how large each row was, by its identity: a row written twice is stored once."""

    sizes: dict[tuple[str, object], int]

    def write(self, rows: Sequence[Row]) -> None:
        super().write(rows)
        if not hasattr(self, "sizes"):
            self.sizes = {}
        for row in rows:
            identity = getattr(row, "id", None) or getattr(row, "digest", None)
            self.sizes[type(row).__name__, identity] = sum(_size(value) for value in msgspec.structs.astuple(row))


def _size(value: object) -> int:
    match value:
        case bytes():
            return len(value)
        case str():
            return len(value.encode())
        case None | bool():
            return 1
    return 8


REPLY = CHAT.said("assistant", REPLY_TEXT)
"""The model's message, byte for byte as the response holds it."""


async def converse(upstream: str, store: Store, size: int) -> None:
    """All conversations, one after another."""
    models = Models(base_url=f"{upstream}/v1", api_key="none")
    async with Gateway(store, models) as gateway, serving(gateway) as url, aiohttp.ClientSession() as client:
        for number in range(CONVERSATIONS):
            session = await gateway.open(SessionSpec())
            said = b'{"role":"system","content":"Answer briefly. %d"}' % number
            for turn in range(TURNS):
                said += b',{"role":"user","content":"%s"}' % text(f"{size}/{number}/{turn}", size)
                body = b'{"model":"scripted","messages":[%s]}' % said
                async with client.post(f"{url}/s/{session.key}/v1/chat/completions", data=body) as answer:
                    answer.raise_for_status()
                    await answer.read()
                said += b"," + REPLY
            await gateway.end(session.id, stop="completed")


def stored(upstream: str, size: int, folder: Path) -> dict[str, float | str | None]:
    """Bytes per turn for client messages of this size."""
    path = folder / f"{size}.db"
    store = CountingStore.open(path)
    store.sizes = {}
    empty = _on_disk(path)
    asyncio.run(converse(upstream, store, size))
    store.close()
    turns = TURNS * CONVERSATIONS
    new = size + len(b'{"role":"user","content":""}') + len(REPLY)
    rows = sum(store.sizes.values()) / turns
    disk = (_on_disk(path) - empty) / turns
    return {
        "new content": new,
        "rows": rows,
        "rows / new": rows / new,
        "on disk": disk,
        "on disk / new": disk / new,
        **{f"of it {kind}": sum(n for (k, _), n in store.sizes.items() if k == kind) / turns for kind in _kinds(store)},
    }


def _kinds(store: CountingStore) -> list[str]:
    return sorted({kind for kind, _ in store.sizes})


def _on_disk(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.glob(path.name + "*"))


def writes(folder: Path, quick: bool) -> dict[str, float]:
    """Rows of 4 KB per second: in batches of 100, and by 32 callers who each wait until theirs is durable."""
    count = 500 if quick else 5000
    nodes = [
        NodeRow(id=n.to_bytes(32, "big"), parent=None, depth=0, dialect="chat", body=text(n, 4096))
        for n in range(count)
    ]
    figures = {}
    with tempfile.TemporaryDirectory(dir=folder) as here:
        store = Store.open(Path(here) / "batches.db")
        begun = time.perf_counter()
        for start in range(0, count, 100):
            store.write(nodes[start : start + 100])
        figures["4 KB nodes/s, 100 to a commit"] = count / (time.perf_counter() - begun)
        store.close()
        store = Store.open(Path(here) / "committed.db")
        figures["4 KB nodes/s, 32 callers wait for each"] = count / asyncio.run(_committed(store, nodes))
        store.close()
    return figures


async def _committed(store: Store, nodes: Sequence[NodeRow]) -> float:
    waiting = iter(nodes)
    async with Recorder(store) as recorder:

        async def caller() -> None:
            for node in waiting:
                await recorder.commit(node)

        begun = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(32)))
        return time.perf_counter() - begun


def main() -> None:
    arguments: Namespace = parser(__doc__, rounds=3).parse_args()
    with tempfile.TemporaryDirectory() as name, running("scripted_model.py") as model:
        folder = Path(name)
        sizes: dict[str, dict[str, float | str | None]] = {}
        for size in SIZES[:1] if arguments.quick else SIZES:
            note(f"conversations whose client adds {size} bytes a turn")
            sizes[f"{size} B user messages"] = stored(model.ready["url"], size, folder)
        note("writing rows")
        rates = interleaved({"this store": lambda: writes(folder, arguments.quick)}, arguments.rounds)
        show(arguments, {f"bytes per turn of a conversation of {TURNS} turns": sizes, "writing": rates})


if __name__ == "__main__":
    main()
