"""How long alerts look and `drawbar compare --live` compares, in a store of 200,000 live sessions (`--sessions N`).

Each session has six calls, two tool calls, a summary, three scores and the label of one of 5,000 users; they end within
eight days. Memory is that of the process at the end, beside what it was before.
"""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench_filter import timed
from drawbar.alerts.observing import observe
from drawbar.alerts.rule import AlertRule
from drawbar.record.live_traffic import stretches
from drawbar.record.rows import CallRow, Row, ScoreRow, SessionRow, SummaryRow, ToolCallRow
from drawbar.record.select_groups import by_columns
from drawbar.record.store import Store
from drawbar.rollout.drift import drift
from report import Figures, interleaved, note, parser, show

NOW = 1_796_000_000.0
DAYS = 8
RULES = (
    AlertRule(name="reward of the last 50", measure="reward", below=0.1, last=50),
    AlertRule(name="reward of an hour, where", measure="reward", below=0.1, where="model = m3 and health = good"),
    AlertRule(name="a score of a week", measure="score.style", below=0.1, window=7 * 86400.0),
    AlertRule(name="errors of the last 200", measure="error_rate", above=0.5, last=200),
    AlertRule(name="cost of a day", measure="cost", above=1e9, window=86400.0),
    AlertRule(name="nothing there, where", measure="reward", below=0.1, last=50, where="model = none"),
)


def sessions(count: int) -> Iterator[list[Row]]:
    """The rows of each session, the oldest first."""
    for n in range(count):
        id, started = f"ses_{n:09}", NOW - 60 - (count - n) * (DAYS * 86400 - 120) / count
        yield [
            SessionRow(
                id=id, environment="e", model=f"m{n % 10}", metadata=b'{"user":"u%d"}' % (n * 7919 % 5000),
                status="ended", stop="completed", origin="content", started=started, ended=started + 30,
            ),
            *(
                CallRow(
                    id=f"c{k}", session=id, seq=k, dialect="chat", path="/", model="m", started=started + k,
                    ended=started + k + (n * 31 + k) % 97 / 50, cost=0.001, status="answered" if n % 50 else "failed",
                )
                for k in range(6)
            ),
            *(
                ToolCallRow(
                    id=f"t{k}", session=id, seq=k, server="s", tool=f"tool{(n + k) % 12}", name="t", arguments=b"{}",
                    result=b"x" * 300, status="answered", started=started, ended=started + 1,
                )
                for k in range(2)
            ),
            SummaryRow(
                session=id, turns=6, calls=6, failed_calls=0 if n % 50 else 6, tool_calls=2, tool_errors=n % 3 // 2,
                prompt_tokens=n % 1000, completion_tokens=20, cached_tokens=0, reasoning_tokens=0, cost=0.006,
                model="m", upstreams="\nup\n", health="good" if n % 7 else "defect", findings="", created=started,
            ),
            *(
                ScoreRow(
                    id=f"s{name}", session=id, name=name, kind="reward", value=(n * 37 % 101) / 101, weight=1.0,
                    rubric_version="r", source="live", created=started,
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


def main() -> None:
    made = parser(__doc__, rounds=3)
    made.add_argument("--sessions", type=int, default=200_000, metavar="N")
    arguments = made.parse_args()
    count = arguments.sessions // 10 if arguments.quick else arguments.sessions
    with tempfile.TemporaryDirectory() as name:
        note(f"writing {count:,} sessions")
        store = filled(Path(name) / "drawbar.db", count)

        def look(rule: AlertRule) -> Callable[[], Figures]:
            return lambda: {"ms": timed(lambda: observe(store, rule, NOW)), "of": observe(store, rule, NOW).count}

        looks = interleaved({rule.name: look(rule) for rule in RULES}, arguments.rounds)
        before, after = stretches("7d", "1d", NOW)

        def compare(by: str) -> Callable[[], Figures]:
            def measured() -> Figures:
                began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                ms = timed(lambda: drift(store, before, after, by=by_columns(by)))
                return {"s": ms / 1000, "MB more": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - began) / 1024}

            return measured

        compared = interleaved({"in all": compare(""), "by model": compare("model")}, 1)
        show(arguments, {f"looks of alerts, {count:,} sessions": looks, "compare --live, 7d before 1d": compared})
        store.close()


if __name__ == "__main__":
    main()
