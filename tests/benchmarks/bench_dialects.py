"""What a request and a streamed chunk cost in each dialect, durable, beside a plain relay that records nothing.

The same words in every dialect; the model, the relay and the gateway are processes that all run at once, and are
measured in turn, dialect after dialect.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dialects import SPOKEN
from load import Job, measure
from processes import Child, running
from report import interleaved, note, parser, show

CHUNKS = 200
SESSIONS = 8


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of traffic."""

    name: str
    shape: str
    concurrency: int
    requests: int
    per: int = 1
    """What one request's figures are divided by: the chunks of a stream."""

    @property
    def stream(self) -> bool:
        return self.shape in ("burst", "paced")


SCENARIOS = [
    Scenario("2 KB request", "small", 1, 400),
    Scenario("200 KB append-only conversation", "long", 1, 100),
    Scenario(f"stream of {CHUNKS} chunks at once, per chunk", "burst", 1, 40, per=CHUNKS),
    Scenario(f"stream of {CHUNKS} chunks 2 ms apart, per chunk", "paced", 8, 24, per=CHUNKS),
]


def measured(child: Child, dialect: str, scenario: Scenario, scale: float) -> dict[str, float]:
    spoken = SPOKEN[dialect]
    job = Job(
        urls=[child.ready["url"] + spoken.path_of(stream=scenario.stream)],
        keys=child.ready.get("keys", ()),
        shape=scenario.shape,
        concurrency=scenario.concurrency,
        requests=max(int(scenario.requests * scale), scenario.concurrency * 2),
        warmup=3,
        expect=spoken.ends if scenario.stream else spoken.expect,
        pid=child.pid,
    )
    seen = measure(job)
    return {"cpu_us": seen["cpu_ms"] * 1000 / scenario.per, "p50_ms": seen["p50_ms"]}


def row(direct: dict[str, float], relay: dict[str, float], ours: dict[str, float]) -> dict[str, float | str | None]:
    """One dialect's figures: what the relay costs, what the gateway does, and the difference."""
    return {
        "relay us": relay["cpu_us"],
        "drawbar us": ours["cpu_us"],
        "added us": ours["cpu_us"] - relay["cpu_us"],
        "relay p50 +ms": relay["p50_ms"] - direct["p50_ms"],
        "drawbar p50 +ms": ours["p50_ms"] - direct["p50_ms"],
    }


def main() -> None:
    made = parser(__doc__, rounds=3)
    made.add_argument("--only", default="", help="only the scenarios whose name has this in it")
    arguments = made.parse_args()
    scale = 0.1 if arguments.quick else 1.0
    tables = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        model = stack.enter_context(running("scripted_model.py", "--chunks", str(CHUNKS)))
        url, store = model.ready["url"], Path(folder) / "drawbar.db"
        places = {
            "direct": model,
            "relay": stack.enter_context(running("relay.py", "aiohttp", url)),
            "drawbar": stack.enter_context(running("gateway_process.py", url, str(store), "--sessions", str(SESSIONS))),
        }
        for scenario in SCENARIOS:
            if arguments.only and arguments.only not in scenario.name:
                continue
            note(scenario.name)
            each = {
                f"{dialect} {place}": partial(measured, child, dialect, scenario, scale)
                for dialect in SPOKEN
                for place, child in places.items()
            }
            seen = interleaved(each, arguments.rounds)
            tables[scenario.name] = {
                dialect: row(*(seen[f"{dialect} {place}"] for place in places)) for dialect in SPOKEN
            }
    show(arguments, tables)


if __name__ == "__main__":
    main()
