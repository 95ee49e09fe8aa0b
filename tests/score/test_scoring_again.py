"""Sessions in a store are scored with another rubric: rows are added, none is done twice, and the change is told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from drawbar import Rubric, group_reward, metric, reward
from drawbar.config.redaction import redaction
from drawbar.errors import StoreError
from drawbar.judging import Judge, judge
from drawbar.record.filter import EVERYTHING, equal, where
from drawbar.record.rows import CallRow, ScoreRow, SessionRow
from drawbar.record.store import Store
from drawbar.score.again import Again
from drawbar.score.again_budget import JudgeBudget
from drawbar.score.again_rubric import NamedRubric
from drawbar.task import Task


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "drawbar.db")
    yield store
    store.close()


def record(store: Store, id: str, *, task: str | None = None, rollout: int = 0, **fields: Any) -> None:
    """A session that ended well, with one call, and the score 0 of an older rubric."""
    given = Task(key=task, prompt=f"{task}?", answer="yes") if task is not None else None
    of_task = {} if given is None else {"task": given.to_json(), "task_key": given.key, "task_hash": given.hash}
    store.write(
        [
            SessionRow(
                **{"id": id, "started": float(len(id)), "status": "ended", "ended": 9.0, "stop": "completed",
                   "run": "run_1" if task else None, "rollout": rollout, **of_task, **fields}
            ),
            CallRow(id=f"{id}c", session=id, seq=0, dialect="chat", path="/", model="m", started=1.0),
            ScoreRow(id=f"{id}s", session=id, name="good", kind="reward", value=0.0, weight=1.0, rubric_version="old",
                     source="rollout", created=1.0),
        ]
    )  # fmt: skip


def again(store: Store, *scorers: Any, filter: Any = EVERYTHING, **more: Any) -> Again:
    """A rubric is made once where it comes again: what its functions keep in their closures is part of its version."""
    rubric = scorers[0] if isinstance(scorers[0], Rubric) else Rubric(*scorers)
    return Again(store, NamedRubric(name="r", rubric=rubric), filter, **more)


def rows(store: Store, session: str, version: str) -> dict[str, ScoreRow]:
    return {row.name: row for row in store.scores([session])[session] if row.rubric_version == version}


async def test_scores_are_added_and_what_changed_is_told(store: Store) -> None:
    for number in range(4):
        record(store, f"s{number}", task="t", rollout=number)
    asked: list[str] = []

    @reward
    def good(session: str) -> float:
        asked.append(session)
        return float(session == "s3")

    work = again(store, good)
    await work.run()
    assert (work.tally.meant, work.tally.scored, sorted(asked)) == (4, 4, ["s0", "s1", "s2", "s3"])
    assert work.changes.before == {"old": 4}
    first, second = work.changes.all()
    assert (first.name, first.sessions, first.before, first.after, first.changed) == ("reward", 4, 0.0, 0.25, 1)
    assert (second.name, second.most) == ("good", (("s3", 0.0, 1.0),))
    row = rows(store, "s3", work.version)["good"]
    assert (row.source, row.value) == ("rescore", 1.0)
    assert store.trajectory("s3").reward == 1.0
    assert {row.rubric_version for row in store.scores(["s3"])["s3"]} == {"old", work.version}


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("*.db*"))


async def test_the_sessions_that_changed_most_are_named(store: Store) -> None:
    for number in range(9):
        record(store, f"s{number}")

    @reward
    def good(session: str) -> float:
        return int(session[1]) * 5 % 9

    work = again(store, good)
    await work.run()
    assert [(session, after) for session, _, after in work.changes.all()[0].most] == [
        ("s7", 8.0), ("s5", 7.0), ("s3", 6.0), ("s1", 5.0), ("s8", 4.0),
    ]  # fmt: skip


async def test_what_is_to_be_redacted_of_an_explanation_is_never_written(store: Store, tmp_path: Path) -> None:
    record(store, "s0")
    record(store, "s1")

    @reward
    def good(session: str) -> tuple[float, str]:
        if session == "s1":
            raise ValueError("there was sk-failure")
        return 1.0, "it quotes sk-success"

    work = again(store, good, redact=redaction({"secret": "sk-[a-z]+"}))
    await work.run()
    assert rows(store, "s0", work.version)["good"].explanation == "it quotes [secret]"
    assert "there was [secret]" in (rows(store, "s1", work.version)["good"].error or "")
    assert "sk-" not in work.tally.examples["good"]
    assert b"sk-" not in everything_in(tmp_path)

    def broken(body: bytes) -> bytes:
        raise ValueError(body)

    with pytest.raises(StoreError, match="redaction hook raised ValueError"):
        await again(store, reward(name="other")(lambda: (1.0, "sk-more")), redact=broken).run()
    assert b"sk-" not in everything_in(tmp_path)


async def test_a_second_start_does_only_what_is_missing(store: Store) -> None:
    for number in range(3):
        record(store, f"s{number}")
    asked: list[str] = []
    down = {"s1"}

    @metric
    def steady(session: str) -> int:
        asked.append(session)
        return 1

    @reward
    async def good(session: str) -> int:
        if session in down:
            raise ConnectionError("the judge is down")
        return 1

    rubric = Rubric(steady, good)
    work = again(store, rubric)
    await work.run()
    assert work.tally.failed == {"good": 1}
    assert "the judge is down" in work.tally.examples["good"]
    down.clear()
    record(store, "s9")
    asked.clear()
    more = again(store, rubric)
    assert more.plan().due == 2
    await more.run()
    assert (more.tally.kept, more.tally.scored, asked) == (2, 2, ["s9"])
    assert store.trajectory("s1").reward == 1.0
    assert more.changes.before == {"old": 4}  # those that were scored the first time are compared too


async def test_functions_that_ask_for_feedback_look_again_once_there_is_more_of_it(store: Store) -> None:
    asked: list[str] = []

    @reward
    def liked(feedback: Mapping[str, float | str]) -> float:
        asked.append("liked")
        return float(feedback["stars"])

    @metric
    def dull() -> float:
        asked.append("dull")
        return 0.0

    record(store, "s1")
    rubric = Rubric(liked, dull)
    await again(store, rubric).run()
    assert asked == ["dull"]
    for number in (1, 2):
        store.write(
            [ScoreRow(id=f"f{number}", session="s1", name="stars", kind="feedback", value=float(number), weight=0.0,
                      rubric_version="", source="feedback", created=time.time())]
        )  # fmt: skip
        work = again(store, rubric)
        assert work.plan().due == 1
        await work.run()
        assert rows(store, "s1", work.version)["liked"].value == number
        assert asked == ["dull", *["liked"] * number]
        assert again(store, rubric).plan().due == 0


async def test_a_version_that_was_there_before_becomes_the_newest_without_being_asked_again(store: Store) -> None:
    record(store, "s0")
    asked: list[int] = []

    def good() -> int:
        asked.append(1)
        return 1

    def other() -> int:
        return 0

    rubric = Rubric(good)
    await again(store, rubric).run()
    await again(store, reward(name="good")(other)).run()
    assert store.trajectory("s0").reward == 0
    work = again(store, rubric)
    await work.run()
    assert (store.trajectory("s0").reward, asked, work.tally.scored) == (1, [1], 1)
    await again(store, rubric).run()
    assert len(store.scores(["s0"])["s0"]) == 4  # the fourth start had nothing to do


async def test_functions_that_ask_for_what_a_session_lacks_are_skipped_with_a_reason(store: Store) -> None:
    record(store, "live")
    record(store, "roll", task="t")

    def matches(answer: str) -> bool:
        return True

    @reward
    def polite() -> float:
        return 0.5

    @group_reward
    def best(completions: list[str]) -> list[float]:
        return [1.0] * len(completions)

    work = again(store, matches, polite, best)
    planned = work.plan()
    assert planned.tally.skipped == {"matches": 1, "best": 1}
    await work.run()
    live = rows(store, "live", work.version)
    assert (live["matches"].value, live["matches"].weight) == (None, 0.0)
    assert str(live["matches"].error).startswith("skipped: it asks for `answer`")
    assert "group" in str(live["best"].error)
    assert store.trajectory("live").reward == 0.5
    assert store.trajectory("roll").reward == 2.5
    assert work.tally.skipped == {"matches": 1, "best": 1}
    assert again(store, matches, polite, best).plan().due == 0


async def test_sessions_without_anything_to_score_are_passed_over_with_the_reason(store: Store) -> None:
    record(store, "open", status="open", stop=None, ended=None)
    record(store, "down", stop="upstream_unavailable")
    record(store, "idle_agent")
    store.write([SessionRow(id="empty", started=1.0, status="ended", stop="completed")])

    def good() -> int:
        return 1

    work = again(store, good)
    await work.run()
    assert work.tally.passed == {"still open": 1, "ended by upstream_unavailable": 1, "ended by harness_failed": 1}
    assert work.tally.scored == 1


async def test_group_rewards_see_all_rollouts_of_a_task_and_score_those_that_are_meant(store: Store) -> None:
    for number in range(3):
        record(store, f"a{number}", task="a", rollout=number)
        record(store, f"b{number}", task="b", rollout=number)
    record(store, "a0_failed_before", task="a", rollout=0, stop="upstream_broken")
    seen: list[list[str]] = []

    @group_reward
    def place(trajectories: list[Any]) -> list[float]:
        seen.append([trajectory.id for trajectory in trajectories])
        return [float(number) for number in range(len(trajectories))]

    work = again(store, place, filter=where("session in (a1, a2, b0)"))
    await work.run()
    assert sorted(seen) == [["a0", "a1", "a2"], ["b0", "b1", "b2"]]
    values = {id: row["place"].value for id in ("a0", "a1", "a2", "b0") if (row := rows(store, id, work.version))}
    assert values == {"a1": 1.0, "a2": 2.0, "b0": 0.0}


async def test_no_more_sessions_are_at_work_than_allowed(store: Store) -> None:
    for number in range(12):
        record(store, f"s{number:02}")
    running = most = 0
    enough = asyncio.Event()

    async def slow() -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            enough.set()
        await enough.wait()
        running -= 1
        return 1

    await again(store, slow, at_a_time=3).run()
    assert most == 3


def verdicts(cost: float | None) -> Callable[..., Any]:
    async def ask(model: str, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        usage = {"prompt_tokens": 1, "completion_tokens": 1, **({} if cost is None else {"cost": cost})}
        return {"choices": [{"message": {"content": "yes"}}], "usage": usage}

    return ask


@pytest.mark.parametrize(
    ("budget", "cost", "scored"),
    [(JudgeBudget(cost=1.0), 0.5, 2), (JudgeBudget(calls=3), None, 3), (JudgeBudget(), 1.0, 5)],
)
async def test_judges_spend_no_more_than_they_may(
    store: Store, budget: JudgeBudget, cost: float | None, scored: int
) -> None:
    for number in range(5):
        record(store, f"s{number}")
    verdict = judge("Is it good?", model="m")
    work = again(store, verdict, ask=verdicts(cost), budget=budget, at_a_time=1)
    assert work.plan().judge_calls == 5
    await work.run()
    assert (work.tally.scored, work.tally.left, work.budget.asked) == (scored, 5 - scored, scored)
    assert not work.tally.failed
    rest = again(store, verdict, ask=verdicts(cost), at_a_time=4)
    await rest.run()
    assert (rest.tally.kept, rest.tally.scored) == (scored, 5 - scored)
    assert store.count(where("score.judge = 1")) == 5


async def test_an_environments_judge_is_asked(store: Store) -> None:
    record(store, "s0")

    async def good(judge: Judge) -> Any:
        return await judge()

    named = NamedRubric(name="r", rubric=Rubric(good), judge=Judge(template="Good?", model="m"))
    work = Again(store, named, equal("session", "s0"), ask=verdicts(0.1))
    assert named.judge_models == ["m"]
    await work.run()
    assert store.trajectory("s0").reward == 1.0
    assert work.budget.spent == pytest.approx(0.1)


async def test_functions_that_wait_do_so_side_by_side(store: Store) -> None:
    for number in range(4):
        record(store, f"s{number}")
    together = threading.Barrier(4)

    def good(session: str) -> int:
        together.wait(30)
        return 1

    work = again(store, good, at_a_time=4)
    await work.run()
    assert (work.tally.scored, dict(work.tally.failed)) == (4, {})
