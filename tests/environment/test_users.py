"""Later user turns of tasks, and who plays them: as objects, in task files and in `environment.toml`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from drawbar import Conversation, Environment, ModelUser, ReplayUser, Task, TaskFile, User, load_environment
from drawbar.errors import ConfigurationError, UserError
from drawbar.testing import calls
from drawbar.user import spoken, user_for
from drawbar.validation import validate

TURNS: list[str | dict[str, Any]] = ["In Gent.", {"role": "user", "content": [{"type": "text", "text": "In Rome."}]}]


def test_a_task_without_later_turns_is_the_one_that_it_was_before_there_were_any() -> None:
    task = Task(prompt="a")
    assert task.hash == "273cb0d7d02c037ab7a27d63e761e08f765f3057"
    assert b"user_turns" not in task.to_json()
    assert Task(prompt="a", user_turns=[]) == task


def test_later_turns_are_part_of_a_task_and_of_its_hash() -> None:
    task = Task(prompt="a", user_turns=TURNS)
    assert Task.from_json(task.to_json()) == Task(prompt="a", user_turns=tuple(TURNS))
    assert task.user_messages == [{"role": "user", "content": "In Gent."}, TURNS[1]]
    hashes = {Task(prompt="a", user_turns=turns).hash for turns in ([], ["x"], ["y"], ["x", "y"], ["y", "x"])}
    assert len(hashes) == 5
    same = Task(prompt="a", user_turns=[{"role": "user", "content": "x"}])
    assert same.hash == Task(prompt="a", user_turns=["x"]).hash  # two ways to write one thing


@pytest.mark.parametrize("turns", ["In Gent.", {"role": "user"}, [""], [" "], [None], [7], [{"role": "assistant"}],
                                   [{"role": "assistant", "content": "Yes."}], [{"content": []}]])  # fmt: skip
def test_turns_that_no_user_could_say_are_refused(turns: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Task k.*user.turn"):
        Task(key="k", prompt="a", user_turns=turns)


def test_a_task_file_has_them_as_a_column(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"prompt": "a", "user_turns": ["b", {"content": "c"}]}\n{"prompt": "d", "user_turns": null}\n')
    first, second = TaskFile(path)
    assert [message["content"] for message in first.user_messages] == ["b", "c"]
    assert (first.info, second.user_turns) == ({}, ())


@pytest.mark.parametrize(
    ("column", "said"), [('"b"', "`user_turns` is a list, not a text"), ('["b", ""]', "user turn 2 is neither")]
)
def test_a_task_file_says_in_which_line_turns_are_wrong(column: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"prompt": "a"}\n{"prompt": "b", "user_turns": ' + column + "}\n")
    with pytest.raises(ConfigurationError, match=f"tasks.jsonl, line 2: .*{said}"):
        list(TaskFile(path))


def test_who_plays_is_said_by_the_environment_and_the_run_and_silent_where_there_is_nothing_to_say() -> None:
    plain, talk, goal = Task(prompt="a"), Task(prompt="a", user_turns=["b"]), Task(prompt="a", info={"goal": "c"})
    assert user_for(None, plain) is None
    assert user_for(None, talk) == ReplayUser()
    assert user_for(None, goal) is None
    model = ModelUser(model="m", max_turns=3)
    assert [user_for(model, task) for task in (plain, talk, goal)] == [None, model, model]
    assert user_for(None, goal, "other") == ModelUser(model="other")
    assert user_for(model, goal, "other") == ModelUser(model="other", max_turns=3)

    class Own:
        async def reply(self, conversation: Conversation, /) -> None:
            return None

    own: User = Own()
    assert user_for(own, plain) is own


def test_a_models_user_has_a_template_that_says_what_the_user_wants_and_what_was_said() -> None:
    task = Task(prompt="Is it raining?", system="Secret rules.", user_turns=TURNS, info={"goal": "A trip to Gent."})
    messages = [{"role": "user", "content": "Is it raining?"}, {"role": "assistant", "content": "Where?"}]
    prompt = ModelUser(model="m", stop="<END>").render(Conversation(task=task, messages=messages, played=0))
    for told in ("A trip to Gent.", "- In Gent.\n- In Rome.\n", "<assistant>\nWhere?\n</assistant>", "<END>"):
        assert told in prompt
    assert "Secret rules." not in prompt
    assert "answer" not in ModelUser(model="m", template="{{ turns }}").render(
        Conversation(task=Task(prompt="a", answer="the answer", user_turns=["b"]), messages=messages, played=0)
    )


def test_users_know_of_an_opening_what_was_said_to_them_and_nothing_of_tools() -> None:
    task = Task(
        system="Secret rules.",
        user_turns=["b"],
        prompt=[
            {"role": "user", "content": "Is it raining?"},
            {**calls("look"), "content": None},
            {"role": "tool", "tool_call_id": "1", "content": "raw weather data"},
            {"role": "assistant", "content": "Where?"},
            {"role": "user", "content": [{"type": "text", "text": "In Gent."}]},
        ],
    )
    assert [message["role"] for message in spoken(task)] == ["user", "assistant", "user"]


async def asked(user: ModelUser, completion: Mapping[str, Any]) -> str | None:
    async def ask(model: str, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        return completion

    task = Task(prompt="a", user_turns=["b"])
    return await user.reply(Conversation(task=task, messages=task.messages, played=0, ask=ask))


def completed(text: str, finish: str = "stop") -> dict[str, Any]:
    return {"choices": [{"message": {"content": text}, "finish_reason": finish}]}


async def test_a_models_reply_is_what_the_user_says_unless_it_holds_the_stop_marker() -> None:
    user = ModelUser(model="m")
    assert await asked(user, completed("<think>###STOP###?</think> In Gent.\n")) == "In Gent."
    assert await asked(user, completed("Thanks, bye. ###STOP###")) is None


@pytest.mark.parametrize(
    ("completion", "said"),
    [
        (completed(" "), "said nothing"),
        (completed("In Ge", "length"), "cut off"),
        ({"choices": []}, "could not be asked"),
        ({}, "could not be asked"),
    ],
)
async def test_a_models_reply_that_cannot_be_used_is_a_fault_of_the_users(completion: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        await asked(ModelUser(model="m"), completion)


async def test_a_user_without_a_way_to_models_says_so() -> None:
    task = Task(prompt="a", user_turns=["b"])
    with pytest.raises(UserError, match="cannot be reached"):
        await ModelUser(model="m").reply(Conversation(task=task, messages=[], played=0))


async def test_being_cancelled_is_no_fault_of_the_users() -> None:
    async def ask(model: str, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    task = Task(prompt="a", user_turns=["b"])
    waiting = asyncio.create_task(ModelUser(model="m").reply(Conversation(task=task, messages=[], played=0, ask=ask)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize(
    "changes", [{"model": ""}, {"stop": " "}, {"max_turns": 0}, {"timeout": 0}, {"template": "{% if"}]
)
def test_a_models_user_that_could_not_play_is_refused_at_once(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ModelUser(**{"model": "m", **changes})


def toml(tmp_path: Path, user: str, tasks: str = '{"prompt": "a", "user_turns": ["b"]}\n') -> Path:
    (tmp_path / "tasks.jsonl").write_text(tasks)
    (tmp_path / "environment.toml").write_text(f'name = "talk"\ntasks = "tasks.jsonl"\n{user}\n')
    return tmp_path


def test_environment_toml_says_who_plays(tmp_path: Path) -> None:
    assert load_environment(str(toml(tmp_path, ""))).user is None
    assert load_environment(str(toml(tmp_path, '[user]\nmode = "replay"'))).user == ReplayUser()
    (tmp_path / "user.txt").write_text("Play {{ goal }}")
    table = 'mode = "model"\nmodel = "m"\nmax_turns = 4\nstop = "END"\ntimeout = 9\nsampling = { temperature = 1.0 }'
    whole: dict[str, Any] = {
        "model": "m",
        "max_turns": 4,
        "stop": "END",
        "timeout": 9,
        "sampling": {"temperature": 1.0},
    }
    assert load_environment(str(toml(tmp_path, f"[user]\n{table}"))).user == ModelUser(**whole)
    user = load_environment(str(toml(tmp_path, f'[user]\n{table}\ntemplate_file = "user.txt"'))).user
    assert user == ModelUser(**whole, template="Play {{ goal }}")


@pytest.mark.parametrize(
    ("user", "line", "said"),
    [
        ('[user]\nmode = "actor"', 4, "user.mode"),
        ('[user]\nmode = "model"', 3, "which `model` plays the user"),
        ('[user]\nmode = "replay"\nmax_turns = 3', 5, 'user.max_turns: .*for mode = "model"'),
        ('[user]\nmode = "model"\nmodel = "m"\nmax_turns = 0', 3, "1 or more"),
        ('[user]\nmode = "model"\nmodel = "m"\ntemplate = "{{"', 3, "The template of"),
        ('[user]\nmode = "model"\nmodel = "m"\ntemplate_file = "none.txt"', 6, "cannot be read"),
        ('[user]\nmode = "model"\nmodel = "m"\ntemplate = "a"\ntemplate_file = "b"', 3, "one of `template`"),
        ('[user]\nmodle = "m"', 4, "Did you mean 'mode' or 'model'"),
        ("user = 7", 3, "user"),
    ],
)
def test_environment_toml_says_where_a_user_is_wrong(user: str, line: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"environment.toml, line {line}\b.*{said}"):
        load_environment(str(toml(tmp_path, user)))


async def test_validation_replays_what_was_recorded_where_the_users_model_is_elsewhere() -> None:
    async def oracle(messages: Any, tools: Any, task: Any, /) -> Mapping[str, Any]:
        return {"role": "assistant", "content": str(len(messages))}

    def both(completion: str) -> bool:
        return completion == "3"

    tasks = [Task(prompt="a", user_turns=["b"])]
    environment = Environment(
        name="talk", tasks=tasks, rubric=[both], models={"oracle": oracle}, user=ModelUser(model="gpt-elsewhere")
    )
    assert (await validate(environment)).problems == []


@pytest.mark.parametrize(
    ("user", "task", "said"),
    [
        (ReplayUser(), Task(prompt="a"), "no task in which it would say anything"),
        (ModelUser(model="m"), Task(prompt="a"), "no task in which it would say anything"),
        (ModelUser(model="m", template="{{ info.who }}"), Task(prompt="a", user_turns=["b"]), "who"),
    ],
)
async def test_validation_finds_a_user_that_cannot_play(user: User, task: Task, said: str) -> None:
    (problem,) = (await validate(Environment(name="talk", tasks=[task], user=user), oracle=False)).problems
    assert problem.check == "user"
    assert said in problem.what
