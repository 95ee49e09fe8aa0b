"""The three tools, called as an MCP client calls them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from mcp import Client
from mcp.types import CallToolResult, TextContent

from drawbar.server import PythonServer
from drawbar_wiki_search.environment import load_environment


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    server = load_environment().all_servers()["wiki_search"]
    assert isinstance(server, PythonServer)
    assert not callable(server.server)
    async with Client(server.server) as client:
        yield client


def text(result: CallToolResult) -> str:
    [content] = result.content
    assert isinstance(content, TextContent)
    return content.text


async def test_a_search_lists_pages_with_ids_and_snippets(client: Client) -> None:
    result = await client.call_tool("search_pages", {"query": "relativity Einstein patent office", "limit": 3})
    assert not result.is_error
    assert "(page_id: albert-einstein)" in text(result).splitlines()[0]
    assert "relativity" in text(result)
    assert result.structured_content is None


async def test_one_walks_from_a_search_to_the_words_of_a_section(client: Client) -> None:
    listed = text(await client.call_tool("view_sections", {"page_id": "albert-einstein"}))
    assert "(section_id: albert-einstein:introduction," in listed
    read = text(await client.call_tool("read_section", {"section_id": "albert-einstein:introduction"}))
    assert "14 March 1879" in read


@pytest.mark.parametrize(
    ("tool", "arguments", "hint"),
    [
        ("view_sections", {"page_id": "albert-einstien"}, "'albert-einstein'"),
        ("view_sections", {"page_id": "Albert Einstein"}, "Its page id is 'albert-einstein'"),
        ("read_section", {"section_id": "albert-einstein:childhood"}, "albert-einstein:introduction"),
        ("read_section", {"section_id": "nonsense"}, "There is no page 'nonsense'"),
        ("search_pages", {"query": "x", "limit": 0}, "greater than or equal to 1"),
    ],
)
async def test_a_bad_argument_is_an_error_that_says_how_to_go_on(
    client: Client, tool: str, arguments: dict[str, object], hint: str
) -> None:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert hint in text(result)


@pytest.mark.parametrize("query", ["", "?!", "qqqzzzx", 'title:"x" AND (', "-not +plus ^2 ~ *"])
async def test_a_strange_query_is_answered_not_an_error(client: Client, query: str) -> None:
    assert not (await client.call_tool("search_pages", {"query": query})).is_error


async def test_a_name_with_accents_is_found_without_them(client: Client) -> None:
    plain = text(await client.call_tool("search_pages", {"query": "Rontgen"}))
    accented = text(await client.call_tool("search_pages", {"query": "Röntgen"}))
    assert "(page_id: x-rays)" in plain
    assert [line for line in plain.splitlines() if "page_id" in line] == [
        line for line in accented.splitlines() if "page_id" in line
    ]
