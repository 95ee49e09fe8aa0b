"""Live sessions that nothing names, many at a time: what they cost beside relays, and whether memory stays as it is.

Each connection has one conversation of six turns after another. A session ends five seconds after its last request, so
that what is measured is a gateway that has been at work for long. Work is done in four parts; each is measured at the
relays, too, so that a busy minute of the machine falls on all of them.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from load import Job, measure
from processes import Child, memory_mb, running
from report import medians, note, parser, show

SESSIONS, TURNS, AT_ONCE, PARTS = 2000, 6, 64, 4
IDLE = 5.0
PATH = "/v1/chat/completions"
SHAPES = ("talks", "talks that begin alike")
Row = dict[str, float | str | None]


def traffic(arguments: Namespace, folder: Path, shape: str) -> tuple[dict[str, Row], Row]:
    """What each costs, and what the gateway takes of memory and disk."""
    requests = SESSIONS * TURNS // PARTS // (10 if arguments.quick else 1) // (AT_ONCE * TURNS) * AT_ONCE * TURNS
    requests = max(requests, AT_ONCE * TURNS)
    store = folder / f"{shape}.db"
    with ExitStack() as stack:
        url = stack.enter_context(running("scripted_model.py")).ready["url"]
        gateway = stack.enter_context(
            running("gateway_process.py", url, str(store), "--sessions", "0", "--idle", str(IDLE))
        )
        children = {kind: stack.enter_context(running("relay.py", kind, url)) for kind in ("bytes", "aiohttp")}
        targets = {"byte relay": children["bytes"], "aiohttp relay": children["aiohttp"], "drawbar": gateway}
        seen: dict[str, list[Mapping[str, float]]] = {name: [] for name in targets}
        memory: Row = {"at the start": memory_mb(gateway.pid)}
        for part in range(PARTS):
            for name, child in targets.items():
                note(f"  {shape}, part {part + 1}/{PARTS}: {name}")
                seen[name].append(_measured(child, shape, requests))
            memory[f"after {(part + 1) * requests // TURNS:,}"] = memory_mb(gateway.pid)
    memory["store, bytes per turn"] = sum(p.stat().st_size for p in folder.glob(store.name + "*")) / (requests * PARTS)
    return _added({name: medians(figures) for name, figures in seen.items()}), memory


def _measured(child: Child, shape: str, requests: int) -> Mapping[str, float]:
    return measure(
        Job(
            urls=[child.ready["url"] + PATH], shape=shape, concurrency=AT_ONCE, requests=requests, warmup=TURNS,
            pid=child.pid,
        )
    )  # fmt: skip


def _added(rows: Mapping[str, Mapping[str, float]]) -> dict[str, Row]:
    """The rows with their latencies above the byte relay's."""
    bare = rows["byte relay"]
    return {name: {**row, **{f"{p}_added_ms": row[f"{p}_ms"] - bare[f"{p}_ms"] for p in ("p50", "p99")}}
            for name, row in rows.items()}  # fmt: skip


def main() -> None:
    arguments = parser(__doc__, rounds=1).parse_args()
    tables: dict[str, Mapping[str, Mapping[str, float | str | None]]] = {}
    taken: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as folder:
        for shape in SHAPES:
            tables[f"{shape}: per request"], taken[shape] = traffic(arguments, Path(folder), shape)
    show(arguments, {**tables, "memory of the gateway in MB after so many sessions, and its store": taken})


if __name__ == "__main__":
    main()
