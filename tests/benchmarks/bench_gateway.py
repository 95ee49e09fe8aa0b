"""What a request costs on its way through the gateway, durable, beside relays that record nothing and beside peers.

CPU is that of the proxy's process alone (user and system), read from the kernel. Latency is the client's. The model and
the load generator are processes of their own. All proxies run at once and are measured in turn.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import peers
from load import Job, measure
from processes import Child, memory_mb, running
from report import interleaved, note, parser, show

CHUNKS = 200
SESSIONS = 32
PATH = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of traffic."""

    name: str
    shape: str
    concurrency: int
    requests: int
    slow_requests: int
    """For peers, which take many times as long."""
    per: int = 1
    """What one request's figures are divided by: the chunks of a stream."""


SCENARIOS = [
    Scenario("2 KB, 1 at a time", "small", 1, 600, 100),
    Scenario("2 KB, 32 at a time", "small", 32, 3200, 320),
    Scenario("200 KB append-only, 1 at a time", "long", 1, 200, 40),
    Scenario("200 KB append-only, 32 at a time", "long", 32, 960, 96),
    Scenario(f"SSE of {CHUNKS} chunks at once, 1 at a time", "burst", 1, 60, 10),
    Scenario(f"SSE of {CHUNKS} chunks 2 ms apart, 8 at a time, per chunk", "paced", 8, 24, 16, per=CHUNKS),
]


@dataclass(frozen=True, slots=True)
class Target:
    """Something to send requests to."""

    child: Child
    slow: bool = False

    def measure(self, scenario: Scenario, scale: float) -> dict[str, float]:
        """The scenario's figures; `scale` makes it shorter."""
        requests = int((scenario.slow_requests if self.slow else scenario.requests) * scale)
        job = Job(
            urls=[self.child.ready["url"] + PATH],
            keys=self.child.ready.get("keys", ()),
            shape=scenario.shape,
            concurrency=scenario.concurrency,
            requests=max(requests, scenario.concurrency * 2),
            warmup=3,
            expect="[DONE]" if scenario.shape in ("burst", "paced") else '"choices"',
            pid=self.child.pid,
        )
        seen = measure(job)
        seen["cpu_ms"] /= scenario.per
        return seen


@contextmanager
def targets(arguments: Namespace, folder: Path) -> Iterator[dict[str, Target]]:
    """Every proxy, started."""
    with ExitStack() as stack:
        model = stack.enter_context(running("scripted_model.py", "--chunks", str(CHUNKS)))
        url = model.ready["url"]
        found = {"direct (the model itself)": Target(model)}
        for name, kind in (("byte relay", "bytes"), ("aiohttp relay", "aiohttp")):
            found[name] = Target(stack.enter_context(running("relay.py", kind, url)))
        found["drawbar, durable"] = Target(stack.enter_context(_gateway(url, folder / "drawbar.db")))
        if arguments.peers:
            for name, script, more in (
                ("verifiers", "peer_interception.py", ["--sessions", str(SESSIONS)]),
                ("litellm", "peer_litellm.py", []),
            ):
                python = peers.python_of(name)
                if python is not None:
                    child = stack.enter_context(running(script, url, *more, python=python, timeout=180))
                    found[f"{name} {peers.version(name)}"] = Target(child, slow=True)
        yield found


def _gateway(upstream: str, store: Path, sessions: int = SESSIONS) -> AbstractContextManager[Child]:
    return running("gateway_process.py", upstream, str(store), "--sessions", str(sessions))


def latency_and_cpu(arguments: Namespace, folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """One table per scenario."""
    scale = 0.1 if arguments.quick else 1.0
    tables = {}
    with targets(arguments, folder) as found:
        for scenario in SCENARIOS:
            if arguments.only and arguments.only not in scenario.name:
                continue
            note(scenario.name)
            each = {name: partial(target.measure, scenario, scale) for name, target in found.items()}
            tables[scenario.name] = _added(interleaved(each, arguments.rounds))
    return tables


def _added(rows: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The rows with their median latency over the direct one's."""
    direct = next(iter(rows.values()))["p50_ms"]
    return {name: {**row, "p50_added_ms": row["p50_ms"] - direct} for name, row in rows.items()}


def memory(arguments: Namespace, folder: Path) -> dict[str, dict[str, float | str | None]]:
    """Resident megabytes after so many requests, 32 at a time; drawbar's in sessions of 20 turns that are ended."""
    marks = [100, 1000] if arguments.quick else [1000, 10_000]
    rows: dict[str, dict[str, float | str | None]] = {}
    with running("scripted_model.py") as model, ExitStack() as stack:
        url = model.ready["url"]
        children = {
            "aiohttp relay": stack.enter_context(running("relay.py", "aiohttp", url)),
            "drawbar, durable": stack.enter_context(_gateway(url, folder / "memory.db", sessions=0)),
        }
        for name, child in children.items():
            row: dict[str, float | str | None] = {"at the start": memory_mb(child.pid)}
            done = 0
            for mark in marks:
                job = Job(
                    urls=[child.ready["url"] + PATH],
                    shape="small",
                    concurrency=SESSIONS,
                    requests=mark - done,
                    warmup=0,
                    turns=20 if "keys" in child.ready else None,
                )
                measure(job)
                done = mark
                row[f"after {mark:,}"] = memory_mb(child.pid)
            rows[name] = row
    return rows


def main() -> None:
    made = parser(__doc__, rounds=5)
    made.add_argument("--only", default="", help="only the scenarios whose name has this in it")
    peers.add_argument(made)
    arguments = made.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tables: dict[str, Mapping[str, Mapping[str, float | str | None]]] = {**latency_and_cpu(arguments, Path(folder))}
        if not arguments.only or arguments.only in "memory":
            note("memory")
            tables["memory in MB after requests"] = memory(arguments, Path(folder))
        show(arguments, tables)


if __name__ == "__main__":
    main()
