"""An environment: what it takes, and what it says to what it cannot take."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import pytest

from drawbar import Environment, Rubric, Task, reward
from drawbar.errors import ConfigurationError
from drawbar.server import PythonServer, UrlServer


async def search(query: str) -> str:
    """Find pages."""
    return query


def endless() -> Iterator[Task]:
    for number in count():
        yield Task(key=f"t{number}", prompt=f"What comes after {number}?")


def test_tasks_may_be_a_list_a_generator_or_a_function_that_makes_one() -> None:
    made = [Task(key=key, prompt="?") for key in "ab"]
    for tasks in (made, iter(made), (task for task in made), lambda: iter(made)):
        environment = Environment(name="e", tasks=tasks)
        for _ in range(2):  # a generator too can be gone through again
            assert [task.key for task in environment.iter_tasks()] == ["a", "b"]


def test_an_endless_generator_is_read_no_further_than_asked() -> None:
    read: list[str] = []

    def watched() -> Iterator[Task]:
        for task in endless():
            read.append(task.key)
            yield task

    environment = Environment(name="e", tasks=watched())
    assert [task.key for task in environment.iter_tasks(3)] == ["t0", "t1", "t2"]
    assert [task.key for task in islice(environment.iter_tasks(), 2)] == ["t0", "t1"]
    assert read == ["t0", "t1", "t2"]


def test_the_environments_system_prompt_is_for_tasks_without_one() -> None:
    tasks = [Task(key="own", prompt="?", system="mine"), Task(key="none", prompt="?")]
    environment = Environment(name="e", tasks=tasks, system="shared")
    assert [task.system for task in environment.iter_tasks()] == ["mine", "shared"]


def test_a_repeated_key_is_refused_by_name() -> None:
    environment = Environment(name="e", tasks=[Task(key="k", prompt="1"), Task(key="k", prompt="2")])
    with pytest.raises(ConfigurationError, match="'k' repeats"):
        list(environment.iter_tasks())


@pytest.mark.parametrize("tasks", [["a text"], lambda: 3, lambda: [{"prompt": "?"}]])
def test_what_is_no_task_is_refused_with_its_type(tasks: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"str|int|dict"):
        list(Environment(name="e", tasks=tasks).iter_tasks())


@pytest.mark.parametrize("prompt", ["", "  ", []])
def test_a_task_without_a_prompt_is_refused(prompt: Any) -> None:
    with pytest.raises(ConfigurationError, match="no prompt"):
        Task(key="k", prompt=prompt)


@pytest.mark.parametrize("name", ["", "Wiki", "a b", "a/b", "-a"])
def test_a_name_that_cannot_stand_in_a_url_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="lower-case"):
        Environment(name=name)


def test_a_default_model_that_it_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'oracle' is not among"):
        Environment(name="e", default_model="oracle")


def test_functions_become_one_in_process_server_beside_the_others() -> None:
    other = UrlServer(url="http://127.0.0.1:9/mcp")
    servers = Environment(name="e", tools=[search], servers={"other": other}).all_servers()
    assert list(servers) == ["e", "other"]
    assert isinstance(servers["e"], PythonServer)


def test_a_server_named_like_the_environments_own_tools_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="become a server named 'e'"):
        Environment(name="e", tools=[search], servers={"e": UrlServer(url="http://127.0.0.1:9/mcp")})


def test_a_function_that_cannot_be_a_tool_is_named() -> None:
    def odd(thing: object()) -> str:  # type: ignore[valid-type]
        return ""

    with pytest.raises(ConfigurationError, match="odd cannot be a tool"):
        Environment(name="e", tools=[odd]).all_servers()


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two of its tools are named 'search'"):
        Environment(name="e", tools=[search, search]).all_servers()


def test_a_list_of_rewards_is_a_rubric() -> None:
    @reward
    def good() -> int:
        return 1

    assert isinstance(Environment(name="e", rubric=[good]).scoring, Rubric)
