"""`rl`: the tokens of what was said, put together from the record and never made anew, and what each was worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.export.exported import export
from tests.export.stories import Story, answers, chat, plain_story, says, shows

from drawbar.cli.export_text import told
from drawbar.export.format import format_named
from drawbar.export.writing import target
from drawbar.record.rows import RunRow
from drawbar.record.store import Store
from drawbar.task import Task

ASKS = says(None, ("c1", {"query": "one"}))


def _run(store: Store, id: str) -> str:
    row = RunRow(
        id=id, environment="e", environment_version="1", rubric_version="v1", harness="loop", model="m", rollouts=4,
        config=b"{}", started=1.0,
    )  # fmt: skip
    store.write([row])
    return id


def with_tokens(
    message: dict[str, Any], prompt: Sequence[int] | None, ids: Sequence[int], logprobs: Sequence[float] | None = None
) -> dict[str, Any]:
    """A chat answer as vLLM tells its tokens."""
    answer = answers(message)
    answer["choices"][0]["token_ids"] = list(ids)
    values = [-0.5] * len(ids) if logprobs is None else logprobs
    answer["choices"][0]["logprobs"] = {"content": [{"token": "x", "logprob": value} for value in values]}
    return answer if prompt is None else {**answer, "prompt_token_ids": list(prompt)}


def _rollout(store: Store, run: str, rollout: int, reward: float | None, *, key: str = "a", **fields: Any) -> str:
    task = Task(prompt="Hi?", key=key)
    story = Story(
        store, run=run, environment="e", rollout=rollout, task_key=key, task_hash=task.hash, task=task.to_json(),
        **fields,
    )  # fmt: skip
    story.exchange(chat("Hi?"), with_tokens(says(f"Hello {rollout}."), [1, 2], [3, 4]))
    if reward is not None:
        story.score(reward)
    return story.end()


def _two_turns(store: Store, prompt: Sequence[int], **more: Any) -> Story:
    """A tool call and an answer; `prompt`: that of the second call."""
    story = Story(store)
    story.exchange(chat("Go."), with_tokens(ASKS, [1, 2, 3], [4, 5], [-0.1, -0.2]), **more)
    story.exchange(chat("Go.", ASKS, shows("c1", "Ada.")), with_tokens(says("Ada."), prompt, [8, 9], [-0.3, -0.4]))
    story.score(1.0)
    return story


def test_a_conversation_is_one_sequence_in_which_only_the_models_tokens_train(store: Store) -> None:
    story = _two_turns(store, [1, 2, 3, 4, 5, 6, 7])
    id = story.end()
    [row], tally = export(store, "rl")
    assert row["prompt_ids"] == [1, 2, 3]
    assert row["completion_ids"] == [4, 5, 6, 7, 8, 9]
    assert row["loss_mask"] == [1, 1, 0, 0, 1, 1]
    assert row["logprobs"] == [-0.1, -0.2, 0.0, 0.0, -0.3, -0.4]
    assert (row["reward"], row["session"], row["split"], row["part"]) == (1.0, id, None, 0)
    assert row["policy_versions"] == ["up/m"]
    assert len(row["calls"]) == 2
    assert [name[:10] for name in tally.losses.to_json()] == ["advantages"]


def test_where_a_reply_comes_back_as_other_tokens_another_row_begins_and_says_why(store: Store) -> None:
    _two_turns(store, [1, 2, 3, 45, 6, 7]).end()
    rows, tally = export(store, "rl")
    assert [(r["prompt_ids"], r["completion_ids"]) for r in rows] == [
        ([1, 2, 3], [4, 5]), ([1, 2, 3, 45, 6, 7], [8, 9]),
    ]  # fmt: skip
    assert [(r["split"], r["part"]) for r in rows] == [(None, 0), ("retokenized", 1)]
    assert any("other tokens than the model had said" in what for what in tally.losses.to_json())


def test_a_prompt_that_changed_is_told_from_a_reply_that_did(store: Store) -> None:
    _two_turns(store, [1, 7, 3, 4, 5, 6, 7]).end()
    assert [row["split"] for row in export(store, "rl")[0]] == [None, "prompt_changed"]


def test_reasoning_that_was_left_out_is_named(store: Store) -> None:
    story = Story(store)
    thought = says(None, ("c1", {"query": "one"}), reasoning_content="Hm.")
    story.exchange(chat("Go."), with_tokens(thought, [1, 2, 3], [4, 5]))
    story.exchange(chat("Go.", ASKS, shows("c1", "Ada.")), with_tokens(says("Ada."), [1, 2, 3, 5, 6], [8]))
    story.score(1.0)
    story.end()
    assert [row["split"] for row in export(store, "rl")[0]] == [None, "without_reasoning"]


def test_what_branches_share_trains_in_the_first_of_them(store: Store) -> None:
    story = Story(store)
    one = says("One.")
    story.exchange(chat("Go."), with_tokens(one, [1], [2]))
    story.exchange(chat("Go.", one, "Left?"), with_tokens(says("Left."), [1, 2, 3], [4]))
    story.exchange(chat("Go.", one, "Right?"), with_tokens(says("Right."), [1, 2, 5], [6]))
    story.score(1.0)
    story.end()
    rows, _ = export(store, "rl")
    assert [(r["branch"], r["prompt_ids"], r["completion_ids"], r["loss_mask"]) for r in rows] == [
        (0, [1], [2, 3, 4], [1, 0, 1]), (1, [1, 2, 5], [6], [1]),
    ]  # fmt: skip


def test_advantages_are_against_the_tasks_rollouts_in_the_run(store: Store) -> None:
    run = _run(store, "run_1")
    for number, reward in enumerate([1.0, 0.0, 0.0, 0.0]):
        _rollout(store, run, number, reward)
    _rollout(store, run, 0, 0.5, key="b")
    _rollout(store, _run(store, "run_2"), 0, 0.0)
    rows, _ = export(store, "rl", "task = a and run = run_1")
    assert [row["group_size"] for row in rows] == [4, 4, 4, 4]
    assert rows[0]["group_std"] == pytest.approx(0.5)
    assert rows[0]["advantage"] == pytest.approx(0.75 / 0.5001)
    assert rows[0]["advantage_centered"] == pytest.approx(0.75)
    assert rows[0]["advantage_leave_one_out"] == pytest.approx(1.0)
    assert sum(row["advantage"] for row in rows) == pytest.approx(0.0)
    [alone], _ = export(store, "rl", "task = b")
    assert (alone["advantage"], alone["group_size"]) == (None, 1)


def test_the_group_is_the_same_whatever_else_is_exported(store: Store) -> None:
    run = _run(store, "run_1")
    for number, reward in enumerate([1.0, 0.0]):
        _rollout(store, run, number, reward)
    [row], _ = export(store, "rl", "reward = 1")
    assert (row["group_size"], row["advantage_centered"]) == (2, 0.5)


def test_rollouts_without_a_reward_or_that_do_not_count_are_in_no_groups_mean(store: Store) -> None:
    run = _run(store, "run_1")
    _rollout(store, run, 0, 1.0)
    _rollout(store, run, 1, 0.0)
    _rollout(store, run, 2, None)
    task = Task(prompt="Hi?", key="a")
    fields: dict[str, Any] = {"run": run, "task_key": "a", "task_hash": task.hash, "task": task.to_json()}
    failed = Story(store, rollout=3, **fields)
    failed.exchange(chat("Hi?"), with_tokens(says("..."), [1], [2]))
    failed.score(9.0)
    failed.end("upstream_failed")
    rows, tally = export(store, "rl")
    assert [(r["reward"], r["group_size"], r["group_left_out"], r["group_mean"]) for r in rows] == [
        (1.0, 2, 2, 0.5), (0.0, 2, 2, 0.5),
    ]  # fmt: skip
    assert {rule: count for rule, count in tally.by_rule().items() if count} == {"no_reward": 1, "invalid_rollout": 1}


def test_of_a_rollouts_attempts_the_last_that_counts_is_in_the_group(store: Store) -> None:
    run = _run(store, "run_1")
    _rollout(store, run, 0, 0.0, attempt=0)
    _rollout(store, run, 0, 1.0, attempt=1)
    _rollout(store, run, 1, 0.0)
    rows, _ = export(store, "rl")
    assert [(row["reward"], row["group_size"], row["advantage_centered"]) for row in rows] == [
        (0.0, 2, None), (1.0, 2, 0.5), (0.0, 2, -0.5),
    ]  # fmt: skip


def test_without_token_ids_it_says_what_to_switch_on(store: Store) -> None:
    story = plain_story(store)
    story.score(1.0)
    story.end()
    half = Story(store)
    half.exchange(chat("Hi?"), with_tokens(says("Hello."), None, [3, 4]))
    half.score(1.0)
    half.end()
    rows, tally = export(store, "rl")
    assert rows == []
    assert tally.fallen == {"no_token_ids": 2}
    said = "\n".join(told(tally, explain=False))
    assert "--token-ids" in said
    assert "--upstream-tokens" in said


def test_missing_log_probabilities_are_counted_and_never_made_up(store: Store) -> None:
    story = Story(store)
    story.exchange(chat("Hi?"), with_tokens(says("Hello."), [1, 2], [3, 4], [-0.1]))
    story.score(1.0)
    story.end()
    [row], tally = export(store, "rl")
    assert (row["logprobs"], row["loss_mask"]) == (None, [1, 1])
    assert any(what.startswith("the log probabilities") for what in tally.losses.to_json())


def test_the_policys_version_is_the_calls_else_the_sessions(store: Store) -> None:
    run = _run(store, "run_1")
    _rollout(store, run, 0, 1.0, metadata=b'{"policy_version": "step-7"}')
    asked = chat("Hi?", drawbar={"policy_version": "step-8"})
    story = Story(store, metadata=b'{"policy_version": "step-7"}')
    story.exchange(asked, with_tokens(says("Hello."), [1, 2], [3]))
    story.score(1.0)
    story.end()
    rows, _ = export(store, "rl")
    assert [row["policy_version"] for row in rows] == ["step-7", "step-8"]


def test_parquet_holds_the_same_rows(store: Store, tmp_path: Path) -> None:
    import pyarrow.parquet

    from drawbar.export.engine import Wanted
    from drawbar.export.run import export as write

    run = _run(store, "run_1")
    for number, reward in enumerate([1.0, 0.0]):
        _rollout(store, run, number, reward)
    wanted = Wanted(format=format_named("rl"))
    write(store, wanted, target(tmp_path / "rl.parquet", None, wanted.format), licenses={})
    read = pyarrow.parquet.read_table(tmp_path / "rl.parquet").to_pylist()
    assert read == [dict.fromkeys(read[0]) | row for row in export(store, "rl")[0]]
