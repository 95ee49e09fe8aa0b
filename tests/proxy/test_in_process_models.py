"""Models that are Python functions answer as an API would: to the SDK, in streams, and in the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import openai
import pytest

from drawbar.environment import Environment
from drawbar.proxy.models import Models
from drawbar.task import Task

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
    from tests.proxy.conftest import MakeHouse

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "one two three"}]
TOOLS: list[ChatCompletionToolParam] = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "it"}'}}


async def parrot(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], task: Task | None
) -> Mapping[str, Any]:
    """Says the task's answer, or calls the tool that it was offered."""
    if tools:
        return {"role": "assistant", "content": None, "reasoning_content": "let me look", "tool_calls": [CALL]}
    return {"role": "assistant", "content": task.answer if task is not None else "nothing to do"}


async def test_it_is_given_the_sessions_task(serve: MakeHouse) -> None:
    async with serve(models=Models(in_process={"parrot": parrot})) as house:
        session = await house.session(task=Task(prompt="q", answer="forty two"))
        async with house.openai(session) as client:
            answer = await client.chat.completions.create(model="parrot", messages=HI)
        assert answer.choices[0].message.content == "forty two"
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 2)
        trajectory = await house.trajectory(session)
        assert (trajectory.completion, trajectory.cost, trajectory.calls[0].upstream) == ("forty two", 0.0, "parrot")


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_and_reasoning_are_the_same_streamed_or_not(serve: MakeHouse, stream: bool) -> None:
    async with serve(models=Models(in_process={"parrot": parrot})) as house:
        session = await house.session()
        body = {"model": "parrot", "messages": HI, "tools": TOOLS, "stream": stream}
        assert (await house.post(session, body)).status == 200
        (call,) = (await house.trajectory(session)).calls
        assert call.message is not None
        assert (call.finish, call.message.reasoning, call.message.text) == ("tool_calls", "let me look", "")
        assert [(use.id, use.name, use.arguments) for use in call.message.tool_uses] == [("c1", "look", {"at": "it"})]
        assert call.prompt_tokens is not None


async def test_an_environments_own_models_come_first(serve: MakeHouse) -> None:
    async def other(*_: object) -> dict[str, str]:
        return {"content": "the environment's"}

    environment = Environment(name="env", models={"parrot": other})
    async with serve(models=Models(in_process={"parrot": parrot}), environments={"env": environment}) as house:
        for spec, said in (({"environment": "env"}, "the environment's"), ({}, "nothing to do")):
            session = await house.session(**spec)
            await house.post(session, {"model": "parrot", "messages": HI})
            assert (await house.trajectory(session)).completion == said


async def test_one_that_raises_is_a_500_that_says_so(serve: MakeHouse) -> None:
    async def broken(*_: object) -> dict[str, str]:
        raise LookupError("no line for this turn")

    async with serve(models=Models(in_process={"broken": broken})) as house:
        session = await house.session()
        async with house.openai(session, max_retries=2) as client:
            with pytest.raises(
                openai.InternalServerError,
                match=r"broken raised LookupError: no line for this turn \(.*test_in_process_models\.py:\d+\)",
            ):
                await client.chat.completions.create(model="broken", messages=HI)
        (call,) = (await house.trajectory(session)).calls
        assert (call.status, call.cause, call.attempts) == ("failed", "upstream_unavailable", 1)


async def test_it_has_no_embeddings(serve: MakeHouse) -> None:
    async with serve(models=Models(in_process={"parrot": parrot})) as house:
        response = await house.post(None, {"model": "parrot", "input": "a"}, path="/v1/embeddings")
        assert response.status == 404
