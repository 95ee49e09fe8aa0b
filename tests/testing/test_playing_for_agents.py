"""Models that are functions, written for the tools' own names, under agents that show them otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drawbar.proxy.playing import Stage
from drawbar.testing import calls, for_agents, says
from drawbar.testing.wrappings import unwrapped

SDK = (
    "meta=None content=[TextContent(type='text', text='it\\'s\\n7', annotations=None), TextContent(type='text', "
    'text="8")] is_error=False'
)


def offered(*names: str) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name}} for name in names]


@pytest.mark.parametrize(
    "shown", ["search", "mcp__drawbar__search", "drawbar_search", "drawbar-search", "mcp_drawbar_search"]
)
def test_a_model_reads_and_uses_tools_under_their_own_names(shown: str) -> None:
    stage = Stage([calls(shown, query="tides")], offered(shown, "other"))
    assert [tool["function"]["name"] for tool in stage.tools] == ["search", "other"]
    assert stage.messages[0]["tool_calls"][0]["function"]["name"] == "search"
    assert stage.answer(calls("search", query="tides"))["tool_calls"][0]["function"]["name"] == shown
    assert stage.answer(calls(shown, query="tides"))["tool_calls"][0]["function"]["name"] == shown


def test_names_that_would_be_the_same_without_their_prefix_are_left_apart() -> None:
    stage = Stage([], offered("mcp__a__search", "mcp__b__search"))
    assert [tool["function"]["name"] for tool in stage.tools] == ["mcp__a__search", "mcp__b__search"]


def test_words_in_parts_are_read_as_one_text_and_images_stay() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    parts: list[Any] = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    stage = Stage([{"role": "user", "content": parts}, {"role": "user", "content": [*parts, image]}], [])
    assert [message["content"] for message in stage.messages] == ["a\nb", [*parts, image]]


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("7", "7"),
        ("Wall time: 0.1 seconds\nOutput:\n7", "7"),
        ("<untrusted_context>\n7\n</untrusted_context>", "7"),
        (json.dumps({"content": [{"type": "text", "text": "7"}], "isError": False}), "7"),
        ('{"output":"7"}', "7"),
        ('[{"text":"7"},{"text":"8"}]', "7\n8"),
        (SDK, "it's\n7\n8"),
        ('{"town":"Ghent"}', '{"town":"Ghent"}'),
        ("[not json", "[not json"),
    ],
)
def test_results_are_taken_out_of_the_forms_that_agents_put_them_into(shown: str, said: str) -> None:
    assert unwrapped(shown) == said


async def test_tool_calls_that_were_told_in_words_are_read_as_what_they_were() -> None:
    heard: list[Any] = []

    async def model(messages: Any, tools: Any, task: Any) -> Any:
        heard.extend(messages)
        return says("done")

    told = "Let me see.\nCalling tools:\n[{'id': 'c1', 'type': 'function', 'function': {'name': 'a', 'arguments': {}}}]"
    opening = [{"role": "assistant", "content": told}, {"role": "user", "content": "Observation:\n7"}]
    assert await for_agents(model)(opening, offered("a"), None) == says("done")
    assert heard[0]["content"] == "Let me see."
    assert heard[0]["tool_calls"][0]["id"] == heard[1]["tool_call_id"] == "c1"
    assert (heard[1]["role"], heard[1]["content"]) == ("tool", "7")
