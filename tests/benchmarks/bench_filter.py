"""How long it takes to find sessions by filter, list them and add them up, in a store of 100,000 (`--sessions N`).

Each session has two calls, a summary, three scores and two labels, as a short rollout leaves them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from drawbar.record.filter import where
from drawbar.record.rows import CallRow, Row, ScoreRow, SessionRow, SummaryRow
from drawbar.record.select_groups import by_columns
from drawbar.record.store import Store
from report import Figures, interleaved, note, parser, show

NOW = 1_796_000_000.0
FILTERS = {
    "by start and model": "started > 3d and model = m3",
    "by reward": "reward < 0.1",
    "by a score": "score.style > 0.9 and turns > 1",
    "by health and tokens": "health = good and tokens > 900",
    "by a label": "metadata.user = u77",
    "by much": "(tag = beta or finding = empty_reply) and not score.correct = 1 and duration < 30s and upstream = up",
}


def sessions(count: int) -> Iterator[list[Row]]:
    """The rows of each session, the oldest first."""
    for n in range(count):
        id, started = f"ses_{n:09}", NOW - (count - n) * 60
        labels = b'{"user":"u%d","tags":["%s"]}' % (n % 1000, (b"beta", b"prod")[n % 10 > 0])
        yield [
            SessionRow(
                id=id, environment="e", harness="loop", model=f"m{n % 10}", metadata=labels, status="ended",
                stop="completed", started=started, ended=started + n % 60,
            ),
            *(
                CallRow(id=f"c{k}", session=id, seq=k, dialect="chat", path="/", model="m", started=started)
                for k in range(2)
            ),
            SummaryRow(
                session=id, turns=2, calls=2, failed_calls=0, tool_calls=1, tool_errors=0, prompt_tokens=n % 1000,
                completion_tokens=20, cached_tokens=0, reasoning_tokens=0, cost=0.001, model="m", upstreams="\nup\n",
                health="good" if n % 7 else "defect", findings="" if n % 7 else "\nempty_reply\n", created=started,
            ),
            *(
                ScoreRow(
                    id=f"s{name}", session=id, name=name, kind="reward", value=(n * 37 % 101) / 101, weight=1.0,
                    rubric_version="r", source="rollout", created=started,
                )
                for name in ("correct", "style", "length")
            ),
        ]  # fmt: skip


def filled(path: Path, count: int) -> Store:
    store, batch = Store.open(path), list[Row]()
    for rows in sessions(count):
        batch += rows
        if len(batch) > 20_000:
            store.write(batch)
            batch.clear()
    store.write(batch)
    return store


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def main() -> None:
    made = parser(__doc__, rounds=3)
    made.add_argument("--sessions", type=int, default=100_000, metavar="N")
    arguments = made.parse_args()
    count = arguments.sessions // 10 if arguments.quick else arguments.sessions
    with tempfile.TemporaryDirectory() as name:
        note(f"writing {count:,} sessions")
        store = filled(Path(name) / "drawbar.db", count)

        def measure(text: str) -> Callable[[], Figures]:
            filter = where(text, now=NOW)
            return lambda: {
                "found": store.count(filter),
                "count ms": timed(lambda: store.count(filter)),
                "newest 50 ms": timed(lambda: list(store.overview(filter, limit=50))),
                "all of them ms": timed(lambda: sum(1 for _ in store.select(filter))),
            }

        rows = interleaved({said: measure(text) for said, text in FILTERS.items()}, arguments.rounds)
        by = by_columns("model,day")
        sums = interleaved({"stats --by model,day": lambda: {"ms": timed(lambda: store.sums(by))}}, arguments.rounds)
        show(arguments, {f"filters over {count:,} sessions": rows, "adding up": sums})
        store.close()


if __name__ == "__main__":
    main()
