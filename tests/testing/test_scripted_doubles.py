"""The doubles that ship: what a script says, and that the served one is a real OpenAI-compatible server."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import httpx
import openai
import pytest
from mcp import Client

from drawbar import Task
from drawbar.testing import Cut, Failure, Hang, Line, ScriptedModel, calls, says, serve_chat, together, tool_server


async def test_a_scripted_model_says_its_lines_by_turn_and_keeps_no_state() -> None:
    model = ScriptedModel([calls("look", word="tide"), lambda messages: f"heard {messages[-1]['content']}"])
    opening = [{"role": "user", "content": "go"}]
    for _ in range(2):
        first = await model(opening, [], None)
        second = await model([*opening, first, {"role": "tool", "content": "water"}], [], None)
        assert json.loads(first["tool_calls"][0]["function"]["arguments"]) == {"word": "tide"}
        assert second == says("heard water")


async def test_earlier_turns_of_the_task_are_no_lines_of_the_script() -> None:
    task = Task(prompt=[{"role": "user", "content": "a"}, says("b"), {"role": "user", "content": "c"}])
    assert await ScriptedModel(["first"])(task.messages, [], task) == says("first")


async def test_a_script_that_is_over_says_so() -> None:
    with pytest.raises(LookupError, match="has 1 replies; turn 2"):
        await ScriptedModel(["only"])([says("only")], [], None)


def test_calls_of_one_reply_have_ids_of_their_own() -> None:
    reply = together(("look", {"word": "a"}), ("look", {"word": "a"}))
    assert len({call["id"] for call in reply["tool_calls"]}) == 2


QUESTION: Any = [{"role": "user", "content": "q"}]


async def test_the_served_model_answers_the_official_client_whole_and_streamed() -> None:
    async with (
        serve_chat([calls("look", word="tide"), "The Moon does."]) as server,
        openai.AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
    ):
        whole = await client.chat.completions.create(model="m", messages=QUESTION)
        told = [*QUESTION, {"role": "assistant", "content": "..."}]
        stream = await client.chat.completions.create(
            model="m", messages=told, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        models = await client.models.list()
    assert whole.choices[0].finish_reason == "tool_calls"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "The Moon does."
    assert chunks[-1].usage is not None
    assert [model.id for model in models.data] == ["scripted"]
    assert [received.headers["authorization"] for received in server.requests] == ["Bearer k"] * 2


async def test_the_served_model_fails_cuts_off_and_hangs_as_it_is_told() -> None:
    lines: list[Line] = [Failure(429, "slow", headers={"Retry-After": "3"}), Cut("one two three"), Hang()]
    async with (
        serve_chat(lines, in_order=True) as server,
        openai.AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
    ):
        create = client.chat.completions.create
        with pytest.raises(openai.RateLimitError) as refused:
            await create(model="m", messages=QUESTION)
        assert refused.value.response.headers["retry-after"] == "3"
        stream = await create(model="m", messages=QUESTION, stream=True)
        with pytest.raises(httpx.RemoteProtocolError):
            async for _ in stream:
                pass
        with pytest.raises(openai.APITimeoutError):
            await create(model="m", messages=QUESTION, timeout=0.2)
        await server.left.wait()


async def test_functions_become_a_server_in_memory() -> None:
    async def shout(word: str) -> str:
        """Say it loudly."""
        return word.upper()

    async with Client(tool_server(shout)) as client:
        (tool,) = (await client.list_tools()).tools
        result = await client.call_tool("shout", {"word": "tide"})
    assert (tool.name, tool.description) == ("shout", "Say it loudly.")
    assert result.content[0].text == "TIDE"  # type: ignore[union-attr]


async def test_the_served_model_breaks_off_after_given_words() -> None:
    call = calls("look", words="tide " * 30, last="moon")
    reply = {**call, "content": "one two three", "reasoning_content": "hm well so"}
    async with (
        serve_chat([Cut(reply, "well"), Cut(reply, "two"), Cut(reply, "tide")], in_order=True) as server,
        openai.AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
    ):
        told = []
        for _ in range(3):
            stream = await client.chat.completions.create(model="m", messages=QUESTION, stream=True)
            said = ["", "", ""]
            with suppress(httpx.RemoteProtocolError):
                async for chunk in stream:
                    delta = chunk.choices[0].delta
                    said[0] += getattr(delta, "reasoning_content", None) or ""
                    said[1] += delta.content or ""
                    said[2] += "".join(c.function.arguments or "" for c in delta.tool_calls or () if c.function)
            told.append(said)
    whole = call["tool_calls"][0]["function"]["arguments"]
    assert told[:2] == [["hm well ", "", ""], ["hm well so", "one two ", ""]]
    assert told[2][1] == "one two three"
    assert whole.startswith(told[2][2])
    assert 0 < len(told[2][2]) < len(whole)
