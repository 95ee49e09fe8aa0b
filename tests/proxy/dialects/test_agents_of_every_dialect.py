"""Models that take chat alone, asked by agents of every dialect; and conversations that are continued by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import anthropic
import orjson
import pytest

from drawbar.proxy.models import Models
from drawbar.sessions import Session
from drawbar.task import Task
from drawbar.testing import ScriptedModel, calls, says, serve_chat

if TYPE_CHECKING:
    from openai.types.responses import FunctionToolParam, ResponseInputParam
    from tests.proxy.conftest import House, MakeHouse
    from tests.proxy.dialects.conftest import Native

LINES: Final = [calls("search", query="tides"), says("The Moon.", reasoning_content="water follows")]
SCHEMA: Final[dict[str, Any]] = {"type": "object", "properties": {"query": {"type": "string"}}}


def with_tool(native: Native) -> dict[str, Any]:
    """A request's fields that offer the tool."""
    tool = {"name": "search", "description": "Searches."}
    written: dict[str, dict[str, Any]] = {
        "chat": {"type": "function", "function": {**tool, "parameters": SCHEMA}},
        "responses": {"type": "function", **tool, "parameters": SCHEMA},
        "messages": {**tool, "input_schema": SCHEMA},
        "gemini": {"functionDeclarations": [{**tool, "parameters": {**SCHEMA, "type": "OBJECT"}}]},
    }
    return {"tools": [written[native.dialect]]}


def goes_on(native: Native, reply: Any) -> dict[str, Any]:
    """The conversation after a reply that called the tool."""
    used = "call_0_search_t0"
    if native.dialect == "gemini":
        result = {"functionResponse": {"id": used, "name": "search", "response": {"output": "found it"}}}
        return {"contents": [*native.body["contents"], reply, {"role": "user", "parts": [result]}]}
    if native.dialect == "responses":
        output = {"type": "function_call_output", "call_id": used, "output": "found it"}
        return {"input": [*native.body["input"], *reply, output]}
    if native.dialect == "messages":
        found = {"type": "tool_result", "tool_use_id": used, "content": "found it"}
        return {"messages": [*native.body["messages"], reply, {"role": "user", "content": [found]}]}
    shown = {"role": "tool", "tool_call_id": used, "content": "found it"}
    return {"messages": [*native.body["messages"], reply, shown]}


async def asked(house: House, native: Native, session: Session, stream: bool, fields: Mapping[str, Any]) -> None:
    path, body = native.asked(stream=stream, model="oracle")
    response = await house.post(None, {**body, **fields}, path=path, headers=native.key(session.key))
    assert (response.status, response.content_type) == (200, native.media_type if stream else "application/json")


@pytest.mark.parametrize("stream", [False, True])
async def test_an_in_process_model_plays_for_agents_of_any_dialect(
    serve: MakeHouse, native: Native, stream: bool
) -> None:
    seen: list[tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]] = []
    scripted = ScriptedModel(LINES)

    async def oracle(
        messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], task: Task | None
    ) -> Mapping[str, Any]:
        seen.append((messages, tools))
        return await scripted(messages, tools, task)

    async with serve(models=Models(in_process={"oracle": oracle})) as house:
        session = await house.session()
        await asked(house, native, session, stream, with_tool(native))
        (node,) = [node for node in (await house.trajectory(session)).nodes.values() if node.depth == 1]
        await asked(house, native, session, stream, with_tool(native) | goes_on(native, json.loads(node.body)))
        trajectory = await house.trajectory(session)
    messages, tools = seen[-1]
    assert [tool["function"]["name"] for tool in tools] == ["search"]
    assert tools[0]["function"]["parameters"] == SCHEMA
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert json.loads(messages[1]["tool_calls"][0]["function"]["arguments"]) == {"query": "tides"}
    assert (messages[2]["tool_call_id"], messages[2]["content"]) == ("call_0_search_t0", "found it")
    first, second = trajectory.calls
    assert first.message is not None
    assert [(use.name, use.arguments) for use in first.message.tool_uses] == [("search", {"query": "tides"})]
    assert second.message is not None
    assert (second.message.text, second.message.reasoning) == ("The Moon.", "water follows")
    assert (trajectory.turns, len(trajectory.nodes), trajectory.cost, trajectory.health) == (2, 4, 0.0, [])


async def test_a_model_that_raises_is_a_native_error(serve: MakeHouse, native: Native) -> None:
    async with serve(models=Models(in_process={"oracle": ScriptedModel([])})) as house:
        session = await house.session()
        path, body = native.asked(model="oracle")
        response = await house.post(None, body, path=path, headers=native.key(session.key))
        assert response.status == 500
        assert "The script has 0 replies" in native.error(await response.read())[1]


async def test_what_chat_cannot_say_is_a_finding(serve: MakeHouse) -> None:
    async with serve(models=Models(in_process={"oracle": ScriptedModel(["done"])})) as house:
        session = await house.session()
        search = {"type": "web_search_20250305", "name": "web_search"}
        body = {"model": "oracle", "max_tokens": 9, "tools": [search], "messages": [{"role": "user", "content": "hi"}]}
        await house.post(session, body, path="/v1/messages")
        (finding,) = (await house.trajectory(session)).health
        assert finding.name == "lossy_translation"
        assert "a tool of type web_search_20250305" in finding.detail


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_of_codex_are_called_by_the_names_they_have_there(serve: MakeHouse, stream: bool) -> None:
    lines = [calls("mcp__wiki__search", query="tides"), calls("apply_patch", input="*** Begin")]
    tools = [
        {"type": "namespace", "name": "mcp__wiki", "tools": [{"type": "function", "name": "search"}]},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar"}},
    ]
    async with serve(models=Models(in_process={"oracle": ScriptedModel(lines)})) as house:
        session = await house.session()
        body: dict[str, Any] = {"model": "oracle", "stream": stream, "tools": tools, "input": "hi"}
        await house.post(session, body, path="/v1/responses")
        body["input"] = [
            {"role": "user", "content": "hi"},
            *json.loads(list((await house.trajectory(session)).nodes.values())[-1].body),
            {"type": "function_call_output", "call_id": "call_0_mcp__wiki__search_t0", "output": "it"},
        ]
        await house.post(session, body, path="/v1/responses")
        bodies = [json.loads(node.body) for node in (await house.trajectory(session)).nodes.values()]
    ((first,), (second,)) = [body for body in bodies if isinstance(body, list)]
    assert (first["type"], first["namespace"], first["name"]) == ("function_call", "mcp__wiki", "search")
    assert (second["type"], second["name"], second["input"]) == ("custom_tool_call", "apply_patch", "*** Begin")


async def test_anthropics_sdk_counts_lists_and_streams(serve: MakeHouse) -> None:
    async with serve(models=Models(in_process={"oracle": ScriptedModel(LINES)})) as house:
        session = await house.session()
        async with anthropic.AsyncAnthropic(base_url=f"{house.url}/s/{session.key}", api_key="x") as client:
            count = await client.messages.count_tokens(
                model="oracle", messages=[{"role": "user", "content": "one two three"}]
            )
            assert count.input_tokens == 4
            assert [model.id async for model in client.models.list()] == ["oracle"]
            async with client.messages.stream(
                model="oracle", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
            ) as stream:
                (used,) = (await stream.get_final_message()).content
            assert used.type == "tool_use"
            assert used.input == {"query": "tides"}
            await house.gateway.end(session.id, stop="limit_time")
            with pytest.raises(anthropic.ConflictError, match="limit_time"):
                await client.messages.count_tokens(model="oracle", messages=[{"role": "user", "content": "hi"}])
        assert (await house.trajectory(session)).turns == 1


@pytest.mark.parametrize("restart", [False, True])
async def test_a_conversation_is_continued_from_the_reply_that_a_request_names(serve: MakeHouse, restart: bool) -> None:
    models = Models(in_process={"oracle": ScriptedModel(LINES)})
    tools: list[FunctionToolParam] = [{"type": "function", "name": "search", "parameters": SCHEMA, "strict": False}]
    output: ResponseInputParam = [
        {"type": "function_call_output", "call_id": "call_0_search_t0", "output": "found it"}
    ]  # fmt: skip
    async with serve(models=models) as house:
        session = await house.session()
        async with house.openai(session) as client:
            first = await client.responses.create(model="oracle", instructions="Be brief.", input="hi", tools=tools)
        if not restart:
            async with house.openai(session) as client:
                second = await client.responses.create(
                    model="oracle", instructions="Be brief.", input=output, previous_response_id=first.id
                )
    if restart:
        async with serve(models=models) as house, house.openai(session) as client:
            second = await client.responses.create(
                model="oracle", instructions="Be brief.", input=output, previous_response_id=first.id
            )
            trajectory = await house.trajectory(session)
    else:
        async with serve(models=models) as house:
            trajectory = await house.trajectory(session)
    assert second.output_text == "The Moon."
    roles = [node.message.role for node in trajectory.path(trajectory.calls[-1].reply)]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]
    assert "several_roots" not in [finding.name for finding in trajectory.health]


async def test_a_name_that_nobody_gave_is_refused_where_nothing_is_kept(serve: MakeHouse) -> None:
    async with serve(models=Models(in_process={"oracle": ScriptedModel(LINES)})) as house:
        body = {"model": "oracle", "input": "hi", "previous_response_id": "resp_none"}
        response = await house.post(await house.session(), body, path="/v1/responses")
        assert response.status == 400
        assert "nothing is known here of 'resp_none'" in await response.text()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_speaks_chat_alone_is_translated_for(
    serve: MakeHouse, native: Native, stream: bool
) -> None:
    async with (
        serve_chat(LINES) as provider,
        serve(models=Models(base_url=provider.base_url, dialects=["chat"])) as house,
    ):
        session = await house.session()
        await asked(house, native, session, stream, with_tool(native))
        (node,) = [node for node in (await house.trajectory(session)).nodes.values() if node.depth == 1]
        await asked(house, native, session, stream, with_tool(native) | goes_on(native, json.loads(node.body)))
        trajectory = await house.trajectory(session)
    assert [request.path for request in provider.requests] == ["/v1/chat/completions"] * 2
    assert trajectory.completion == "The Moon."
    assert trajectory.turns == 2
    assert all(call.prompt_tokens for call in trajectory.calls)


async def test_a_request_cannot_steer_where_a_translation_goes(serve: MakeHouse) -> None:
    async with (
        serve_chat(["mine"]) as provider,
        serve_chat(["theirs"]) as other,
        serve(models=Models(base_url=provider.base_url, dialects=["chat"], api_key="sk-secret")) as house,
    ):
        body = {
            "model": "m",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "a"}],
            "api_base": other.base_url,
            "custom_llm_provider": "openai",
        }
        assert "mine" in await (await house.post(await house.session(), body, path="/v1/messages")).text()
        assert not other.requests


@pytest.mark.parametrize("levels", [300, 950])
async def test_a_request_that_is_nested_deeply_never_breaks_the_gateway(
    serve: MakeHouse, native: Native, levels: int
) -> None:
    deep = orjson.Fragment(b'{"a":' * levels + b"1" + b"}" * levels)
    tool = {"parameters": deep, "input_schema": deep, "type": "function", "name": "f", "function": {"parameters": deep}}
    async with serve(models=Models(in_process={"oracle": ScriptedModel(["a"])})) as house:
        session = await house.session()
        path, body = native.asked(model="oracle")
        del tool["type" if native.dialect == "messages" else "input_schema"]
        tools = [{"functionDeclarations": [tool]}] if native.dialect == "gemini" else [tool]
        raw = orjson.dumps({**body, "tools": tools})
        response = await house.post(None, raw, path=path, headers=native.key(session.key))
        assert response.status in (200, 400)
        (call,) = (await house.trajectory(session)).calls
        assert call.status == {200: "answered", 400: "refused" if levels > 900 else "failed"}[response.status]
