"""Cassettes at a gateway that runs elsewhere: for rollouts by its HTTP API, and for live agents that know two URLs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from mcp.server import MCPServer

from drawbar.environment import Environment
from drawbar.gateway import Gateway
from drawbar.proxy.models import Models
from drawbar.record.store import Store
from drawbar.rollout.engine import run
from drawbar.rollout.harnesses import load_harness
from drawbar.rollout.plan import Plan
from drawbar.rollout.remote import connected
from drawbar.server import PythonServer
from drawbar.serving import serving
from drawbar.task import Task
from drawbar.testing import calls, says
from drawbar.tools.cassettes.environments import recorded_to, replayed_from
from drawbar.tools.cassettes.settings import Mode

STATES = ["paid", "packed", "sent"]
TASKS = [Task(key=name, prompt=f"I am {name}. Where is order 1?", answer="sent") for name in ("kim", "lou", "ada")]


async def clerk(messages: Sequence[Mapping[str, Any]], tools: Any, task: Task | None) -> Mapping[str, Any]:
    """Looks as often as there are states, and says the last."""
    seen = [message["content"] for message in messages if message["role"] == "tool"]
    return calls("order", number=1) if len(seen) < len(STATES) else says(seen[-1])


def right(completion: str, answer: str) -> bool:
    return completion == answer


class Shop:
    """An order goes on with every look at it. Each session has one of its own."""

    looks = 0

    def server(self) -> MCPServer[Any]:
        states = iter(STATES)

        async def order(number: int) -> str:
            """Where an order is."""
            Shop.looks += 1
            return next(states)

        server: MCPServer[Any] = MCPServer("shop", subscriptions=False, log_level="WARNING")
        server.add_tool(order, structured_output=False)
        return server

    def environment(self) -> Environment:
        servers = {"shop": PythonServer(server=self.server, scope="session")}
        return Environment(name="shop", servers=servers, tasks=TASKS, rubric=[right], models={"clerk": clerk})


@asynccontextmanager
async def gateway(store_url: str, environment: Environment) -> AsyncIterator[tuple[Gateway, str]]:
    store = Store.open(store_url)
    try:
        models = Models(in_process=environment.models)
        async with Gateway(store, models, environments={"shop": environment}) as made, serving(made, grace=0.5) as url:
            yield made, url
    finally:
        store.close()


async def rolled_out(store_url: str, environment: Environment) -> Any:
    async with gateway(store_url, environment) as (_, url), connected(url, None) as access:
        plan = Plan(environment=environment, harness=load_harness("loop"), model="clerk", retries=0)
        return await run(plan, access)


@pytest.fixture
async def tape(store_url: str, tmp_path: Path) -> Path:
    """What the shop said to a clerk of each task."""
    path = tmp_path / "shop.jsonl"
    report = await rolled_out(store_url, recorded_to(Shop().environment(), path))
    assert (report.reward.mean, report.cassettes) == (1.0, [])
    return path


@pytest.mark.parametrize("mode", ["strict", "by-arguments"])
async def test_a_run_at_a_gateway_elsewhere_is_replayed_with_its_drift(store_url: str, tape: Path, mode: Mode) -> None:
    before = Shop.looks
    report = await rolled_out(store_url, replayed_from(Shop().environment(), tape, mode))
    assert (report.reward.mean, report.valid, Shop.looks) == (1.0, len(TASKS), before)
    (drift,) = report.cassettes
    assert (drift["mode"], drift["hits"], drift["misses"], drift["unused"]) == (mode, 9, 0, 0)


class Live:
    """A conversation of an agent that knows the gateway's two URLs."""

    def __init__(self, http: aiohttp.ClientSession, url: str, name: str) -> None:
        self._http, self._url = http, url
        self._messages: list[Any] = [{"role": "user", "content": f"I am {name}. Where is order 1?"}]

    async def step(self) -> str:
        """Asks the model, and the tool that it asks for; what was said last."""
        reply = await self._posted("/v1/chat/completions", {"model": "clerk", "messages": self._messages})
        message = reply["choices"][0]["message"]
        self._messages.append(message)
        for call in message.get("tool_calls") or ():
            arguments = orjson.loads(call["function"]["arguments"])
            params = {"name": call["function"]["name"], "arguments": arguments}
            answer = await self._posted(
                "/mcp/shop", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            )
            said = answer["result"]["content"][0]["text"]
            self._messages.append({"role": "tool", "tool_call_id": call["id"], "content": said})
        return str(self._messages[-1]["content"])

    async def _posted(self, path: str, body: Mapping[str, Any]) -> Any:
        headers = {"accept": "application/json, text/event-stream"}
        async with self._http.post(self._url + path, json=body, headers=headers) as response:
            return orjson.loads(await response.read())


@pytest.mark.parametrize("mode", ["strict", "by-arguments"])
async def test_live_conversations_have_a_place_each_at_a_cassette(store_url: str, tape: Path, mode: Mode) -> None:
    before = Shop.looks
    async with (
        gateway(store_url, replayed_from(Shop().environment(), tape, mode)) as (made, url),
        aiohttp.ClientSession() as http,
    ):
        agents = [Live(http, url, task.key) for task in TASKS]
        said = [[await agent.step() for agent in agents] for _ in range(len(STATES) + 1)]
        live = [session for session in made.sessions if session.live]
        for session in live:
            await made.end(session.id, stop="completed")
        await made.recorder.commit()
        drifts = [made.store.trajectory(session.id).metadata["cassettes"][0] for session in live]
    assert said == [[state] * len(TASKS) for state in [*STATES, "sent"]]
    assert Shop.looks == before
    assert [(drift["tools"]["order"]["hits"], drift["misses"]) for drift in drifts] == [(3, 0)] * len(TASKS)
