"""Running a rubric: one row per scorer, and a scorer that fails gives no score and never a zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import orjson
import pytest

from drawbar import Judge, Rubric, Task, Trajectory, Verdict, group_reward, judge, metric, reward
from drawbar.record.rows import ScoreRow
from drawbar.score import score, score_group
from drawbar.trajectory import Call, Node
from drawbar.wire.message import Message, Text


def said(text: str, *, id: str = "ses_1", task: Task | None = None) -> Trajectory:
    """A session whose last answer is this text."""
    call = Call(
        id="call", seq=0, dialect="chat", model="m", upstream="u", request=None, reply=b"r", status="answered",
        message=Message("assistant", (Text(text),)), http_status=200, cause=None, error=None, finish="stop",
        streamed=False, attempts=1, prompt_tokens=None, completion_tokens=None, cached_tokens=None,
        reasoning_tokens=None, cost=None, started=0.0, first_byte=None, ended=1.0,
    )  # fmt: skip
    node = Node(b"r", None, 0, "chat", b"{}", Message("assistant", (Text(text),)))
    return Trajectory(id=id, task=task, calls=[call], nodes={b"r": node}, stop="completed")


TASK = Task(key="sum", prompt="What is 2+2?", answer="4", info={"unit": "apples"})


async def only(*scorers: Any, trajectory: Trajectory | None = None, **given: Any) -> ScoreRow:
    (row,) = await score(Rubric(*scorers), trajectory or said("4", task=TASK), **given)
    return row


async def test_functions_get_what_they_ask_for_by_name() -> None:
    seen: dict[str, Any] = {}

    @reward
    def everything(task: Task, answer: str, info: Any, trajectory: Trajectory, completion: str, session: str) -> int:
        seen.update(task=task, answer=answer, info=info, trajectory=trajectory, completion=completion, session=session)
        return 1

    trajectory = said("four", task=TASK)
    await only(everything, trajectory=trajectory)
    assert seen == {"task": TASK, "answer": "4", "info": {"unit": "apples"}, "trajectory": trajectory,
                    "completion": "four", "session": "ses_1"}  # fmt: skip


async def test_a_row_holds_value_weight_version_and_source() -> None:
    @reward(weight=0.5, name="right")
    def correct(completion: str, answer: str) -> bool:
        return completion == answer

    rubric = Rubric(correct)
    (row,) = await score(rubric, said("4", task=TASK), source="live")
    assert (row.session, row.name, row.kind, row.value, row.weight) == ("ses_1", "right", "reward", 1.0, 0.5)
    assert (row.rubric_version, row.source, row.error) == (rubric.version(), "live", None)


async def test_rewards_and_metrics_are_scored_in_the_rubrics_order_and_groups_are_not() -> None:
    async def slow(completion: str) -> int:
        return 1

    rubric = Rubric(slow, metric(name="m")(lambda completion: 2),
                    group_reward(name="g")(lambda completions: [3]))  # fmt: skip
    assert [(row.name, row.kind, row.value) for row in await score(rubric, said(""))] == [
        ("slow", "reward", 1.0),
        ("m", "metric", 2.0),
    ]


async def test_none_is_not_zero() -> None:
    row = await only(lambda completion: None)
    assert (row.value, row.error) == (None, "it gave no score (None)")
    assert (await only(lambda completion: 0)).value == 0.0


async def test_one_that_raises_gives_no_score_and_says_where_and_the_others_still_run() -> None:
    def broken(completion: str) -> float:
        return 1 / int(completion)

    async def broken_too(completion: str) -> float:
        raise RuntimeError("out of ideas")

    def fine(completion: str) -> float:
        return 0.5

    rows = {row.name: row for row in await score(Rubric(broken, broken_too, fine), said("0", task=TASK))}
    assert {name: row.value for name, row in rows.items()} == {"broken": None, "broken_too": None, "fine": 0.5}
    line = broken.__code__.co_firstlineno + 1
    assert rows["broken"].error == f"ZeroDivisionError: division by zero ({__file__}:{line}, in broken)"
    assert str(rows["broken_too"].error).startswith("RuntimeError: out of ideas (")


async def test_an_error_inside_a_library_is_placed_in_the_scorers_own_code() -> None:
    def reads(completion: str) -> float:
        return float(orjson.loads(completion))

    assert "in reads)" in str((await only(reads, trajectory=said("{", task=TASK))).error)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("1", "it returned str '1', not a number"),
        (float("nan"), "it returned nan, which is no score"),
        (float("inf"), "it returned inf, which is no score"),
        ([1], "it returned list [1], not a number"),
        ((1, 2, 3), "it returned tuple (1, 2, 3), not a number"),
    ],
)
async def test_what_is_no_number_is_no_score(value: Any, error: str) -> None:
    row = await only(lambda completion: value)
    assert (row.value, row.error) == (None, error)


async def test_a_number_may_come_with_an_explanation() -> None:
    row = await only(lambda completion: (0.5, "half of it"))
    assert (row.value, row.explanation) == (0.5, "half of it")


async def test_one_that_needs_an_answer_is_skipped_where_the_task_has_none() -> None:
    row = await only(lambda answer: 1, trajectory=said("4", task=Task(key="open", prompt="Say something.")))
    assert (row.value, row.error) == (None, "skipped: it asks for `answer`, and task 'open' has none")


async def test_one_that_needs_the_task_is_skipped_in_live_traffic() -> None:
    row = await only(lambda task: 1, trajectory=said("4"))
    assert (row.value, row.error) == (None, "skipped: it asks for `task`, and the session has no task")


async def test_one_that_can_do_without_an_answer_runs() -> None:
    def either(answer: str = "none") -> bool:
        return answer == "none"

    assert (await only(either, trajectory=said("4"))).value == 1.0


async def test_one_that_needs_a_judge_is_skipped_without_one() -> None:
    row = await only(lambda judge: 1)
    assert (row.value, row.error) == (None, "skipped: it asks for `judge`, and neither it nor the environment has one")


async def test_async_scorers_run_side_by_side() -> None:
    here, there = anyio.Event(), anyio.Event()

    async def one(completion: str) -> int:
        here.set()
        await there.wait()
        return 1

    async def other(completion: str) -> int:
        await here.wait()
        there.set()
        return 2

    with anyio.fail_after(5):
        assert [row.value for row in await score(Rubric(one, other), said(""))] == [1.0, 2.0]


async def test_cancelling_is_not_a_score() -> None:
    started = anyio.Event()

    async def waits(completion: str) -> int:
        started.set()
        await anyio.sleep_forever()
        return 1

    rows: list[ScoreRow] = []

    async def go() -> None:
        rows.extend(await score(Rubric(waits), said("")))

    async with anyio.create_task_group() as group:
        group.start_soon(go)
        await started.wait()
        group.cancel_scope.cancel()
    assert rows == []


class Models:
    """Answers with the model's own name, so that a verdict shows which model was asked."""

    async def __call__(self, model: str, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        return {
            "choices": [{"message": {"content": model}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 1, "cost": 0.01},
        }


async def test_a_judge_in_one_line_is_a_reward_with_its_reply_and_its_bill() -> None:
    row = await only(judge("Is {{ completion }} right for {{ question }}? {{ answer }}", model="yes"), ask=Models())
    assert (row.name, row.value, row.explanation) == ("judge", 1.0, "yes")
    assert orjson.loads(row.usage or b"") == {
        "model": "yes", "calls": 1, "prompt_tokens": 5, "completion_tokens": 1, "cost": 0.01,
    }  # fmt: skip


async def test_a_scorer_that_asks_for_a_judge_gets_the_environments_or_its_own() -> None:
    shared, own = Judge(template="t", model="no"), Judge(template="t", model="yes")

    @reward
    async def by_shared(judge: Judge) -> Verdict:
        return await judge()

    @reward(judge=own)
    async def by_own(judge: Judge, completion: str) -> float:
        return (await judge()).value / 2

    @metric
    def without(completion: str) -> int:
        return 1

    rows = await score(Rubric(by_shared, by_own, without), said("4"), judge=shared, ask=Models())
    assert [row.value for row in rows] == [0.0, 0.5, 1.0]
    assert [orjson.loads(row.usage)["model"] if row.usage else None for row in rows] == ["no", "yes", None]


async def test_a_judge_without_a_verdict_is_no_score_and_its_bill_is_kept() -> None:
    row = await only(judge("t", model="perhaps"), ask=Models())
    assert row.value is None
    assert str(row.error).startswith("JudgeError: Judge perhaps gave no verdict")
    assert orjson.loads(row.usage or b"")["prompt_tokens"] == 5


async def test_a_group_reward_gives_each_rollout_its_value() -> None:
    @group_reward(weight=0.1)
    def shortest(completions: list[str], trajectories: list[Trajectory], answer: str) -> list[float | None]:
        assert len(trajectories) == 3
        return [1.0 if len(c) == min(map(len, completions)) else None for c in completions]

    group = [said(text, id=f"ses_{n}", task=TASK) for n, text in enumerate(["long", "x", "longer"])]
    rows = await score_group(Rubric(shortest, lambda completion: 1), group)
    assert [(row.session, row.value, row.kind, row.weight) for row in rows] == [
        ("ses_0", None, "group", 0.1),
        ("ses_1", 1.0, "group", 0.1),
        ("ses_2", None, "group", 0.1),
    ]


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        ([1.0], "it returned 1 values for 2 rollouts"),
        (1.0, "it returned float 1.0, not one value for each of 2 rollouts"),
        ("ab", "it returned str 'ab', not one value for each of 2 rollouts"),
    ],
)
async def test_a_group_reward_that_does_not_fit_gives_nobody_a_score(returned: Any, error: str) -> None:
    group = [said("x", id=f"ses_{n}") for n in range(2)]
    rows = await score_group(Rubric(group_reward(lambda completions: returned)), group)
    assert [(row.value, row.error) for row in rows] == [(None, error)] * 2


async def test_a_group_reward_that_raises_gives_nobody_a_score() -> None:
    def broken(completions: list[str]) -> list[float]:
        raise ValueError("no")

    rows = await score_group(Rubric(group_reward(broken)), [said("x", id=f"ses_{n}") for n in range(2)])
    assert [str(row.error)[:14] for row in rows] == ["ValueError: no"] * 2


async def test_what_a_groups_judge_spent_is_counted_once() -> None:
    @group_reward(judge=Judge(template="{{ completions | length }}", model="yes"))
    async def ranked(judge: Judge, completions: list[str]) -> list[float]:
        return [(await judge()).value] * len(completions)

    rows = await score_group(Rubric(ranked), [said("x", id=f"ses_{n}") for n in range(2)], ask=Models())
    assert [row.value for row in rows] == [1.0, 1.0]
    assert [row.usage is not None for row in rows] == [True, False]


async def test_a_rubric_without_group_rewards_and_a_group_without_rollouts_have_no_rows() -> None:
    assert await score_group(Rubric(lambda completion: 1), [said("x")]) == []
    assert await score_group(Rubric(group_reward(lambda completions: [])), []) == []
