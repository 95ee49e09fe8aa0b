"""Conversations that are exactly alike, at the same time, through two gateways: one is not taken for another."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from drawbar.gateway import Gateway
from drawbar.proxy.models import Models
from drawbar.record.store import Store
from drawbar.serving import serving
from drawbar.task import Task

TURNS = 4


async def parrot(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], task: Task | None, /
) -> Mapping[str, Any]:
    """Says the same to everybody who says the same."""
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


class Talk:
    """Says what all others say, a turn at a time."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.turns = 0
        self._http = http
        self._said: list[Any] = [{"role": "system", "content": "Be brief."}]

    async def turn(self, url: str) -> None:
        self._said.append({"role": "user", "content": f"line {self.turns}"})
        body = {"model": "m", "messages": self._said}
        async with self._http.post(url + "/v1/chat/completions", json=body) as response:
            assert response.status == 200, await response.text()
            self._said.append((await response.json())["choices"][0]["message"])
        self.turns += 1


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("seed", range(4))
async def test_alike_conversations_stay_apart(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, count: int, seed: int
) -> None:
    monkeypatch.setattr("drawbar.proxy.elsewhere.ALIKE", 0.0)
    chosen = random.Random(seed)
    async with gateways(postgres_url, count) as served, aiohttp.ClientSession() as http:
        talks = [Talk(http) for _ in range(6)]
        while left := [talk for talk in talks if talk.turns < TURNS]:
            await chosen.choice(left).turn(chosen.choice(served)[1])
        store = served[0][0].store
        found = [store.trajectory(row.id) for row in store.sessions()]
    assert Counter(len(trajectory.calls) for trajectory in found) == {TURNS: 6}
    for trajectory in found:
        seqs = {call.id: call.seq for call in trajectory.calls}
        assert [seqs.get(call.follows or "") for call in trajectory.calls] == [None, *range(TURNS - 1)]
