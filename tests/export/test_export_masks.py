"""What of a session is trained: what the model itself said in it, and that once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.export.exported import export
from tests.export.stories import TOLD, Story, answers, chat, plain_story, says, shows

from drawbar.export.branches import Extent, samples
from drawbar.export.sample import Sample
from drawbar.export.straight import StraightReader
from drawbar.record.facts import FactReader
from drawbar.record.store import Store


def _texts(row: dict[str, Any]) -> list[Any]:
    return [message["content"] for message in row["messages"]]


def test_replies_that_others_wrote_are_only_read(store: Store) -> None:
    story = Story(store)
    story.exchange(chat("2+2?", says("4"), "3+3?"), answers(says("6")))
    story.end()
    [row], tally = export(store)
    assert [message.get("weight") for message in row["messages"]] == [None, 0, None, None]
    assert (tally.trained, tally.messages) == (1, 4)
    [turns] = [row["conversations"] for row in export(store, "sharegpt")[0]]
    assert [turn["train"] for turn in turns] == [False, False, False, True]
    rows, _ = export(store, "trl-completion")
    assert [row["completion"][0]["content"] for row in rows] == ["6"]
    _, tally = export(store, "trl")
    [(what, times)] = tally.losses.to_json().items()
    assert (what[:19], times["times"]) == ("the mask of replies", 1)


def test_a_reply_that_was_rewritten_before_it_was_sent_back_is_only_read(store: Store) -> None:
    story = Story(store)
    story.exchange(chat("Go."), answers(says("One, two and three.")))
    story.exchange(chat("Go.", says("One, two, and then three."), "On."), answers(says("Four.")))
    story.end()
    [row], _ = export(store)
    assert [message.get("weight") for message in row["messages"]] == [None, 0, None, None]


def _forked(store: Store) -> Story:
    story = Story(store)
    story.exchange(chat("Go."), answers(says("One.")))
    story.exchange(chat("Go.", says("One."), "Left?"), answers(says("Left.")))
    story.exchange(chat("Go.", says("One."), "Right?"), answers(says("Right.")))
    return story


def test_what_branches_share_is_trained_once(store: Store) -> None:
    _forked(store).end()
    rows, tally = export(store, branches=True)
    assert [_texts(row) for row in rows] == [["Go.", "One.", "Left?", "Left."], ["Go.", "One.", "Right?", "Right."]]
    assert [[m.get("weight") for m in row["messages"] if m["role"] == "assistant"] for row in rows] == [
        [None, None], [0, None],
    ]  # fmt: skip
    assert (tally.sessions, tally.conversations, tally.trained) == (1, 2, 3)


def test_without_branches_there_is_the_way_to_the_last_answer(store: Store) -> None:
    _forked(store).end()
    [row], _ = export(store)
    assert _texts(row) == ["Go.", "One.", "Right?", "Right."]
    assert not any("weight" in message for message in row["messages"])


def _with_helper(store: Store) -> Story:
    story = Story(store)
    asks = says(None, ("c1", {"query": "Read the long book for me."}))
    story.exchange(chat("Go."), answers(asks, "tool_calls"))
    story.exchange(chat("Read the long book for me."), answers(says("It is long.")), thread="helper")
    story.exchange(chat("Go.", asks, shows("c1", "It is long.")), answers(says("Done.")))
    return story


def test_sub_agents_are_rows_of_their_own_where_all_threads_are_wanted(store: Store) -> None:
    _with_helper(store).end()
    assert [len(row["messages"]) for row in export(store)[0]] == [4]
    assert [len(row["messages"]) for row in export(store, all_threads=True)[0]] == [4, 2]


def test_a_session_in_which_the_model_said_nothing_of_its_own_has_no_row(store: Store) -> None:
    story = Story(store)
    story.exchange(chat("Go."), None)
    story.end()
    rows, tally = export(store)
    assert (rows, tally.by_rule()["nothing_to_train"]) == ([], 1)


def _retried(store: Store) -> Story:
    story = Story(store)
    story.exchange(chat("Go."), None)
    story.exchange(chat("Go."), answers(says("One.")))
    return story


def _thinking(store: Store, thought: str) -> Story:
    story = Story(store)
    story.exchange(chat("Go."), answers(says("One.", reasoning_content=thought)))
    return story


def test_each_session_has_its_own_thoughts_before_the_same_words(store: Store) -> None:
    for thought in ("a", "b"):
        _thinking(store, thought).end()
    rows, _ = export(store, "trl")
    assert [row["messages"][1]["reasoning_content"] for row in rows] == ["a", "b"]


STORIES: dict[str, Callable[[Store], Story]] = {
    **{name: lambda store, name=name: _told(store, name) for name in TOLD},  # type: ignore[misc]
    "carried in": lambda store: plain_story(store, "Again?"),
    "forked": _forked,
    "with a helper": _with_helper,
    "retried": _retried,
}


def _told(store: Store, dialect: str) -> Story:
    from tests.export.stories import tell

    return tell(store, dialect)


@pytest.mark.parametrize("name", STORIES)
def test_a_session_read_with_many_is_the_same_as_read_whole(store: Store, name: str) -> None:
    for _ in range(2):
        id = STORIES[name](store).end()
    reader = FactReader(store)
    facts = reader.sessions(reader.ids())
    quick = {sample.facts.id: sample for sample in StraightReader(reader, parallel=True).samples(facts)}
    [whole] = samples(store.trajectory(id), facts[-1], Extent())
    if name in ("forked", "retried", "with a helper"):
        assert id not in quick  # too much for the quick way, which says so
    else:
        assert _shape(quick[id]) == _shape(whole)


def _shape(sample: Sample) -> Any:
    return (
        sample.messages, sample.trained, sample.calls, [said.node for said in sample.said], sample.tools,
        sample.parallel_tool_calls, sample.tokens, sample.trained_tokens, sample.name,
    )  # fmt: skip
