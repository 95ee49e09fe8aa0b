"""Gateways whose sessions are deleted while they run: what they say again is stored again, and nothing comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from drawbar.gateway import Gateway
from drawbar.proxy.models import Models
from drawbar.record.filter import EVERYTHING
from drawbar.record.pruning import Pruning
from drawbar.record.store import Store
from drawbar.serving import serving
from drawbar.task import Task

LATER = 1e10


async def parrot(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], task: Task | None, /
) -> Mapping[str, Any]:
    return {"role": "assistant", "content": f"you said {messages[-1]['content']}"}


@asynccontextmanager
async def gateways(store_url: str, count: int = 1) -> AsyncIterator[list[tuple[Gateway, str]]]:
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            store = Store.open(store_url)
            stack.callback(store.close)
            gateway = await stack.enter_async_context(Gateway(store, Models(in_process={"m": parrot})))
            found.append((gateway, await stack.enter_async_context(serving(gateway, grace=0.5))))
        yield found


async def say(url: str, said: list[Any], text: str) -> None:
    said.append({"role": "user", "content": text})
    tools = [{"type": "function", "function": {"name": "search"}}]
    body = {"model": "m", "messages": said, "tools": tools}
    async with aiohttp.ClientSession() as http, http.post(url + "/v1/chat/completions", json=body) as response:
        assert response.status == 200, await response.text()
        said.append((await response.json())["choices"][0]["message"])


async def ended(gateway: Gateway) -> None:
    for row in gateway.store.sessions(status="open"):
        await gateway.end(row.id, stop="completed")
    await gateway.recorder.commit()


def prune(store: Store) -> int:
    pruning = Pruning(store, now=lambda: LATER)
    for _ in pruning.steps([EVERYTHING]):
        pass
    return pruning.freed.nodes


async def test_what_is_said_as_in_deleted_sessions_is_stored_again(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drawbar.proxy.live.REMEMBERED", 0.0)  # as if an hour had passed
    async with gateways(store_url) as [(gateway, url)]:
        for text in ("once", "and once more"):
            said: list[Any] = [{"role": "system", "content": "Be brief."}]
            await say(url, said, "hello")
            await say(url, said, text)
            await ended(gateway)
            [row] = gateway.store.sessions()
            trajectory = gateway.store.trajectory(row.id)
            assert [message.text for message in trajectory.messages] == [message["content"] for message in said]
            assert all(call.tools is not None and call.request_envelope is not None for call in trajectory.calls)
            assert prune(gateway.store) == 5
            assert gateway.store.sessions() == []


async def test_a_session_that_is_open_is_read_whole_after_others_are_deleted(store_url: str) -> None:
    async with gateways(store_url) as [(gateway, url)]:
        first: list[Any] = []
        await say(url, first, "hello")
        await ended(gateway)
        second: list[Any] = []
        await say(url, second, "hello")
        prune(gateway.store)
        await say(url, second, "still there?")
        await gateway.recorder.commit()
        [row] = gateway.store.sessions()
        trajectory = gateway.store.trajectory(row.id)
    assert [message.text for message in trajectory.messages] == [message["content"] for message in second]


async def test_a_gateway_that_ends_what_another_one_has_ended_and_deleted_writes_nothing(postgres_url: str) -> None:
    async with gateways(postgres_url, 2) as [(first, one), (second, other)]:
        said: list[Any] = []
        await say(one, said, "hello")
        await say(other, said, "and on")
        [known] = [session for session in second.sessions if session.live]
        await ended(first)
        prune(first.store)
        assert first.store.sessions() == []
        await second.live.end([known])
        await second.recorder.commit()
        assert first.store.sessions() == []
