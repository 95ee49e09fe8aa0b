"""Tasks whose user has more to say, through the engine, the gateway and our own harnesses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from drawbar import Conversation, Environment, Harness, Limits, ModelUser, Task, Trajectory, User, reward
from drawbar.errors import ConfigurationError
from drawbar.harness import Assignment, Outcome
from drawbar.rollout.access import LocalAccess
from drawbar.rollout.engine import run
from drawbar.rollout.events import Event, RolloutFinished
from drawbar.rollout.harnesses import load_harness
from drawbar.rollout.plan import Plan
from drawbar.rollout.report import Report
from drawbar.rollout.result import RolloutResult
from drawbar.testing import Failure, Hang, calls, says, serve_chat
from drawbar.testing.chat_server import Line
from drawbar_harnesses.chat import ChatHarness

Reach = Callable[..., AbstractAsyncContextManager[LocalAccess]]

PROGRAM = Path(__file__).parents[1] / "harnesses" / "agent_program.py"
OWN: dict[str, dict[str, str]] = {"loop": {}, "chat": {}, "command": {"command": f"{sys.executable} {PROGRAM}"}}
TURNS = ("And in Gent?", "And in Rome?")


async def echo(messages: Sequence[Mapping[str, Any]], tools: Any, task: Any, /) -> Mapping[str, Any]:
    """An agent's model that answers what was said last."""
    return says(f"You said: {messages[-1]['content']}")


@reward
def heard_all(trajectory: Trajectory) -> float:
    said = [message.text for message in trajectory.messages if message.role == "user"]
    return float(said == ["Is it raining?", *TURNS])


def weather(**changes: Any) -> Environment:
    tasks = [Task(key="rain", prompt="Is it raining?", user_turns=TURNS)]
    given = {"name": "weather", "tasks": tasks, "rubric": [heard_all], "models": {"echo": echo}}
    return Environment(**{**given, **changes})


def planned(environment: Environment, **changes: Any) -> Plan:
    given = {"environment": environment, "harness": ChatHarness(), "model": "echo", "backoff": 0.0, "retries": 0}
    return Plan(**{**given, **changes})


async def played(
    reach: Reach, environment: Environment, *, base_url: str | None = None, **changes: Any
) -> tuple[Report, list[Trajectory]]:
    """The run's report, and what was recorded of each rollout's last attempt."""
    found: list[RolloutResult] = []

    def listen(event: Event) -> None:
        if isinstance(event, RolloutFinished):
            found.append(event.result)

    async with reach(environment, base_url=base_url) as access:
        report = await run(planned(environment, **changes), access, listen=listen)
        return report, [await access.trajectory(result.session) for result in found]


@pytest.mark.parametrize("name", OWN)
async def test_a_harness_plays_every_recorded_turn_exactly_and_in_order(name: str, reach: Reach) -> None:
    report, (trajectory,) = await played(reach, weather(), harness=load_harness(name, OWN[name]))
    assert report.reward is not None
    assert report.reward.mean == 1.0, (report.errors, report.examples)
    assert [message.text for message in trajectory.messages] == [
        "Is it raining?", "You said: Is it raining?",
        "And in Gent?", "You said: And in Gent?",
        "And in Rome?", "You said: And in Rome?",
    ]  # fmt: skip
    assert (trajectory.stop, trajectory.turns, list(trajectory.health)) == ("completed", 3, [])
    assert trajectory.metadata["simulated_user"]["mode"] == "replay"
    assert [turn["after"] for turn in trajectory.metadata["simulated_user"]["turns"]] == [
        call.id for call in trajectory.calls[:2]
    ]
    assert report.user is not None
    assert (report.user["turns"], report.user["replays"], report.user["exact"], report.user["cost"]) == (2, 1, 1, None)


@dataclass
class Scripted:
    """A user of one's own: any object with `reply`."""

    lines: Sequence[Any]
    seen: list[Conversation] = field(default_factory=list)

    async def reply(self, conversation: Conversation, /) -> Any:
        self.seen.append(conversation)
        line = self.lines[conversation.played] if conversation.played < len(self.lines) else None
        if isinstance(line, Exception):
            raise line
        return line


async def test_a_user_of_ones_own_gets_the_conversation_and_speaks_until_it_says_nothing(reach: Reach) -> None:
    user = Scripted(["First.", {"role": "user", "content": [{"type": "text", "text": "Second."}]}])
    assert isinstance(user, User)
    tasks = [Task(key="t", prompt=[{"role": "user", "content": "Hi."}], system="Be brief.")]
    report, (trajectory,) = await played(reach, weather(tasks=tasks, rubric=[], user=user))
    assert trajectory.stop == "completed"
    assert [message.text for message in trajectory.messages if message.role == "user"] == ["Hi.", "First.", "Second."]
    assert [conversation.played for conversation in user.seen] == [0, 1, 2]
    assert [message["role"] for message in user.seen[-1].messages] == ["user", "assistant"] * 3
    assert user.seen[-1].messages[3]["content"] == "You said: First."
    assert trajectory.metadata["simulated_user"]["mode"] == "Scripted"
    assert report.user is not None
    assert report.user["who"] == ["played by Scripted"]


async def test_users_see_final_answers_alone_and_no_tool_calls(reach: Reach) -> None:
    async def look(town: str) -> str:
        """Look out of the window."""
        return "rain"

    async def agent(messages: Sequence[Mapping[str, Any]], tools: Any, task: Any, /) -> Mapping[str, Any]:
        return says("It rains.") if messages[-1]["role"] == "tool" else calls("look", town="Gent")

    user = Scripted(["Sure?"])
    environment = weather(tools=[look], models={"agent": agent}, rubric=[], user=user)
    report, (trajectory,) = await played(reach, environment, model="agent", harness=load_harness("loop"))
    assert (report.valid, trajectory.turns, len(trajectory.tool_calls)) == (1, 4, 2)
    assert [message["content"] for message in user.seen[-1].messages] == [
        "Is it raining?", "It rains.", "Sure?", "It rains.",
    ]  # fmt: skip


def simulated(**changes: Any) -> Environment:
    """A model that is asked over HTTP plays the user; the agent's model is in this process."""
    tasks = [Task(key="t", prompt="Is it raining?", info={"goal": "Learn of the weather in Gent."}, user_turns=TURNS)]
    user = ModelUser(model="someone", sampling={"temperature": 0.5})
    return weather(**{"tasks": tasks, "rubric": [], "user": user, **changes})


async def test_a_model_plays_the_user_until_it_says_that_it_is_done(reach: Reach) -> None:
    lines = ["<think>###STOP### soon</think>\n In Gent? ", "Thanks! ###STOP###"]
    async with serve_chat(lines, in_order=True) as server:
        report, (trajectory,) = await played(reach, simulated(), base_url=server.base_url)
    assert [message.text for message in trajectory.messages if message.role == "user"] == ["Is it raining?", "In Gent?"]
    assert trajectory.stop == "completed"
    first, second = (received.body for received in server.requests)
    assert (first["model"], first["temperature"]) == ("someone", 0.5)
    assert "Learn of the weather in Gent." in first["messages"][0]["content"]
    assert "And in Rome?" in first["messages"][0]["content"]
    assert "You said: In Gent?" in second["messages"][0]["content"]
    part = trajectory.metadata["simulated_user"]
    assert (part["mode"], part["model"], part["done"], part["usage"]["calls"]) == ("model", "someone", "said", 2)
    assert {call.model for call in trajectory.calls} == {"echo"}  # its own calls are no part of the agent's
    assert report.user is not None
    assert report.user["tokens"] == part["usage"]["prompt_tokens"] + part["usage"]["completion_tokens"] > 0
    assert (report.user["who"], report.user["replays"], report.user["exact"]) == (["played by someone"], 0, 0)
    assert report.tokens["prompt"] == trajectory.tokens("prompt") < part["usage"]["prompt_tokens"]


async def test_the_users_own_limit_of_turns_is_a_clean_end(reach: Reach) -> None:
    user = ModelUser(model="someone", max_turns=2)
    async with serve_chat(lambda body: "Another thing.") as server:
        report, (trajectory,) = await played(reach, simulated(user=user), base_url=server.base_url)
    assert (trajectory.stop, trajectory.turns, len(server.requests)) == ("completed", 3, 2)
    assert trajectory.metadata["simulated_user"]["done"] == "max_turns"
    assert (report.valid, report.user and report.user["at_most"]) == (1, 1)


async def test_the_agents_limits_count_its_own_turns_and_stop_it_as_ever(reach: Reach) -> None:
    report, (trajectory,) = await played(reach, weather(limits=Limits(turns=2)))
    assert (trajectory.stop, trajectory.turns) == ("limit_turns", 2)
    assert report.valid == 1
    assert report.user is not None
    assert (report.user["replays"], report.user["exact"]) == (1, 0)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (Failure(400, "out of order"), "could not be asked"),
        ("", "said nothing"),
        (says("<think>what to say"), "said nothing"),
    ],
)
async def test_a_model_that_says_nothing_as_the_user_makes_the_rollout_invalid_not_bad(
    name: str, line: Any, said: str, reach: Reach
) -> None:
    async with serve_chat([line] * 9, in_order=True) as server:
        changes: Any = {"base_url": server.base_url, "harness": load_harness(name, OWN[name]), "retries": 1}
        report, (trajectory,) = await played(reach, simulated(rubric=[heard_all]), **changes)
    assert (report.valid, report.invalid, report.errors) == (0, 1, {"user_failed": 1})
    assert (trajectory.stop, trajectory.attempt, report.retried) == ("user_failed", 1, 1)
    assert trajectory.error is not None
    assert said in trajectory.error
    assert report.examples["user_failed"] == trajectory.error
    assert not trajectory.scores


async def test_another_attempt_may_find_the_users_model_up_again(reach: Reach) -> None:
    lines: list[Line] = [Failure(401, "not yet"), "In Gent?", "###STOP###"]
    async with serve_chat(lines, in_order=True) as server:
        report, (trajectory,) = await played(reach, simulated(), base_url=server.base_url, retries=1)
    assert (report.valid, report.retried, trajectory.stop, trajectory.turns) == (1, 1, "completed", 2)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (RuntimeError("no idea"), "RuntimeError: no idea"),
        ({"role": "assistant", "content": "I am the agent."}, "no message of a user"),
        (" ", "no text"),
        ({"content": [object()]}, "JSON cannot hold"),
        (7, "no text"),
    ],
)
async def test_a_user_of_ones_own_that_fails_makes_the_rollout_invalid(line: Any, said: str, reach: Reach) -> None:
    report, (trajectory,) = await played(reach, weather(user=Scripted([line])))
    assert (report.errors, trajectory.stop) == ({"user_failed": 1}, "user_failed")
    assert trajectory.error is not None
    assert said in trajectory.error


async def test_a_user_that_takes_too_long_is_not_waited_for(reach: Reach) -> None:
    user = ModelUser(model="someone", timeout=0.05)
    async with serve_chat(lambda body: Hang()) as server:
        report, (trajectory,) = await played(reach, simulated(user=user), base_url=server.base_url)
    assert report.errors == {"user_failed": 1}
    assert trajectory.error is not None
    assert "within 0.05 s" in trajectory.error


async def test_the_rollouts_limit_of_time_holds_while_the_user_thinks(reach: Reach) -> None:
    async with serve_chat(lambda body: Hang()) as server:
        environment = simulated(limits=Limits(seconds=0.5))
        report, (trajectory,) = await played(reach, environment, base_url=server.base_url)
        await server.left.wait()  # nobody waits for an answer that nobody wants
    assert (report.stops, trajectory.stop) == ({"limit_time": 1}, "limit_time")


async def test_a_user_that_never_ends_stops_at_the_limit_of_turns(reach: Reach) -> None:
    class Endless:
        async def reply(self, conversation: Conversation, /) -> str:
            return "And?"

    report, (trajectory,) = await played(reach, weather(user=Endless(), rubric=[]))
    assert (report.valid, trajectory.stop, trajectory.turns) == (1, "limit_turns", 50)


async def test_a_program_that_leaves_while_the_user_has_more_to_say_does_not_count(
    reach: Reach, tmp_path: Path
) -> None:
    text = PROGRAM.read_text("utf-8").replace("DRAWBAR_USER_URL", "NOBODY_KNOWS")
    deaf = tmp_path / "deaf.py"
    deaf.write_text(text, "utf-8")
    harness = load_harness("command", {"command": f"{sys.executable} {deaf}"})
    report, (trajectory,) = await played(reach, weather(), harness=harness)
    assert report.errors == {"harness_failed": 1}
    assert trajectory.error is not None
    assert "DRAWBAR_USER_URL" in trajectory.error


class OneRequest:
    """A harness that knows nothing of users."""

    name = "one_request"

    async def run(self, assignment: Assignment, /) -> Outcome:
        raise AssertionError("the run was to be refused")


async def test_a_harness_that_plays_one_request_is_refused_before_the_run_begins(reach: Reach) -> None:
    harness: Harness = OneRequest()
    async with reach(environment := weather()) as access:
        with pytest.raises(ConfigurationError, match="one_request can play one request alone") as refused:
            await run(planned(environment, harness=harness), access)
    assert "chat, " in str(refused.value)
    assert "loop" in str(refused.value)


async def test_a_harness_that_plays_one_request_still_plays_tasks_without_a_user(reach: Reach) -> None:
    class One:
        name = "one"

        async def run(self, assignment: Assignment, /) -> Outcome:
            assert assignment.user_url is None
            return await ChatHarness().run(assignment)

    report, _ = await played(reach, weather(tasks=[Task(prompt="Hi")], rubric=[]), harness=One())
    assert (report.valid, report.user) == (1, None)


async def test_a_template_that_asks_for_what_a_task_has_not_is_refused_before_the_run_begins(reach: Reach) -> None:
    environment = simulated(user=ModelUser(model="someone", template="{{ info.persona }}: {{ goal }}"))
    async with reach(environment) as access:
        with pytest.raises(ConfigurationError, match=r"Task 't'.*persona"):
            await run(planned(environment), access)


async def test_the_model_that_a_run_names_plays_in_the_place_of_the_environments(reach: Reach) -> None:
    async with serve_chat(["###STOP###"], in_order=True) as server:
        report, (trajectory,) = await played(reach, weather(rubric=[]), base_url=server.base_url, user_model="another")
    assert [received.body["model"] for received in server.requests] == ["another"]
    assert trajectory.metadata["simulated_user"]["model"] == "another"
    assert report.valid == 1


async def test_sixty_four_rollouts_at_a_time_keep_their_users_apart(reach: Reach) -> None:
    tasks = [Task(key=f"t{n}", prompt=f"I am {n}.", user_turns=[f"{n}, one", f"{n}, two"]) for n in range(16)]
    environment = weather(tasks=tasks, rubric=[])
    report, trajectories = await played(reach, environment, rollouts=4, concurrency=64, harness=load_harness("loop"))
    assert (report.valid, report.user and report.user["exact"]) == (64, 64)
    for trajectory in trajectories:
        assert trajectory.task is not None
        said = [message.text for message in trajectory.messages if message.role == "user"]
        assert said == [trajectory.task.prompt, *trajectory.task.user_turns]


async def test_an_interrupted_run_ends_users_under_way_and_plays_them_again_when_it_is_resumed(
    reach: Reach, read: Any
) -> None:
    environment, stop, asked = simulated(), anyio.CancelScope(), 0

    def line(body: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            stop.cancel()
            return Hang()
        return "###STOP###"

    plan = planned(environment)
    async with serve_chat(line) as server:
        async with reach(environment, base_url=server.base_url) as access:
            first = await run(plan, access, stop=stop)
            await server.left.wait()
        assert (first.run.status, first.rollouts) == ("interrupted", 0)
        store = read()
        (session,) = store.sessions(run=plan.run)
        store.close()
        assert (session.status, session.stop) == ("ended", "cancelled")
        async with reach(environment, base_url=server.base_url) as access:
            second = await run(plan, access, history=await access.results(plan.run))
    assert (second.run.status, second.valid, second.user and second.user["turns"]) == ("finished", 1, 0)
