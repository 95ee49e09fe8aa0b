"""Two gateways on one store: a simulated user may be asked at either of them, and says everything once."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from drawbar import Environment, Task
from drawbar.gateway import Gateway
from drawbar.proxy.models import Models
from drawbar.record.store import Store
from drawbar.serving import serving
from drawbar.sessions import SessionSpec
from drawbar.testing import says

TURNS = [f"Turn {number}." for number in range(12)]


async def echo(messages: Any, tools: Any, task: Any, /) -> Mapping[str, Any]:
    return says(f"Heard: {messages[-1]['content']}")


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_user_may_be_asked_at_another_gateway_each_time(postgres_url: str, seed: int) -> None:
    chance = random.Random(seed)
    environment = Environment(name="talk", models={"echo": echo})
    async with AsyncExitStack() as stack, aiohttp.ClientSession() as http:
        served: list[tuple[Gateway, str]] = []
        for _ in range(2):
            store = Store.open(postgres_url)
            stack.callback(store.close)
            models = Models(in_process=environment.models)
            gateway = Gateway(store, models, environments={environment.name: environment})
            served.append((await stack.enter_async_context(gateway), await stack.enter_async_context(serving(gateway))))
        task = Task(prompt="Hi.", user_turns=TURNS)
        session = await served[0][0].open(SessionSpec(environment="talk", task=task))
        messages: list[Any] = [{"role": "user", "content": "Hi."}]
        for turn in range(len(TURNS) + 1):
            url = f"{chance.choice(served)[1]}/s/{session.key}/v1/chat/completions"
            async with http.post(url, json={"model": "echo", "messages": messages}) as response:
                messages.append((await response.json())["choices"][0]["message"])
            for body in ({"turn": turn}, None):  # and once more: by number or without, here or there
                async with http.post(f"{chance.choice(served)[1]}/s/{session.key}/user", json=body) as response:
                    said = await response.json()
                assert said["turn"] == turn
            if said["message"] is not None:
                messages.append(said["message"])
        ending = chance.choice(served)[0]
        await ending.end(session.id, stop="completed")
        trajectory = await ending.checkups.trajectory(session.id)
    assert (trajectory.stop, trajectory.error) == ("completed", None)
    assert [message.text for message in trajectory.messages if message.role == "user"] == ["Hi.", *TURNS]
    part = trajectory.metadata["simulated_user"]
    assert [turn["message"]["content"] for turn in part["turns"]] == TURNS
