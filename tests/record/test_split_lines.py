"""A split between models holds for a conversation, also where a new session continues one that has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from drawbar.gateway import Gateway
from drawbar.proxy.models import Models
from drawbar.proxy.routes import ModelRoute
from drawbar.record.store import Store
from drawbar.serving import serving
from drawbar.task import Task

SPLIT = ModelRoute({"one": 1.0, "other": 1.0})


def _named(name: str) -> Any:
    async def model(
        messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], task: Task | None, /
    ) -> Mapping[str, Any]:
        return {"role": "assistant", "content": f"{name} heard {len(messages)}"}

    return model


@asynccontextmanager
async def gateway(store_url: str) -> AsyncIterator[tuple[Gateway, str]]:
    store = Store.open(store_url)
    try:
        models = Models(in_process={"one": _named("one"), "other": _named("other")}, routes={"ab": SPLIT})
        async with Gateway(store, models) as made, serving(made, grace=0.5) as url:
            yield made, url
    finally:
        store.close()


async def say(url: str, said: list[dict[str, Any]], text: str, headers: Mapping[str, str]) -> str:
    """One turn more; which model answered it."""
    said.append({"role": "user", "content": text})
    body = {"model": "ab", "messages": said}
    async with (
        aiohttp.ClientSession() as http,
        http.post(url + "/v1/chat/completions", json=body, headers=headers) as response,
    ):
        assert response.status == 200, await response.text()
        message = (await response.json())["choices"][0]["message"]
    said.append(message)
    return str(message["content"].split()[0])


@pytest.mark.parametrize("named", [False, True])
async def test_whoever_comes_back_gets_the_model_that_it_had(store_url: str, named: bool) -> None:
    talks: list[list[dict[str, Any]]] = [[] for _ in range(8)]
    models: list[set[str]] = [set() for _ in talks]

    async def turn(gateway: Gateway, url: str, word: str) -> None:
        for number, said in enumerate(talks):
            headers = {"x-session-id": f"talk-{number}"} if named else {}
            models[number].add(await say(url, said, f"{word} of {number}", headers))
        for row in gateway.store.sessions(status="open"):
            await gateway.end(row.id, stop="completed")

    async with gateway(store_url) as (first, url):
        await turn(first, url, "hello")
        await turn(first, url, "and on")
    async with gateway(store_url) as (second, url):
        await turn(second, url, "after a restart")
        rows = second.store.sessions()
        assert (len(rows), sum(row.continues is None for row in rows)) == (3 * len(talks), len(talks))
    assert all(len(had) == 1 for had in models)
    assert len(set.union(*models)) == 2
