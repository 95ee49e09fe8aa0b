"""Preferences: which pairs there are, and what each format makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, NotRequired

import pytest
from annotated_types import Len
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import (
    ChatCompletionAssistantMessageParam,
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageParam,
)
from pydantic import ConfigDict, TypeAdapter
from tests.export.exported import export, fallen
from tests.export.rollouts import looked_up, rollout, rollouts
from tests.export.stories import Story, answers, chat, plain_story, says
from typing_extensions import TypedDict

from drawbar.export.choice import Choice, Dedupe, Source, order
from drawbar.export.pairing import parting, siblings
from drawbar.export.survey import STEP, Seen
from drawbar.record.feedback import Feedback
from drawbar.record.rows import CallRow
from drawbar.record.store import Store


def said(row: dict[str, Any]) -> tuple[str, str]:
    """What was chosen, and what was rejected."""
    return row["chosen"][0]["content"], row["rejected"][0]["content"]


def remark(store: Store, session: str, call: str | None = None, **feedback: Any) -> None:
    store.write(Feedback(**feedback).rows(session, call))


def calls_of(story: Story) -> list[str]:
    return [row.id for row in story.rows if isinstance(row, CallRow)]


def test_siblings_are_a_pair_where_their_rewards_differ(store: Store) -> None:
    rollouts(store, "a", [1.0, 0.0])
    rollouts(store, "b", [1.0, 1.0])
    rows, tally = export(store, "trl-dpo")
    assert [row["prompt"] for row in rows] == [[{"role": "user", "content": "a"}]]
    assert said(rows[0]) == ("Answer 0.", "Answer 1.")
    assert (fallen(tally), tally.sessions, tally.conversations, tally.trained) == ({"no_pair": 2}, 2, 2, 2)


def test_a_margin_says_by_how_much_they_differ_at_least(store: Store) -> None:
    rollouts(store, "a", [1.0, 0.7, 0.4, 0.1])
    differences = Counter(said(row) for row in export(store, "trl-dpo", choice=Choice(margin=0.6, per_task=9))[0])
    assert set(differences) == {("Answer 0.", "Answer 2."), ("Answer 0.", "Answer 3."), ("Answer 1.", "Answer 3.")}
    assert export(store, "trl-dpo", choice=Choice(margin=0.95))[0] == []


def test_of_a_task_there_are_few_pairs_and_each_session_is_in_as_few_as_can_be(store: Store) -> None:
    rollouts(store, "a", [1.0] * 4 + [0.0] * 4)
    rows, _ = export(store, "trl-dpo")
    assert len(rows) == 4
    assert max(Counter(text for row in rows for text in said(row)).values()) == 1
    assert rows == export(store, "trl-dpo")[0]
    few, tally = export(store, "trl-dpo", choice=Choice(per_task=1))
    assert (len(few), fallen(tally)) == (1, {"per_task": 6})
    assert len({str(export(store, "trl-dpo", seed=seed, choice=Choice(per_task=1))[0]) for seed in range(9)}) > 1


def test_sessions_that_part_later_are_a_pair_from_there(store: Store) -> None:
    looked_up(store, "a", "one", "Ada.", 1.0)
    looked_up(store, "a", "one", "Bob.", 0.0)
    rows, tally = export(store, "trl-dpo")
    assert [message["role"] for message in rows[0]["prompt"]] == ["user", "assistant", "tool"]
    assert said(rows[0]) == ("Ada.", "Bob.")
    assert (tally.messages, tally.trained) == (8, 2)
    assert export(store, "trl-dpo", choice=Choice(pairs=frozenset({"siblings"})))[0] == []


def test_sessions_whose_tools_answered_otherwise_or_that_were_asked_otherwise_are_no_pair(store: Store) -> None:
    looked_up(store, "a", "one", "Ada.", 1.0, found="Ada")
    looked_up(store, "a", "one", "Bob.", 0.0, found="Bob")
    rows, tally = export(store, "trl-dpo")
    assert (rows, fallen(tally)) == ([], {"no_pair": 2})
    story = rollout(store, "b", "Yes.", 1.0)
    story.end()
    other = Story(store, environment="quiz", task_key="b", task_hash="hash of b")
    other.exchange(chat({"role": "system", "content": "Be brief."}, "b"), answers(says("No.")))
    other.score(0.0)
    other.end()
    bare = Story(store, environment="quiz", task_key="b", task_hash="hash of b")
    bare.exchange(chat("b", tools=False), answers(says("Never.")))
    bare.score(0.0)
    bare.end()
    assert export(store, "trl-dpo", filter="task = b")[0] == []


def test_a_whole_way_is_told_where_that_is_asked_for(store: Store) -> None:
    looked_up(store, "a", "one", "Ada.", 1.0)
    looked_up(store, "a", "two", "Bob.", 0.0)
    [alone], _ = export(store, "trl-dpo")
    assert [message["role"] for message in alone["chosen"]] == ["assistant"]
    assert alone["chosen"][0]["tool_calls"][0]["function"]["arguments"] == {"query": "one"}
    [whole], tally = export(store, "trl-dpo", choice=Choice(whole=True))
    assert [message["role"] for message in whole["rejected"]] == ["assistant", "tool", "assistant"]
    assert whole["prompt"] == alone["prompt"]
    assert "results of tools" in str(tally.losses.to_json()) or "only read" in str(tally.losses.to_json())
    [one_reply], _ = export(store, "openai-dpo", choice=Choice(whole=True))
    assert (len(one_reply["preferred_output"]), len(one_reply["non_preferred_output"])) == (1, 1)


def test_a_correction_is_chosen_over_what_was_said(store: Store) -> None:
    story = plain_story(store, "Who?", "Bob.")
    remark(store, story.end(), correction="Ada.")
    rows, tally = export(store, "trl-dpo")
    assert [said(row) for row in rows] == [("Ada.", "Bob.")]
    assert rows[0]["prompt"] == [{"role": "user", "content": "Who?"}]
    assert (fallen(tally), tally.sessions) == ({}, 1)
    assert export(store, "trl-dpo", choice=Choice(pairs=frozenset({"branches", "siblings"})))[0] == []


def test_a_correction_of_an_earlier_reply_is_of_that_one(store: Store) -> None:
    story = plain_story(store, "Who?", "Bob.")
    story.exchange(chat("Who?", says("Bob."), "And when?"), answers(says("1843.")))
    session = story.end()
    remark(store, session, calls_of(story)[0], correction="Ada.")
    remark(store, session, correction="In 1843.")
    rows, _ = export(store, "trl-dpo")
    assert {said(row) for row in rows} == {("Ada.", "Bob."), ("In 1843.", "1843.")}


def test_a_correction_that_says_the_same_is_no_pair(store: Store) -> None:
    remark(store, plain_story(store, "Who?", "Ada.").end(), correction="Ada.")
    rows, tally = export(store, "trl-dpo")
    assert (rows, fallen(tally)) == ([], {"no_row": 1})
    assert export(store, "openai-dpo")[0] == []


def test_two_replies_to_one_request_are_a_pair_by_what_was_said_of_each(store: Store) -> None:
    story = plain_story(store, "Who?", "Bob.")
    story.exchange(chat("Who?"), answers(says("Ada.")))
    story.exchange(chat("Who?", says("Ada."), "Thanks."), answers(says("Welcome.")))
    session, (first, second, _) = story.end(), calls_of(story)
    remark(store, session, first, thumbs="down")
    assert export(store, "trl-dpo")[0] == []
    remark(store, session, second, thumbs="up")
    rows, tally = export(store, "trl-dpo")
    assert [(row["prompt"], said(row)) for row in rows] == [([{"role": "user", "content": "Who?"}], ("Ada.", "Bob."))]
    assert tally.sessions == 1


def test_live_sessions_that_begin_alike_are_siblings(store: Store) -> None:
    for answer, reward in (("Hello.", 1.0), ("What?", 0.0)):
        story = plain_story(store, "Hi?", answer)
        story.score(reward)
        story.end()
    plain_story(store, "Hi?", "Unscored.").end()
    rows, tally = export(store, "openai-dpo")
    assert rows == [{
        "input": {"messages": [{"role": "user", "content": "Hi?"}], "tools": rows[0]["input"]["tools"],
                  "parallel_tool_calls": True},
        "preferred_output": [{"role": "assistant", "content": "Hello."}],
        "non_preferred_output": [{"role": "assistant", "content": "What?"}],
    }]  # fmt: skip
    assert fallen(tally) == {"no_reward": 1}


class Input(TypedDict):
    """As the API's reference has it."""

    messages: Annotated[list[ChatCompletionMessageParam], Len(1)]
    tools: NotRequired[list[ChatCompletionFunctionToolParam]]
    parallel_tool_calls: NotRequired[bool]


class Preference(TypedDict):
    """The API's `FineTunePreferenceRequestInput`."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    input: Input
    preferred_output: Annotated[list[ChatCompletionAssistantMessageParam], Len(1, 1)]
    non_preferred_output: Annotated[list[ChatCompletionAssistantMessageParam], Len(1, 1)]


def test_preferences_are_what_openais_api_takes(store: Store) -> None:
    rollouts(store, "a", [1.0, 0.0])
    for query, answer, reward in (("one", "Ada.", 1.0), ("one", "Bob.", 0.5), ("two", "Bob.", 0.0)):
        looked_up(store, "b", query, answer, reward)
    rows, _ = export(store, "openai-dpo")
    assert len(rows) == 4
    for row in rows:
        TypeAdapter(Preference).validate_python(row)
        last = row["input"]["messages"][-1]["role"]
        assert last in ("user", "tool")


@pytest.mark.parametrize("dialect", ["chat", "messages", "responses", "gemini"])
def test_pictures_thoughts_and_tools_survive_in_preferences(store: Store, dialect: str) -> None:
    from tests.export.stories import THOUGHT, tell

    remark(store, tell(store, dialect).end(), correction="Ada and Bob wrote them.")
    [row], _ = export(store, "trl-dpo")
    assert said(row) == ("Ada and Bob wrote them.", "Ada and Bob.")
    assert [message["role"] for message in row["prompt"]] == ["system", "user", "assistant", "tool", "tool"]
    assert row["prompt"][2]["reasoning_content"] == THOUGHT
    assert len(row["images"]) == 1
    assert "look_up" in row["tools"]
    [row], tally = export(store, "openai-dpo")
    assert row["input"]["messages"][1]["content"][1]["type"] == "image_url"
    assert "reasoning" in tally.losses.to_json()


def test_labels_come_from_thumbs_and_else_from_the_reward(store: Store) -> None:
    rollout(store, "good", "Good.", 1.0).end()
    rollout(store, "bad", "Bad.", 0.9).end()
    rollout(store, "unknown", "Unknown.").end()
    liked = rollout(store, "liked", "Liked.", 0.0).end()
    remark(store, liked, thumbs="up")
    story = plain_story(store, "one", "First.")
    story.exchange(chat("one", says("First."), "two"), answers(says("Second.")))
    mixed = story.end()
    remark(store, mixed, thumbs="up")
    remark(store, mixed, calls_of(story)[0], thumbs="down")
    rows, tally = export(store, "trl-kto")
    found = {row["completion"][0]["content"]: row["label"] for row in rows}
    assert found == {"Good.": True, "Bad.": False, "Liked.": True, "First.": False, "Second.": True}
    assert [len(row["prompt"]) for row in rows if row["completion"][0]["content"] == "Second."] == [3]
    assert fallen(tally) == {"no_label": 1}
    lower = export(store, "trl-kto", filter="task = bad", choice=Choice(pass_threshold=0.9))[0]
    assert [row["label"] for row in lower] == [True]


def test_a_task_is_one_prompt_with_how_its_rollouts_did(store: Store) -> None:
    rollouts(store, "a", [1.0, 0.0, 0.5])
    looked_up(store, "b", "one", "Ada.", 1.0)
    rows, tally = export(store, "trl-grpo")
    assert [row["rewards"] for row in rows] == [[1.0, 0.0, 0.5], [1.0]]
    assert rows[0]["prompt"] == [{"role": "user", "content": "a"}]
    assert (rows[0]["mean_reward"], rows[0]["task"], rows[0]["environment"]) == (0.5, "a", "quiz")
    assert rows[1]["prompt"] == [{"role": "user", "content": "b"}]
    assert fallen(tally) == {"same_task": 2}


def test_answers_and_info_of_a_task_are_told_as_json(store: Store) -> None:
    from drawbar.task import Task

    task = Task(key="t", prompt="Who?", answer=["Ada", 1843], info={"source": "wiki"})
    plain_story(store, "Who?", "Ada.", task=task.to_json(), task_key="t", task_hash=task.hash).end()
    [row], _ = export(store, "trl-grpo")
    assert (row["answer"], row["info"], row["rewards"]) == ('["Ada",1843]', '{"source":"wiki"}', [])


WAYS = st.lists(st.integers(0, 2), min_size=1, max_size=5)


@given(WAYS, WAYS)
def test_where_two_ways_part_is_after_what_they_share(one: Sequence[int], other: Sequence[int]) -> None:
    at = parting(*(b"".join(bytes([each]) * STEP for each in way) for way in (one, other)))
    assert one[:at] == other[:at]
    assert at in (len(one), len(other)) or one[at] != other[at]


@st.composite
def tasks(draw: st.DrawFn) -> list[Seen]:
    found = []
    for number in range(draw(st.integers(0, 8))):
        way = [0, *draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))]
        path = b"".join(bytes([*way[: place + 1], *[9] * STEP])[:STEP] for place in range(len(way)))
        found.append(
            Seen(id=f"s{number}", environment="e", task=0, reward=draw(st.sampled_from([None, 0.0, 0.25, 0.5, 1.0])),
                 turns=1, length=None, words=path, offered=draw(st.sampled_from([b"t", b"u"])), path=path,
                 own=draw(st.integers(0, 15)) << 1)
        )  # fmt: skip
    return found


@given(tasks(), st.sampled_from([0.0, 0.5]), st.integers(1, 5), st.sampled_from(["siblings", "branches", None]))
def test_pairs_are_what_they_are_said_to_be(task: list[Seen], margin: float, most: int, only: Source | None) -> None:
    choice = Choice(margin=margin, pairs=frozenset({only} if only else {"siblings", "branches"}))
    pairs, spare = siblings(task, choice, most, order(1))
    of = {each.id: each for each in task}
    assert len(pairs) <= most
    assert len(set(pairs)) == len(pairs)
    assert (pairs, spare) == siblings(list(reversed(task)), choice, most, order(1))
    assert not spare & {id for pair in pairs for id in (pair.chosen, pair.rejected)}
    assert not spare or len(pairs) == most
    for pair in pairs:
        better, worse = of[pair.chosen], of[pair.rejected]
        assert better.reward is not None
        assert worse.reward is not None
        assert better.reward - worse.reward >= max(margin, 1e-6)
        assert better.offered == worse.offered
        at = parting(better.path, worse.path)
        assert better.own >> at & worse.own >> at & 1
        assert only is None or pair.source == only


@pytest.mark.parametrize("choice", [Choice(dedupe=Dedupe(True)), Choice(dedupe=Dedupe(True, 0.9), per_task=9)])
def test_of_duplicates_that_is_kept_which_people_said_something_of(store: Store, choice: Choice) -> None:
    sessions = [plain_story(store, "Who?", "Bob.", started=float(number)).end() for number in range(4)]
    remark(store, sessions[1], correction="Ada.")
    remark(store, sessions[2], thumbs="down")
    remark(store, sessions[3], thumbs="up")
    rows, tally = export(store, "trl-dpo", choice=choice)
    assert ([said(row) for row in rows], tally.by_rule()["no_reward"]) == ([("Ada.", "Bob.")], 3)
    rows, _ = export(store, "trl-kto", choice=choice)
    assert sorted(row["label"] for row in rows) == [False, True]


def test_of_many_sessions_that_begin_alike_few_are_pairs_and_the_rest_is_counted(store: Store) -> None:
    rollouts(store, "a", [number / 100 for number in range(80)])
    for number in range(6):
        remark(store, plain_story(store, "Who?", f"Bob {number}.").end(), correction="Ada.")
    rows, tally = export(store, "trl-dpo")
    assert (len(rows), fallen(tally)) == (8, {"per_task": 74})
    assert tally.looked_at == tally.meant == 86
