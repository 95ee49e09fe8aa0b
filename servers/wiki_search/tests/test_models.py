"""The oracle and the baseline, walked through their turns by hand against the real tools."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from drawbar import Model, Task
from drawbar_wiki_search.answers import matches
from drawbar_wiki_search.baseline import baseline
from drawbar_wiki_search.corpus import QUESTIONS, open_corpus
from drawbar_wiki_search.environment import load_environment
from drawbar_wiki_search.oracle import oracle
from drawbar_wiki_search.questions import load_questions
from drawbar_wiki_search.spans import Passage, best_span, key_terms
from drawbar_wiki_search.tools import WikiTools

TASKS = list(load_questions(QUESTIONS))


async def play(model: Model, task: Task) -> tuple[str, list[str]]:
    """The final answer and the names of the tools called on the way."""
    tools = WikiTools(open_corpus())
    messages: list[Mapping[str, Any]] = [*task.messages]
    called: list[str] = []
    while True:
        reply = await model(messages, [], task)
        messages.append(reply)
        if not reply.get("tool_calls"):
            return str(reply["content"]), called
        for call in reply["tool_calls"]:
            called.append(call["function"]["name"])
            result = await getattr(tools, called[-1])(**json.loads(call["function"]["arguments"]))
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})


@pytest.mark.parametrize("task", TASKS[::10], ids=[task.key for task in TASKS[::10]])
async def test_the_oracle_reads_every_supporting_page_and_gives_the_answer(task: Task) -> None:
    answer, called = await play(oracle, task)
    assert matches(answer, [task.answer])
    assert {"search_pages", "view_sections", "read_section"} == set(called)
    assert all(page in answer for page in task.info["pages"])


async def test_the_baseline_answers_some_and_not_all_without_being_told() -> None:
    asked = TASKS[::5]
    right = 0
    for task in asked:
        answer, _ = await play(baseline, Task(prompt=task.prompt))
        right += matches(answer, [task.answer, *task.info["aliases"]])
    assert 0.15 < right / len(asked) < 0.7


def test_key_terms_leave_out_what_every_question_has() -> None:
    assert key_terms("In which year did the Titanic sink?") == ["Titanic", "sink"]


def test_the_best_span_is_of_the_kind_that_was_asked_for() -> None:
    passages = [
        Passage("titanic", "The Titanic was built in Belfast. The Titanic sank on 15 April 1912 in the Atlantic.")
    ]
    when = best_span("In which year did the Titanic sink?", passages)
    where = best_span("Where was the Titanic built?", passages)
    assert when is not None
    assert where is not None
    assert (when.text, where.text) == ("1912", "Belfast")


def test_without_passages_there_is_no_span() -> None:
    assert best_span("Who?", []) is None


async def test_the_baseline_asks_the_tasks_question_whatever_an_agent_says_before_it() -> None:
    task = TASKS[0]
    said = [{"role": "user", "content": "You work in /tmp, in a bash shell."}, *task.messages]
    assert await baseline(said, [], task) == await baseline(task.messages, [], task)


async def test_both_models_read_results_that_an_agent_tells_as_the_users_words() -> None:
    """As smolagents does; an agent's tools have names of their own."""
    task, models = TASKS[0], load_environment().models
    use = {"id": "call_0_0", "type": "function", "function": {"name": "search_pages", "arguments": {"query": "x"}}}
    told = [
        *task.messages,
        {"role": "assistant", "content": f"Calling tools:\n{[use]}"},
        {"role": "user", "content": "Observation:\n1. X-rays (page_id: x-rays)\n   Seen in 1895."},
    ]
    tools = [{"type": "function", "function": {"name": "wiki_view_sections", "parameters": {"type": "object"}}}]
    for name in ("baseline", "oracle"):
        reply = await models[name](told, tools, task)
        assert [call["function"]["name"] for call in reply["tool_calls"]] == ["wiki_view_sections"]
