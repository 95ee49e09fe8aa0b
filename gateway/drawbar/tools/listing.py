"""Reading all pages of a server's list of tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from drawbar.tools.protocol import Json

_MOST_PAGES = 100
"""A server that pages on for ever is stopped here."""


async def list_all(page: Callable[[Json], Awaitable[Json]]) -> list[Json]:
    """Every tool of a server; `page` asks for one page with the params it is given. What is no tool is left out."""
    found: list[Json] = []
    params: Json = {}
    for _ in range(_MOST_PAGES):
        said = await page(params)
        tools = said.get("tools")
        if isinstance(tools, list):
            found += [tool for tool in tools if isinstance(tool, dict) and isinstance(tool.get("name"), str)]
        cursor = said.get("nextCursor")
        if not isinstance(cursor, str) or not cursor:
            break
        params = {"cursor": cursor}
    return found
