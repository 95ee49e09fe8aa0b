"""The three tools that an agent sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ParamSpec, TypeVar

import anyio.to_thread
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from drawbar_wiki_search.index import WikiIndex

P = ParamSpec("P")
T = TypeVar("T")

_LARGE = 20_000
"""Pages from which a look-up is long enough (milliseconds) to leave the event loop for."""


class WikiTools:
    """The tools over one index. Stateless, so that all sessions share them."""

    def __init__(self, index: WikiIndex) -> None:
        self._index = index

    async def search_pages(
        self,
        query: Annotated[str, Field(description="Key words: names, places, terms. Not a whole question.")],
        limit: Annotated[int, Field(description="How many pages to list.", ge=1, le=20)] = 5,
    ) -> str:
        """Search the wiki. Lists the best pages with their page ids and a snippet of each."""
        hits = await self._look_up(self._index.search, query, limit)
        if not hits:
            return f"No page matches {query!r}. Try other or fewer words."
        return "\n".join(
            f"{n}. {hit.title} (page_id: {hit.page_id})\n   {hit.snippet}" for n, hit in enumerate(hits, 1)
        )

    async def view_sections(self, page_id: Annotated[str, Field(description="A page id from search_pages.")]) -> str:
        """List the sections of a page: their section ids, titles and lengths."""
        sections = await self._look_up(self._index.sections, page_id)
        if sections is None:
            raise ToolError(await self._unknown_page(page_id))
        listed = "\n".join(f"{s.title} (section_id: {s.id}, {len(s.text.split())} words)" for s in sections)
        return listed or f"Page {page_id!r} is empty."

    async def read_section(
        self, section_id: Annotated[str, Field(description="A section id from view_sections.")]
    ) -> str:
        """Read one section of a page."""
        section = await self._look_up(self._index.section, section_id)
        if section is not None:
            return f"{section.title}\n\n{section.text}"
        page_id = section_id.rpartition(":")[0] or section_id
        sections = await self._look_up(self._index.sections, page_id)
        if sections is None:
            raise ToolError(await self._unknown_page(page_id))
        raise ToolError(
            f"There is no section {section_id!r}. Page {page_id!r} has: {', '.join(s.id for s in sections)}."
        )

    async def _unknown_page(self, page_id: str) -> str:
        if (by_title := await self._look_up(self._index.by_title, page_id)) is not None:
            return f"{page_id!r} is a title, not a page id. Its page id is {by_title!r}."
        near = await self._look_up(self._index.search, page_id.replace("-", " "), 3)
        hint = (
            f" Did you mean {', '.join(repr(hit.page_id) for hit in near)}?"
            if near
            else " Find page ids with search_pages."
        )
        return f"There is no page {page_id!r}.{hint}"

    async def _look_up(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if len(self._index) < _LARGE:
            return function(*args, **kwargs)
        return await anyio.to_thread.run_sync(lambda: function(*args, **kwargs))
