"""Google's own SDK at the gateway: before a function of this process, a provider of its dialect, and one of chat."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from drawbar.proxy.models import Models
from drawbar.sessions import Session
from drawbar.testing import ScriptedModel, calls, says, serve_chat, together

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse

genai = pytest.importorskip("google.genai", reason="not installed: pip install google-genai")
errors = pytest.importorskip("google.genai.errors")
types = pytest.importorskip("google.genai.types")
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
LINES = [
    together(("search", {"query": "tides"}), ("search", {"query": "the Moon"})),
    says("It is the Moon that pulls the water, and the Sun helps it.", reasoning_content="Water follows."),
]
PLACES = ("in process", "gemini", "chat")


@dataclass
class Talk:
    house: House
    session: Session

    def client(self, version: str = "v1beta") -> Any:
        options = types.HttpOptions(base_url=self.house.url, api_version=version)
        return genai.Client(api_key=self.session.key, http_options=options, vertexai=False)


@pytest.fixture(params=PLACES)
async def talk(request: pytest.FixtureRequest, serve: MakeHouse) -> AsyncIterator[Talk]:
    async with serve_chat(LINES) as provider:
        models = {
            "in process": lambda: Models(in_process={"oracle": ScriptedModel(LINES)}),
            "gemini": lambda: Models(base_url=provider.base_url, dialects=["gemini"]),
            "chat": lambda: Models(base_url=provider.base_url, dialects=["chat"]),
        }[request.param]()
        async with serve(models=models) as house:
            yield Talk(house, await house.session())


def search(query: str) -> str:
    """Searches.

    Args:
        query: what for.
    """
    return f"found {query}"


DECLARED = {"name": "search", "description": "Searches.", "parameters_json_schema": {
    "type": "object", "properties": {"query": {"type": "string"}}}}  # fmt: skip


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_functions_are_called_by_hand(talk: Talk, version: str) -> None:
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[DECLARED])])
    async with talk.client(version).aio as client:
        first = await client.models.generate_content(model="oracle", contents="Why tides?", config=config)
        assert [(call.name, call.args) for call in first.function_calls] == [
            ("search", {"query": "tides"}), ("search", {"query": "the Moon"})
        ]  # fmt: skip
        results = [
            types.Part.from_function_response(name="search", response={"output": search(**call.args)})
            for call in first.function_calls
        ]
        said = [
            types.Content(role="user", parts=[types.Part(text="Why tides?")]), first.candidates[0].content,
            types.Content(role="user", parts=results),
        ]  # fmt: skip
        second = await client.models.generate_content(model="oracle", contents=said, config=config)
    assert second.text == LINES[1]["content"]
    assert [part.text for part in second.candidates[0].content.parts if part.thought] == ["Water follows."]
    assert second.candidates[0].finish_reason == types.FinishReason.STOP
    assert second.usage_metadata.prompt_token_count > 0
    trajectory = await talk.house.trajectory(talk.session)
    assert (trajectory.turns, trajectory.completion) == (2, LINES[1]["content"])
    assert [node.message.role for node in trajectory.path(trajectory.calls[-1].reply)] == [
        "user", "assistant", "tool", "assistant"
    ]  # fmt: skip
    assert {finding.name for finding in trajectory.health} <= {"lossy_translation"}


async def test_the_sdk_calls_functions_by_itself_and_streams_the_answer(talk: Talk) -> None:
    config = types.GenerateContentConfig(tools=[search], temperature=0.5)
    async with talk.client().aio as client:
        chat = client.chats.create(model="oracle", config=config)
        pieces = [chunk async for chunk in await chat.send_message_stream("Why tides?")]
    words = [chunk.text for chunk in pieces if chunk.candidates and chunk.text]
    assert "".join(words) == LINES[1]["content"]
    assert len(words) > 1 or len(LINES[1]["content"]) < 80
    trajectory = await talk.house.trajectory(talk.session)
    assert [call.streamed for call in trajectory.calls] == [True, True]
    results = [result.text for message in trajectory.messages for result in message.tool_results]
    assert results == ["found tides", "found the Moon"]


async def test_what_goes_wrong_is_raised_with_what_was_said(talk: Talk) -> None:
    async with talk.client().aio as client:
        await talk.house.gateway.end(talk.session.id, stop="limit_turns")
        with pytest.raises(errors.ClientError, match="limit_turns") as ended:
            await client.models.generate_content(model="oracle", contents="hi")
        assert (ended.value.code, ended.value.status) == (409, "ABORTED")
        with pytest.raises(errors.ClientError, match="There is nothing at /v1beta/files") as nothing:
            await client.files.get(name="files/x")
        assert (nothing.value.code, nothing.value.status) == (404, "NOT_FOUND")


async def test_a_model_that_is_not_known_is_a_client_error(serve: MakeHouse) -> None:
    async with serve(models=Models(in_process={"oracle": ScriptedModel([calls("search")])})) as house:
        client = Talk(house, await house.session()).client().aio
        with pytest.raises(errors.ClientError, match="No model named 'nobody'"):
            await client.models.generate_content(model="nobody", contents="hi")
        assert [model.name async for model in await client.models.list()] == ["models/oracle"]
        assert (await client.models.get(model="oracle")).display_name == "oracle"
        await client.aclose()


@pytest.mark.parametrize("talk", [place for place in PLACES if place != "chat"], indirect=True)
async def test_tokens_are_counted(talk: Talk) -> None:
    async with talk.client().aio as client:
        counted = await client.models.count_tokens(model="oracle", contents="one two three")
    assert counted.total_tokens > 0
    assert (await talk.house.trajectory(talk.session)).calls == []


@pytest.mark.slow
@pytest.mark.parametrize("talk", ["chat"], indirect=True)
async def test_tokens_are_estimated_where_nobody_counts_them(talk: Talk) -> None:
    await test_tokens_are_counted(talk)
