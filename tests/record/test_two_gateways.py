"""Two gateways on one store: a conversation may go on at either of them, and its record is the same as on one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from drawbar.gateway import Gateway
from drawbar.proxy.models import Models
from drawbar.record.store import Store
from drawbar.serving import serving
from drawbar.sessions import SessionSpec
from drawbar.task import Task
from drawbar.trajectory import Trajectory

Message = dict[str, Any]
Route = Callable[[], str]


async def parrot(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], task: Task | None, /
) -> Mapping[str, Any]:
    """Says how much was said, and what last."""
    return {"role": "assistant", "content": f"{len(messages)}: you said {messages[-1]['content']}"}


@asynccontextmanager
async def gateways(store_url: str, count: int) -> AsyncIterator[list[tuple[Gateway, str]]]:
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            store = Store.open(store_url)
            stack.callback(store.close)
            gateway = await stack.enter_async_context(Gateway(store, Models(in_process={"m": parrot})))
            found.append((gateway, await stack.enter_async_context(serving(gateway, grace=0.5))))
        yield found


class Conversation:
    """Says what it was told to, wherever it is sent."""

    def __init__(self, number: int, http: aiohttp.ClientSession, route: Route, headers: dict[str, str]) -> None:
        self.lines = [f"conversation {number}, line {line}" for line in range(4)]
        self.headers = {"authorization": "Bearer sk-me", **headers}
        self._http, self._route = http, route
        self.said: list[Message] = [{"role": "system", "content": "Be brief."}]

    async def run(self) -> None:
        for line in self.lines:
            self.said.append({"role": "user", "content": line})
            body = {"model": "m", "messages": self.said}
            async with self._http.post(
                self._route() + "/v1/chat/completions", json=body, headers=self.headers
            ) as response:
                assert response.status == 200, await response.text()
                self.said.append((await response.json())["choices"][0]["message"])


def shape(trajectory: Trajectory) -> tuple[Any, ...]:
    """What must be the same wherever it went."""
    seqs = {call.id: call.seq for call in trajectory.calls}
    return (
        [call.seq for call in trajectory.calls],
        [seqs.get(call.follows or "") for call in trajectory.calls],
        [call.edge for call in trajectory.calls],
        [message.text for message in trajectory.messages],
    )


Headers = Callable[[int, Gateway], Awaitable[dict[str, str]]]


async def unnamed(number: int, gateway: Gateway) -> dict[str, str]:
    return {}


async def named(number: int, gateway: Gateway) -> dict[str, str]:
    return {"x-session-id": f"rollout-{number}"}


async def opened(number: int, gateway: Gateway) -> dict[str, str]:
    return {"x-drawbar-session": (await gateway.open(SessionSpec())).key}


async def recorded(store_url: str, count: int, headers: Headers, seed: int) -> list[tuple[Any, ...]]:
    chosen = random.Random(seed)
    async with gateways(store_url, count) as served, aiohttp.ClientSession() as http:
        urls = [url for _, url in served]
        made = [
            Conversation(number, http, lambda: chosen.choice(urls), await headers(number, served[0][0]))
            for number in range(50)
        ]
        for group in range(0, 50, 10):
            await asyncio.gather(*(conversation.run() for conversation in made[group : group + 10]))
        store = served[0][0].store
        found = [store.trajectory(row.id) for row in store.sessions()]
        said = sorted([message["content"] for message in conversation.said] for conversation in made)
    assert sorted([message.text for message in trajectory.messages] for trajectory in found) == said
    return sorted(map(shape, found), key=str)


@pytest.mark.parametrize("headers", [unnamed, named, opened])
async def test_conversations_routed_at_random_are_recorded_as_on_one_gateway(store_url: str, headers: Headers) -> None:
    two = await recorded(store_url, 2, headers, seed=7)
    assert len(two) == 50
    for seqs, follows, edges, _ in two:
        assert seqs == [0, 1, 2, 3]
        assert follows == [None, 0, 1, 2]
        assert edges == [None, "exact", "exact", "exact"]


async def test_calls_at_the_same_time_at_two_gateways_have_numbers_of_their_own(store_url: str) -> None:
    async with gateways(store_url, 2) as served, aiohttp.ClientSession() as http:
        session = await served[0][0].open(SessionSpec())

        async def ask(url: str, text: str) -> None:
            body = {"model": "m", "messages": [{"role": "user", "content": text}]}
            path = f"{url}/s/{session.key}/v1/chat/completions"
            async with http.post(path, json=body) as response:
                assert response.status == 200

        await asyncio.gather(*(ask(url, f"{n}") for n, (_, url) in enumerate(served * 5)))
        trajectory = served[1][0].store.trajectory(session.id)
        assert [call.seq for call in trajectory.calls] == list(range(10))
        starts = [call.started for call in trajectory.calls]
        assert starts == sorted(starts)


async def test_a_session_that_one_gateway_ends_goes_on_as_another_at_the_other(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drawbar.proxy.live.CHECKED", 0.0)
    async with gateways(postgres_url, 2) as served, aiohttp.ClientSession() as http:
        (one, first), (_, second) = served
        route = iter([first, second, first, second])
        conversation = Conversation(1, http, lambda: next(route), {})
        conversation.lines = conversation.lines[:3]
        await conversation.run()
        [row] = one.store.sessions()
        await one.end(row.id, stop="completed")
        conversation.lines = ["and on"]
        await conversation.run()
        later, earlier = one.store.sessions()
        assert (later.continues, earlier.id, earlier.status) == (row.id, row.id, "ended")
        assert [call.status for call in one.store.trajectory(earlier.id).calls] == ["answered"] * 3
