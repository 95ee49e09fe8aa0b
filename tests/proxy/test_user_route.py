"""`POST /s/{key}/user`: what any program gets that asks what its user says next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from drawbar import Conversation, Environment, ModelUser, Task, Trajectory
from drawbar.gateway import Gateway
from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings
from drawbar.record.redaction import Redact
from drawbar.record.store import Store
from drawbar.serving import serving
from drawbar.sessions import Session, SessionSpec
from drawbar.testing import says

TASK = Task(key="t", prompt="Is it raining?", user_turns=["In Gent.", "In Rome."], system="Be brief.")


async def echo(messages: Sequence[Mapping[str, Any]], tools: Any, task: Any, /) -> Mapping[str, Any]:
    return says(f"Heard: {messages[-1]['content']}")


@dataclass
class Agent:
    """Any program: it asks its model, and its user."""

    http: aiohttp.ClientSession
    url: str
    session: Session

    @property
    def prefix(self) -> str:
        return f"{self.url}/s/{self.session.key}"

    async def answers(self, *messages: str) -> None:
        """Its model answers this conversation."""
        body = {"model": "echo", "messages": [{"role": "user", "content": text} for text in messages]}
        async with self.http.post(f"{self.prefix}/v1/chat/completions", json=body) as response:
            assert response.status == 200, await response.text()

    async def hears(self, body: Any = None, status: int = 200) -> Any:
        """What the user says."""
        async with self.http.post(f"{self.prefix}/user", json=body) as response:
            assert response.status == status, await response.text()
            return await response.json()


@dataclass
class Place:
    """Gateways whose models are those of their environment alone, one after the other or side by side, on one store."""

    path: Path
    environment: Environment

    @asynccontextmanager
    async def gateway(self, redact: Redact | None = None) -> AsyncIterator[tuple[Gateway, str]]:
        store = Store.open(self.path)
        environments = {self.environment.name: self.environment}
        models = Models()
        try:
            gateway = Gateway(store, models, environments=environments, settings=Settings(), redact=redact)
            async with gateway, serving(gateway, grace=0.5) as url:
                yield gateway, url
        finally:
            store.close()

    @asynccontextmanager
    async def agent(self, task: Task | None = TASK) -> AsyncIterator[tuple[Gateway, Agent]]:
        async with self.gateway() as (gateway, url), aiohttp.ClientSession() as http:
            yield gateway, Agent(http, url, await gateway.open(SessionSpec(environment="weather", task=task)))

    async def ended(self, gateway: Gateway, agent: Agent, stop: str = "completed") -> Trajectory:
        await gateway.end(agent.session.id, stop=stop)
        return await gateway.checkups.trajectory(agent.session.id)


def at(tmp_path: Path, **changes: Any) -> Place:
    return Place(tmp_path / "drawbar.db", Environment(**{"name": "weather", "models": {"echo": echo}, **changes}))


def said(turn: int, text: str) -> dict[str, Any]:
    return {"turn": turn, "message": {"role": "user", "content": text}, "done": False}


async def test_the_user_speaks_once_after_each_answer_and_then_is_done(tmp_path: Path) -> None:
    place = at(tmp_path)
    async with place.agent() as (gateway, agent):
        await agent.answers("Is it raining?")
        assert await agent.hears() == said(0, "In Gent.")
        assert await agent.hears() == said(0, "In Gent.")  # it has not answered that yet
        await agent.answers("Is it raining?", "In Gent.")
        assert await agent.hears({}) == said(1, "In Rome.")
        await agent.answers("Is it raining?", "In Gent.", "In Rome.")
        for _ in range(2):
            assert await agent.hears() == {"turn": 2, "message": None, "done": True}
        trajectory = await place.ended(gateway, agent)
    assert (trajectory.stop, trajectory.error) == ("completed", None)
    assert trajectory.metadata["simulated_user"]["done"] == "said"


async def test_a_turn_by_its_number_is_the_same_however_often_it_is_asked_for(tmp_path: Path) -> None:
    async with at(tmp_path).agent() as (_, agent):
        await agent.answers("Is it raining?")
        first, second = await asyncio.gather(agent.hears({"turn": 0}), agent.hears({"turn": 0}))
        assert first == second == said(0, "In Gent.")
        assert await agent.hears({"turn": 1}) == said(1, "In Rome.")  # an agent that had its answer elsewhere
        assert await agent.hears({"turn": 0}) == said(0, "In Gent.")
        refused = await agent.hears({"turn": 3}, status=400)
        assert "has spoken 2 times" in refused["error"]["message"]


async def test_requests_at_the_same_time_ask_the_users_model_once(tmp_path: Path) -> None:
    asked: list[str] = []

    async def someone(messages: Any, tools: Any, task: Any, /) -> Mapping[str, Any]:
        asked.append(messages[-1]["content"])
        await asyncio.sleep(0)
        return says(f"Line {len(asked)}")

    place = at(tmp_path, user=ModelUser(model="someone"), models={"echo": echo, "someone": someone})
    async with place.agent() as (_, agent):
        await agent.answers("Is it raining?")
        found = await asyncio.gather(*(agent.hears({"turn": 0}) for _ in range(8)), *(agent.hears() for _ in range(8)))
    assert found == [said(0, "Line 1")] * 16
    assert len(asked) == 1


async def test_a_client_that_leaves_and_asks_again_gets_what_it_missed(tmp_path: Path) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        calls = 0

        async def reply(self, conversation: Conversation, /) -> str:
            self.calls += 1
            asked.set()
            await go_on.wait()
            return f"Line {self.calls}"

    place = at(tmp_path, user=Slow())
    async with place.agent() as (_, agent):
        await agent.answers("Is it raining?")
        waiting = asyncio.create_task(agent.hears())
        await asked.wait()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        go_on.set()
        assert await agent.hears() == said(0, "Line 1")


async def test_an_agent_may_say_itself_what_it_answered(tmp_path: Path) -> None:
    heard: list[Any] = []

    class Listening:
        async def reply(self, conversation: Conversation, /) -> str:
            heard.append([message["content"] for message in conversation.messages])
            return "Go on."

    async with at(tmp_path, user=Listening()).agent() as (_, agent):
        assert await agent.hears({"turn": 0, "answer": "My own words."}) == said(0, "Go on.")
        await agent.answers("Is it raining?", "Go on.")
        assert await agent.hears({"turn": 1}) == said(1, "Go on.")
    assert heard == [["Is it raining?", "My own words."],
                     ["Is it raining?", "My own words.", "Go on.", "Heard: Go on."]]  # fmt: skip


async def test_it_says_what_is_wrong_with_a_request(tmp_path: Path) -> None:
    async with at(tmp_path).agent() as (_, agent):
        early = await agent.hears(status=400)
        assert "has not answered anything yet" in early["error"]["message"]
        await agent.answers("Is it raining?")
        for body in ({"turn": -1}, {"turn": "0"}, {"turn": True}, {"answer": 7}, [1]):
            refused = await agent.hears(body, status=400)
            assert refused["error"]["code"] == "bad_request"
        async with agent.http.get(f"{agent.prefix}/user") as response:
            assert (response.status, response.headers["allow"]) == (405, "POST")
        async with agent.http.post(f"{agent.url}/s/dbk_nobody/user") as response:
            assert response.status == 401
        assert await agent.hears() == said(0, "In Gent.")


async def test_a_session_whose_task_is_one_request_has_no_user(tmp_path: Path) -> None:
    for task in (None, Task(prompt="Hi")):
        async with at(tmp_path).agent(task) as (gateway, agent):
            await agent.answers("Hi")
            refused = await agent.hears(status=404)
            assert refused["error"]["code"] == "no_user"
            await gateway.end(agent.session.id, stop="completed")
            assert (await gateway.checkups.trajectory(agent.session.id)).stop == "completed"


async def test_a_session_that_has_ended_hears_nothing_more(tmp_path: Path) -> None:
    place = at(tmp_path)
    async with place.agent() as (gateway, agent):
        await agent.answers("Is it raining?")
        await place.ended(gateway, agent, stop="limit_time")
        refused = await agent.hears(status=409)
    assert refused["error"]["code"] == "limit_time"


async def test_the_end_of_a_session_does_not_wait_for_its_user(tmp_path: Path) -> None:
    asked = asyncio.Event()

    class Silent:
        async def reply(self, conversation: Conversation, /) -> None:
            asked.set()
            await asyncio.Event().wait()

    place = at(tmp_path, user=Silent())
    async with place.agent() as (gateway, agent):
        await agent.answers("Is it raining?")
        waiting = asyncio.create_task(agent.hears(status=409))
        await asked.wait()
        trajectory = await place.ended(gateway, agent, stop="limit_time")
        assert (await waiting)["error"]["code"] == "limit_time"
    assert (trajectory.stop, trajectory.status) == ("limit_time", "ended")


async def test_a_user_that_failed_stops_the_session_and_says_so_to_whoever_asks_again(tmp_path: Path) -> None:
    class Broken:
        async def reply(self, conversation: Conversation, /) -> str:
            raise KeyError("persona")

    place = at(tmp_path, user=Broken())
    async with place.agent() as (gateway, agent):
        await agent.answers("Is it raining?")
        for _ in range(2):
            refused = await agent.hears(status=409)
            assert refused["error"]["code"] == "user_failed"
        body = {"model": "echo", "messages": [{"role": "user", "content": "more"}]}
        async with agent.http.post(f"{agent.prefix}/v1/chat/completions", json=body) as response:
            assert response.status == 409
        trajectory = await place.ended(gateway, agent, stop="agent_failed")
    assert trajectory.stop == "user_failed"
    assert trajectory.error == "The user Broken failed: KeyError: 'persona'"


async def test_a_restarted_gateway_goes_on_where_the_user_was(tmp_path: Path) -> None:
    place = at(tmp_path)
    async with place.agent() as (_, agent):
        await agent.answers("Is it raining?")
        assert await agent.hears() == said(0, "In Gent.")
    async with place.gateway() as (gateway, url), aiohttp.ClientSession() as http:
        agent = Agent(http, url, agent.session)
        assert await agent.hears() == said(0, "In Gent.")
        await agent.answers("Is it raining?", "In Gent.")
        assert await agent.hears() == said(1, "In Rome.")
        await agent.answers("Is it raining?", "In Gent.", "In Rome.")
        assert (await agent.hears())["done"]
        trajectory = await place.ended(gateway, agent)
    assert trajectory.stop == "completed"
    assert [turn["message"]["content"] for turn in trajectory.metadata["simulated_user"]["turns"]] == [
        "In Gent.", "In Rome.",
    ]  # fmt: skip


async def test_a_user_that_failed_is_not_asked_again_by_a_restarted_gateway(tmp_path: Path) -> None:
    class Broken:
        async def reply(self, conversation: Conversation, /) -> str:
            raise KeyError("persona")

    place = at(tmp_path, user=Broken())
    async with place.agent() as (_, agent):
        await agent.answers("Is it raining?")
        await agent.hears(status=409)
    async with place.gateway() as (gateway, url), aiohttp.ClientSession() as http:
        agent = Agent(http, url, agent.session)
        assert (await agent.hears(status=409))["error"]["code"] == "user_failed"
        assert (await place.ended(gateway, agent)).stop == "user_failed"


async def test_what_the_user_said_is_redacted_before_it_is_kept_and_not_before_it_is_said(tmp_path: Path) -> None:
    place = at(tmp_path)
    async with (
        place.gateway(lambda body: body.replace(b"Gent", b"[town]")) as (gateway, url),
        aiohttp.ClientSession() as http,
    ):
        agent = Agent(http, url, await gateway.open(SessionSpec(environment="weather", task=TASK)))
        await agent.answers("Is it raining?")
        assert await agent.hears() == said(0, "In Gent.")
        assert await agent.hears() == said(0, "In Gent.")
        trajectory = await place.ended(gateway, agent, stop="limit_turns")
    assert trajectory.metadata["simulated_user"]["turns"][0]["message"]["content"] == "In [town]."


@pytest.mark.parametrize("stop", ["completed", "agent_failed"])
async def test_an_agent_that_leaves_the_user_with_more_to_say_has_not_completed_its_task(
    stop: str, tmp_path: Path
) -> None:
    place = at(tmp_path)
    async with place.agent() as (gateway, agent):
        await agent.answers("Is it raining?")
        trajectory = await place.ended(gateway, agent, stop=stop)
    assert trajectory.stop == {"completed": "harness_failed"}.get(stop, stop)
