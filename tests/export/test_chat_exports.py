"""What the formats make of the same session, told in each dialect: instructions, a picture, a thought, tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.export.exported import export
from tests.export.stories import (
    ANSWER,
    LOOKS_UP,
    PICTURE,
    QUESTION,
    SCHEMA,
    SYSTEM,
    THOUGHT,
    TOLD,
    Story,
    answers,
    chat,
    says,
    shows,
)

from drawbar.record.store import Store

Told = Callable[..., str]
URL = f"data:image/png;base64,{PICTURE}"
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}


@pytest.mark.parametrize("dialect", TOLD)
def test_openai_has_messages_tools_and_pictures_and_says_that_thoughts_are_lost(
    store: Store, told: Told, dialect: str
) -> None:
    told(dialect)
    [row], tally = export(store, "openai")
    messages = row["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert messages[0]["content"] == SYSTEM
    picture = {"type": "image_url", "image_url": {"url": URL}}
    assert messages[1]["content"] == [{"type": "text", "text": QUESTION}, picture]
    calls = [(call["id"], call["type"], call["function"]["name"]) for call in messages[2]["tool_calls"]]
    assert calls == [(id, "function", "look_up") for id, _, _ in LOOKS_UP]
    arguments = [json.loads(call["function"]["arguments"]) for call in messages[2]["tool_calls"]]
    assert arguments == [given for _, given, _ in LOOKS_UP]
    assert messages[2]["content"] is None
    assert [(m["tool_call_id"], m["content"]) for m in messages[3:5]] == [(id, words) for id, _, words in LOOKS_UP]
    assert messages[5] == {"role": "assistant", "content": ANSWER}
    assert (row["tools"], row["parallel_tool_calls"]) == ([TOOL], True)
    assert tally.losses.to_json()["reasoning"] == {"times": 1, "conversations": 1}


@pytest.mark.parametrize("dialect", TOLD)
def test_trl_keeps_thoughts_has_arguments_as_objects_and_pictures_beside_the_messages(
    store: Store, told: Told, dialect: str
) -> None:
    told(dialect)
    [row], tally = export(store, "trl")
    messages = row["messages"]
    assert messages[1]["content"] == [{"type": "text", "text": QUESTION}, {"type": "image"}]
    assert row["images"] == [URL]
    assert messages[2]["reasoning_content"] == THOUGHT
    assert [call["function"]["arguments"] for call in messages[2]["tool_calls"]] == [given for _, given, _ in LOOKS_UP]
    assert json.loads(row["tools"]) == [TOOL]
    assert set(tally.losses.to_json()) <= {"signatures of reasoning"}


@pytest.mark.parametrize("dialect", TOLD)
def test_trl_completions_are_each_reply_once_after_all_that_came_before(store: Store, told: Told, dialect: str) -> None:
    told(dialect)
    [whole], _ = export(store, "trl")
    rows, tally = export(store, "trl-completion")
    assert (len(rows), tally.conversations) == (2, 1)
    for row, end in zip(rows, (2, 5), strict=True):
        assert row["prompt"] == whole["messages"][:end]
        assert row["completion"] == [whole["messages"][end]]
        assert (row["images"], row["tools"]) == (whole["images"], whole["tools"])


@pytest.mark.parametrize("dialect", TOLD)
def test_sharegpt_takes_turns_as_llama_factory_demands(store: Store, told: Told, dialect: str) -> None:
    told(dialect)
    [row], tally = export(store, "sharegpt")
    turns = row["conversations"]
    assert [turn["from"] for turn in turns] == ["human", "function_call", "observation", "gpt"]
    assert [turn["train"] for turn in turns] == [False, True, False, True]
    assert (row["system"], row["images"]) == (SYSTEM, [URL])
    assert turns[0]["value"] == f"{QUESTION}\n<image>"
    thought, calls = turns[1]["value"].split("</think>\n\n")
    assert thought == f"<think>\n{THOUGHT}\n"
    assert json.loads(calls) == [{"name": "look_up", "arguments": given} for _, given, _ in LOOKS_UP]
    assert json.loads(turns[2]["value"]) == [words for _, _, words in LOOKS_UP]
    assert json.loads(row["tools"]) == [TOOL["function"]]
    assert tally.losses.to_json()["ids of tool calls"]["times"] == 2


def test_a_conversation_in_which_nobody_answers_is_no_row_of_sharegpt_and_loses_nothing(store: Store) -> None:
    story = Story(store)
    story.exchange(chat("One?", says("First."), says("Second.")), answers(says("Third.")))
    story.end()
    rows, tally = export(store, "sharegpt")
    assert (rows, tally.by_rule()["no_row"], tally.losses.to_json()) == ([], 1, {})


def test_one_call_at_a_time_is_said_where_its_client_wanted_it_so(store: Store) -> None:
    story = Story(store)
    asked = chat("Hi?", parallel_tool_calls=False)
    story.exchange(asked, answers(says("Hello.")))
    story.end()
    assert export(store)[0][0]["parallel_tool_calls"] is False


def test_pictures_that_a_tool_showed_follow_its_results_as_the_users(store: Store) -> None:
    story = Story(store, "messages")
    uses: list[dict[str, Any]] = [{"type": "tool_use", "id": id, "name": "look_up", "input": {}} for id in ("a", "b")]
    picture = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}
    results: list[dict[str, Any]] = [
        {"type": "tool_result", "tool_use_id": id, "content": [picture]} for id in ("a", "b")
    ]
    results[0]["is_error"] = True
    said: list[Any] = [{"role": "user", "content": "Go."}]
    request = {"model": "m", "max_tokens": 9, "messages": said}
    answer = {"id": "x", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "usage": {}}
    story.exchange(request, {**answer, "content": uses})
    then = [*said, {"role": "assistant", "content": uses}, {"role": "user", "content": results}]
    story.exchange({**request, "messages": then}, {**answer, "content": [{"type": "text", "text": "Seen."}]})
    story.end()
    [row], tally = export(store)
    assert [m["role"] for m in row["messages"]] == ["user", "assistant", "tool", "tool", "user", "assistant"]
    assert [part["image_url"]["url"] for part in row["messages"][4]["content"]] == ["https://x/y.png"] * 2
    lost = tally.losses.to_json()
    assert lost["the mark of a tool's error"]["times"] == 1
    assert any(what.startswith("the place of pictures in tool results") for what in lost)


def test_what_no_format_has_a_place_for_is_counted(store: Store) -> None:
    story = Story(store)
    sound = {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}
    strange = {"type": "hologram", "x": 1}
    asked = chat({"role": "user", "content": [{"type": "text", "text": "Hear."}, sound, strange]})
    asked["tools"].append({"type": "custom", "custom": {"name": "free"}})
    story.exchange(asked, answers(says("Heard.")))
    story.end()
    for format in ("openai", "trl", "sharegpt"):
        lost = export(store, format)[1].losses.to_json()
        assert {"pictures, sounds and files that the format has no place for", "blocks of type hologram",
                "a tool of type custom"} <= lost.keys()  # fmt: skip


def test_arguments_that_are_no_object_are_told_as_they_are_and_counted(store: Store) -> None:
    story = Story(store)
    broken = says(None, ("c1", {}))
    broken["tool_calls"][0]["function"]["arguments"] = "[1]"
    story.exchange(chat("Go."), answers(broken))
    story.exchange(chat("Go.", broken, shows("c1", "?")), answers(says("Done.")))
    story.end()
    [row], tally = export(store)
    assert row["messages"][1]["tool_calls"][0]["function"]["arguments"] == "[1]"
    assert any("no JSON object" in what for what in tally.losses.to_json())
    [other], _ = export(store, "trl")
    assert other["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"arguments": "[1]"}


def test_a_tool_that_takes_a_text_is_one_with_one_argument(store: Store) -> None:
    story = Story(store, "responses")
    call = {"type": "custom_tool_call", "id": "x", "call_id": "c1", "name": "patch", "input": "*** Begin"}
    request = {"model": "m", "input": "Go.", "tools": [{"type": "custom", "name": "patch"}]}
    story.exchange(request, {"id": "r", "object": "response", "status": "completed", "model": "m", "output": [call]})
    story.end()
    [row], tally = export(store)
    [made] = row["messages"][1]["tool_calls"]
    assert json.loads(made["function"]["arguments"]) == {"input": "*** Begin"}
    assert row["tools"][0]["function"]["parameters"]["required"] == ["input"]
    assert not tally.losses
