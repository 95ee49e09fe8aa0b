"""Agents at work through a gateway, as their sessions are then found in a store; and the commands that read it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from tests.capture.desk import boss, desk, summary
from tests.cli.conftest import Ended
from tests.cli.conftest import drawbar as drawbar  # the command line, in an empty folder

from drawbar.environment import Environment
from drawbar.gateway import Gateway
from drawbar.proxy.models import Models
from drawbar.record.store import Store
from drawbar.serving import serving

LOOK_UP = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look an order up.",
        "parameters": {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]},
    },
}
SYSTEM = {"role": "system", "content": "You work at a desk."}


async def look_up(order: int) -> str:
    """Look an order up."""
    return f"on its way to {'ada@example.org' if order == 7 else 'nobody'}"


@dataclass
class Agent:
    """A program that sends its whole conversation each time, and calls tools by itself or through the gateway."""

    url: str
    http: aiohttp.ClientSession
    through_gateway: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    offered: list[dict[str, Any]] = field(default_factory=lambda: [LOOK_UP])
    said: list[dict[str, Any]] = field(default_factory=lambda: [dict(SYSTEM)])

    async def say(self, text: str) -> str:
        """The user says something; the last answer to it."""
        self.said.append({"role": "user", "content": text})
        while True:
            reply = await self.ask(self.said)
            self.said.append(reply)
            if not reply.get("tool_calls"):
                return str(reply["content"])
            for call in reply["tool_calls"]:
                arguments = json.loads(call["function"]["arguments"])
                result = await (self._served(arguments) if self.through_gateway else look_up(**arguments))
                self.said.append({"role": "tool", "tool_call_id": call["id"], "content": result})

    async def ask(self, messages: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
        body = {"model": "desk", "messages": messages, "tools": self.offered, **fields}
        body = {name: value for name, value in body.items() if value != []}
        async with self.http.post(f"{self.url}/v1/chat/completions", json=body, headers=self.headers) as response:
            answer = await response.json()
        message: dict[str, Any] = answer["choices"][0]["message"]
        return message

    async def _served(self, arguments: dict[str, Any]) -> str:
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "look_up", "arguments": arguments},
        }
        headers = {"accept": "application/json, text/event-stream", **self.headers}
        async with self.http.post(f"{self.url}/mcp/shop", json=body, headers=headers) as response:
            answer = json.loads(await response.read())
        return str(answer["result"]["content"][0]["text"])


@dataclass
class Office:
    """A gateway, and agents in front of it."""

    gateway: Gateway
    url: str
    http: aiohttp.ClientSession

    def agent(self, **fields: Any) -> Agent:
        return Agent(self.url, self.http, **fields)

    async def session(self) -> str:
        """The id of the session that spoke last."""
        await self.gateway.recorder.commit()
        return max(self.gateway.store.sessions(), key=lambda row: (row.started, row.id)).id

    async def end(self) -> str:
        """End every session that is open; the id of the last."""
        found = await self.session()
        for row in self.gateway.store.sessions(status="open"):
            await self.post(f"/api/sessions/{row.id}/end", {})
        await self.gateway.recorder.commit()
        return found

    async def post(self, path: str, body: Any) -> None:
        async with self.http.post(self.url + path, json=body) as response:
            assert response.status < 300, await response.text()


Work = Callable[[Office], Awaitable[Any]]


@pytest.fixture
def record(drawbar: Callable[..., Ended]) -> Callable[[Work], Any]:
    """Lets agents work in front of a gateway that keeps `drawbar.db` in the folder that commands run in."""

    async def work(job: Work) -> Any:
        models = Models(in_process={"desk": desk, "boss": boss, "summary": summary})
        environments = {"shop": Environment(name="shop", tools=[look_up])}
        store = Store.open("drawbar.db")
        try:
            async with (
                aiohttp.ClientSession() as http,
                Gateway(store, models, environments=environments) as gateway,
                AsyncExitStack() as listening,
            ):
                url = await listening.enter_async_context(serving(gateway, grace=0.5))
                done = await job(Office(gateway, url, http))
                await listening.aclose()
                return done
        finally:
            store.close()

    return lambda job: anyio.run(work, job)


@pytest.fixture
def with_models(drawbar: Callable[..., Ended]) -> Callable[[str], None]:
    """Puts the desk's models beside a captured environment, so that it runs without any provider."""

    def put(folder: str) -> None:
        shutil.copyfile(Path(__file__).with_name("desk.py"), Path(folder) / "desk.py")
        with (Path(folder) / "environment.toml").open("a") as file:
            file.write('\n[models]\ndesk = "desk:desk"\nhasty = "desk:hasty"\nkind = "desk:kind"\n')

    return put


def tasks(folder: str) -> list[dict[str, Any]]:
    """The lines of a captured environment's tasks."""
    return [json.loads(line) for line in (Path(folder) / "tasks.jsonl").read_text().splitlines()]


def document(folder: str, name: str) -> Any:
    """A JSON file of it."""
    return json.loads((Path(folder) / name).read_text())
