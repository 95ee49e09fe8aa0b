"""`validate` finds each fault through the real gateway and engine."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from pydantic import BaseModel

from drawbar import CommandServer, Environment, Task
from drawbar.testing import calls, says
from drawbar.validation import validate


async def double(number: int) -> int:
    """Twice a number."""
    return 2 * number


def correct(completion: str, answer: str) -> bool:
    return completion == answer


async def oracle(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], task: Task | None, /
) -> Mapping[str, Any]:
    assert task is not None
    if messages[-1]["role"] == "tool":
        return says(messages[-1]["content"])
    return calls(tools[0]["function"]["name"], number=task.info["number"])


GOOD = Environment(
    name="good",
    tools=[double],
    tasks=[Task(key=str(n), prompt=f"What is twice {n}?", answer=str(2 * n), info={"number": n}) for n in range(1, 4)],
    rubric=[correct],
    models={"oracle": oracle},
)


async def faults(environment: Environment, **options: Any) -> list[tuple[str, str]]:
    return [(problem.check, problem.what) for problem in (await validate(environment, **options)).problems]


async def test_a_good_environment_has_no_faults() -> None:
    found = await validate(GOOD)
    assert (found.valid, found.tasks, found.tools) == (True, 3, 1)


async def test_no_more_tasks_are_tried_than_asked_even_if_they_never_end() -> None:
    def endless() -> Any:
        return (Task(key=str(n), prompt="?", answer=str(2 * n), info={"number": n}) for n in count(1))

    found = await validate(replace(GOOD, tasks=endless), limit=2)
    assert (found.valid, found.tasks) == (True, 2)


async def test_an_oracle_that_is_not_at_full_reward() -> None:
    wrong = [Task(key="k", prompt="What is twice 2?", answer="5", info={"number": 2})]
    (fault,) = await faults(replace(GOOD, tasks=wrong))
    assert fault == ("oracle", "Task 'k': the oracle got 0 of 1. Its answer was '4'; scores: correct 0.")


async def test_an_oracle_that_breaks() -> None:
    async def broken(messages: Any, tools: Any, task: Any, /) -> Mapping[str, Any]:
        raise LookupError("no idea")

    found = await faults(replace(GOOD, models={"oracle": broken}), limit=1)
    assert [check for check, _ in found] == ["oracle"]
    assert "no idea" in found[0][1]


async def test_a_reward_that_can_be_had_for_nothing() -> None:
    def polite(completion: str) -> bool:
        return "!" not in completion

    found = await faults(replace(GOOD, rubric=[polite]), limit=1)
    assert [check for check, _ in found] == ["idle"]
    assert "an agent that does nothing got 1" in found[0][1]


async def test_a_reward_that_fails_on_an_empty_answer() -> None:
    def last_word(completion: str, answer: str) -> bool:
        return completion.split()[-1] == answer

    (fault,) = await faults(replace(GOOD, rubric=[last_word]), limit=1)
    assert fault[0] == "idle"
    assert "IndexError: list index out of range" in fault[1]


async def test_a_tool_whose_schema_is_not_portable() -> None:
    class Query(BaseModel):
        text: str

    Query.__module__ = __name__
    globals()["Query"] = Query

    async def search(query: Query) -> str:
        """Find it."""
        return ""

    search.__annotations__["query"] = Query
    found = await faults(replace(GOOD, tools=[double, search]), limit=1)
    assert [check for check, _ in found] == ["tools"]
    assert "The schema of tool 'search' has a `$ref` at inputSchema.properties.query" in found[0][1]


async def test_two_runs_of_the_oracle_that_differ() -> None:
    ticks = count()

    async def now(number: int) -> str:
        """The time."""
        return str(next(ticks))

    def told(completion: str) -> bool:
        return completion.isdigit()

    (fault,) = await faults(replace(GOOD, tools=[now], rubric=[told]), limit=1)
    assert fault[0] == "repeat"
    assert "Task '1': two runs of the oracle differ: tool calls" in fault[1]


async def test_a_key_that_repeats() -> None:
    twice = [Task(key="k", prompt="1"), Task(key="k", prompt="2")]
    assert [check for check, _ in await faults(replace(GOOD, tasks=twice))] == ["tasks"]


async def test_an_environment_without_an_oracle_unless_it_is_left_out() -> None:
    without = replace(GOOD, models={})
    assert [check for check, _ in await faults(without, limit=1)] == ["oracle"]
    assert await faults(without, limit=1, oracle=False) == []


async def test_a_server_that_does_not_start() -> None:
    broken = CommandServer(command=[sys.executable, "-c", "raise SystemExit('no corpus')"])
    ((check, what),) = await faults(replace(GOOD, tools=[], servers={"broken": broken}), limit=1)
    assert check == "tools"
    assert "broken" in what
