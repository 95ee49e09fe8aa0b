"""Requests that name no session: taken together by who sends them, else by what they go on from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from aiohttp import web

from drawbar.proxy.settings import Settings
from drawbar.record.rows import Row, SessionRow
from drawbar.record.store import Store
from drawbar.trajectory import Trajectory

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse, Provider

Messages = list[dict[str, Any]]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


@pytest.fixture(autouse=True)
def numbered(provider: Provider) -> None:
    """Each answer is another one."""

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(provider.completion(f"answer {len(provider.raw)}"))

    provider.answer = answer


class Agent:
    """A client that resends its whole conversation, as agents do."""

    def __init__(self, house: House, key: str = "sk-one", **headers: str) -> None:
        self.house = house
        self.headers = {"authorization": f"Bearer {key}", **headers}
        self.said: Messages = []

    async def say(self, text: str, **fields: Any) -> dict[str, Any]:
        self.said.append(user(text))
        reply = await self.ask(self.said, **fields)
        self.said.append(reply)
        return reply

    async def ask(self, messages: Messages, **fields: Any) -> dict[str, Any]:
        headers = {**self.headers, **fields.pop("headers", {})}
        response = await self.house.post(None, {"model": "m", "messages": messages, **fields}, headers=headers)
        body: dict[str, Any] = json.loads(await response.read())
        return body["choices"][0]["message"] if response.status == 200 else body


async def recorded(house: House) -> list[Trajectory]:
    """All sessions, the oldest first."""
    await house.gateway.recorder.commit()
    rows = house.gateway.store.sessions()
    return [house.gateway.store.trajectory(row.id) for row in sorted(rows, key=lambda row: row.started)]


async def rows(house: House) -> list[SessionRow]:
    await house.gateway.recorder.commit()
    return house.gateway.store.sessions()


async def test_a_conversation_is_one_session(house: House) -> None:
    agent = Agent(house)
    for text in ("a", "b", "c"):
        await agent.say(text)
    (trajectory,) = await recorded(house)
    assert [call.seq for call in trajectory.calls] == [0, 1, 2]
    assert [call.edge for call in trajectory.calls] == [None, "exact", "exact"]
    assert [call.follows for call in trajectory.calls] == [None, *(call.id for call in trajectory.calls[:2])]
    assert [message.text for message in trajectory.messages] == ["a", "answer 1", "b", "answer 2", "c", "answer 3"]
    assert trajectory.status == "open"


async def test_conversations_that_begin_alike_are_sessions_of_their_own(house: House) -> None:
    agents = [Agent(house) for _ in range(3)]
    for text in ("the same", "again", "and again"):
        for agent in agents:
            await agent.say(text)
    trajectories = await recorded(house)
    assert [trajectory.turns for trajectory in trajectories] == [3, 3, 3]
    for agent, trajectory in zip(agents, trajectories, strict=True):
        assert [message.text for message in trajectory.messages] == [said["content"] for said in agent.said]


async def test_conversations_that_are_alike_to_the_last_are_sessions_of_their_own(
    house: House, provider: Provider
) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(provider.completion("the same answer"))

    provider.answer = answer
    agents = [Agent(house) for _ in range(3)]
    for text in ("the same", "again", "and again"):
        for agent in agents:
            await agent.say(text)
    assert [trajectory.turns for trajectory in await recorded(house)] == [3, 3, 3]


async def test_clients_with_other_keys_share_no_session(house: House) -> None:
    one, other = Agent(house, "sk-one"), Agent(house, "sk-other")
    await one.say("a")
    other.said = list(one.said)
    await other.say("b")
    assert [trajectory.turns for trajectory in await recorded(house)] == [1, 1]


async def test_a_request_that_is_sent_again_after_it_failed_stays_in_its_session(
    house: House, provider: Provider
) -> None:
    statuses = iter([400, 400, 200])

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(provider.completion("at last"), status=next(statuses))

    provider.answer = answer
    agent = Agent(house)
    await agent.ask([user("a")])
    await agent.ask([user("a")])
    await agent.say("a")
    (trajectory,) = await recorded(house)
    assert (trajectory.turns, trajectory.completion) == (1, "at last")


async def test_going_on_from_an_earlier_turn_makes_a_branch(house: House) -> None:
    agent = Agent(house)
    await agent.say("a")
    early = list(agent.said)
    await agent.say("b")
    await agent.ask([*early, user("another b")])
    (trajectory,) = await recorded(house)
    assert [call.follows for call in trajectory.calls[1:]] == [trajectory.calls[0].id] * 2
    assert len(list(trajectory.branches)) == 2


async def test_an_agent_that_names_its_session_has_one_whatever_it_says(house: House) -> None:
    agent = Agent(house, **{"x-claude-code-session-id": "s1"})
    await agent.say("a")
    await agent.ask([user("something else entirely")])
    await agent.ask([user("a")], headers={"x-claude-code-agent-id": "sub"})
    await Agent(house, **{"x-claude-code-session-id": "s2"}).say("a")
    first, second = await recorded(house)
    assert (first.turns, second.turns) == (3, 1)
    assert (first.harness, first.calls[2].thread) == ("claude_code", "sub")


async def test_a_sub_agent_with_a_session_of_its_own_belongs_to_the_one_that_started_it(house: House) -> None:
    main = Agent(house, **{"user-agent": "opencode/1", "x-session-id": "ses_main"})
    sub = Agent(house, **{"user-agent": "opencode/1", "x-session-id": "ses_sub", "x-parent-session-id": "ses_main"})
    await main.say("a")
    await sub.say("b")
    await main.say("c")
    (trajectory,) = await recorded(house)
    assert [(call.thread, call.parent_thread) for call in trajectory.calls] == [
        (None, None), ("ses_sub", "ses_main"), (None, None),
    ]  # fmt: skip


async def test_a_restarted_gateway_goes_on_with_live_sessions(serve: MakeHouse) -> None:
    async with serve() as house:
        named = Agent(house, **{"x-claude-code-session-id": "s1"})
        unnamed = Agent(house)
        for agent in (named, unnamed):
            await agent.say("a")
            await agent.say("b")
    async with serve() as house:
        for agent in (named, unnamed):
            agent.house = house
            await agent.say("c")
        trajectories = await recorded(house)
    assert [trajectory.turns for trajectory in trajectories] == [3, 3]
    for trajectory in trajectories:
        assert [call.edge for call in trajectory.calls] == [None, "exact", "exact"]
        assert [call.seq for call in trajectory.calls] == [0, 1, 2]


def _ended(rows: Sequence[Row]) -> bool:
    return any(isinstance(row, SessionRow) and row.status == "ended" for row in rows)


@pytest.mark.parametrize("headers", [{}, {"x-claude-code-session-id": "s1"}], ids=["by content", "by name"])
async def test_a_session_that_nobody_uses_ends_and_a_new_one_continues_it(
    serve: MakeHouse, headers: dict[str, str]
) -> None:
    async with serve(settings=Settings(live_idle=0.05)) as house:
        agent, over = Agent(house, **headers), anyio.Event()
        house.gateway.recorder.listeners.append(lambda rows: over.set() if _ended(rows) else None)
        await agent.say("a")
        with anyio.fail_after(10):
            await over.wait()
        (first,) = await recorded(house)
        assert (first.stop, first.ended) == ("completed", first.calls[0].ended)
        await agent.say("b")
        first, second = await recorded(house)
    assert (first.turns, second.turns, second.continues) == (1, 1, first.id)
    assert [message.text for message in second.messages] == ["a", "answer 1", "b", "answer 2"]


async def test_live_sessions_that_an_earlier_gateway_left_open_are_ended_by_the_next(
    serve: MakeHouse, tmp_path: Path
) -> None:
    store = Store.open(tmp_path / "test.db")
    store.write([SessionRow(id="ses_left", started=1.0, origin="content"), SessionRow(id="ses_rollout", started=1.0)])
    async with serve(store=store) as house:
        assert {row.id: row.status for row in await rows(house)} == {"ses_left": "ended", "ses_rollout": "open"}


async def test_a_request_that_cannot_be_read_is_a_session_that_has_ended(house: House) -> None:
    assert (await house.post(None, b"nonsense")).status == 400
    (trajectory,) = await recorded(house)
    assert (trajectory.status, trajectory.stop) == ("ended", "bad_request")
    (call,) = trajectory.calls
    assert (call.status, call.cause) == ("refused", "bad_request")


async def test_a_conversation_that_goes_on_by_name_is_one_session(house: House, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hm"}]}
        return web.json_response(
            {"id": f"resp_{len(provider.raw)}", "model": "m", "status": "completed", "output": [said]}
        )

    provider.answer = answer
    for previous in (None, "resp_1", "resp_2"):
        body = {"model": "m", "input": "go on", **({"previous_response_id": previous} if previous else {})}
        assert (await house.post(None, body, path="/v1/responses")).status == 200
    (trajectory,) = await recorded(house)
    assert [call.edge for call in trajectory.calls] == [None, "exact", "exact"]
    assert len(trajectory.messages) == 6


LONG = "Find out which river flows through the town of Ghent"


async def test_a_sub_agent_that_names_nothing_is_known_by_the_tool_use_that_started_it(
    house: House, provider: Provider
) -> None:
    use = {"id": "c1", "type": "function", "function": {"name": "task", "arguments": json.dumps({"prompt": LONG})}}

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if body["messages"][-1]["content"] == "start":
            completion = provider.completion("")
            completion["choices"][0]["message"]["tool_calls"] = [use]
            return web.json_response(completion)
        return web.json_response(provider.completion("The Lys."))

    provider.answer = answer
    main = Agent(house)
    await main.say("start")
    await Agent(house).say(LONG)
    await main.ask([*main.said, {"role": "tool", "tool_call_id": "c1", "content": "The Lys."}])
    await Agent(house).say(LONG)  # once it has its result, the same words are somebody else's
    first, second = await recorded(house)
    assert (first.turns, second.turns) == (3, 1)


async def test_a_conversation_that_was_made_shorter_stays_in_its_session(house: House, provider: Provider) -> None:
    summary = "Summary: the user asked for rivers, and got the Lys."

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        asks = "Summarise" in body["messages"][-1]["content"]
        return web.json_response(provider.completion(summary if asks else "The Lys."))

    provider.answer = answer
    agent = Agent(house)
    await agent.say("which river?")
    await agent.ask([*agent.said, user("Summarise this conversation.")])
    await agent.ask([user(f"What we did so far:\n{summary}\nGo on.")])
    (trajectory,) = await recorded(house)
    assert trajectory.turns == 3


async def test_words_that_are_added_to_what_was_not_answered_go_on_from_it(
    serve: MakeHouse, provider: Provider
) -> None:
    """Claude Code's ways: after a failure its user's next words come in the same message, also in a new process."""
    statuses = iter([403, 200, 200, 403, 200])

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        reply = {"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "yes"}]}
        return web.json_response({**reply, "usage": {"input_tokens": 1, "output_tokens": 1}}, status=next(statuses))

    provider.answer = answer
    headers = {"x-claude-code-session-id": "s1"}

    def said(*texts: str) -> dict[str, Any]:
        return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}

    async def ask(house: House, *messages: dict[str, Any]) -> None:
        body = {"model": "m", "max_tokens": 9, "messages": messages}
        await (await house.post(None, body, path="/v1/messages", headers=headers)).read()

    async with serve() as house:
        await ask(house, said("a"))
    yes = {"role": "assistant", "content": [{"type": "text", "text": "yes"}]}
    async with serve() as house:
        await ask(house, said("a", "b"))
        await ask(house, said("a", "b"), yes, said("c"))
        await ask(house, said("a", "b"), yes, said("c"), yes, said("d"))
        await ask(house, said("a", "b"), yes, said("c"), yes, said("d", "e"))
        (trajectory,) = await recorded(house)
    ids = [call.id for call in trajectory.calls]
    assert [call.follows for call in trajectory.calls] == [None, *ids[:4]]
    assert [call.edge for call in trajectory.calls] == [None, "none", "exact", "exact", "none"]
    assert [thread.name for thread in trajectory.threads] == ["main"]
    assert {finding.name for finding in trajectory.health} == {"failed_call"}
    assert trajectory.messages[0].text == "ab"


def task_of(provider: Provider, prompt: str) -> web.StreamResponse:
    """An answer that calls a tool with this text."""
    arguments = json.dumps({"prompt": prompt})
    completion = provider.completion("")
    completion["choices"][0]["message"]["tool_calls"] = [
        {"id": "c1", "type": "function", "function": {"name": "task", "arguments": arguments}}
    ]
    return web.json_response(completion)


async def test_a_sub_agent_that_works_on_its_own_belongs_to_the_session_although_its_caller_went_on(
    house: House, provider: Provider
) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if body["messages"][-1]["content"] == "start":
            return task_of(provider, LONG)
        return web.json_response(provider.completion("The Lys."))

    provider.answer = answer
    main = Agent(house)
    await main.say("start")
    await main.ask([*main.said, {"role": "tool", "tool_call_id": "c1", "content": "It was launched."}])
    await Agent(house).say(LONG)
    (trajectory,) = await recorded(house)
    assert trajectory.turns == 3
    assert [thread.name for thread in trajectory.threads] == ["main", "sub-agent 1"]


async def test_agents_at_the_same_task_are_no_sub_agents_of_each_other_though_a_model_quotes_its_prompt(
    house: House, provider: Provider
) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return task_of(provider, LONG)

    provider.answer = answer
    for _ in range(3):
        await Agent(house).ask([{"role": "system", "content": "Be brief."}, user(f"{LONG}?")])
    assert [trajectory.turns for trajectory in await recorded(house)] == [1, 1, 1]


async def test_a_side_call_before_its_conversation_is_in_the_session_that_it_was_made_for(house: House) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    for _ in range(2):
        route = [{"role": "system", "content": "Which model is to have it?"}, user("Is it raining in Ghent?")]
        await Agent(house).ask(route)
        agent = Agent(house)
        await agent.say("Is it raining in Ghent?", tools=tools)
        await agent.say("And in Bath?", tools=tools)
    trajectories = await recorded(house)
    assert [trajectory.turns for trajectory in trajectories] == [3, 3]
    for trajectory in trajectories:
        assert [(thread.name, len(thread.calls)) for thread in trajectory.threads] == [("main", 2), ("side call 1", 1)]
