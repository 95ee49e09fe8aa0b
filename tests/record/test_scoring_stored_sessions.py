"""Scoring again on each kind of database: what is missing is added, once, and what changed is told."""

from __future__ import annotations

from collections.abc import Callable

from drawbar import Rubric
from drawbar.record.filter import where
from drawbar.record.rows import CallRow, ScoreRow, SessionRow
from drawbar.record.store import Store
from drawbar.score.again import Again
from drawbar.score.again_rubric import NamedRubric


async def test_sessions_are_scored_again_and_only_once(store: Store, make_call: Callable[..., CallRow]) -> None:
    for number in range(250):  # more than a page
        id = f"s{number}"
        over = SessionRow(
            id=id, started=1.0, ended=999.0, status="ended", stop="completed", harness="codex", attempt=number
        )
        old = ScoreRow(
            id=f"{id}o", session=id, name="good", kind="reward", value=0.0, weight=1.0, rubric_version="old",
            source="rollout", created=1.0,
        )  # fmt: skip
        store.write([over, make_call(id, status="answered", ended=11.0), old])

    def good(session: str) -> bool:
        return session.endswith("9")

    rubric = NamedRubric(name="r", rubric=Rubric(good))
    work = Again(store, rubric, where("agent = codex and attempt < 200"))
    await work.run()
    [reward, _] = work.changes.all()
    assert (work.tally.scored, reward.sessions, reward.before, reward.after, reward.changed) == (200, 200, 0, 0.1, 20)
    again = Again(store, rubric, where("agent = codex"))
    assert again.plan().due == 50
    await again.run()
    assert (again.tally.kept, again.tally.scored, store.count(where("reward = 1"))) == (200, 50, 25)
