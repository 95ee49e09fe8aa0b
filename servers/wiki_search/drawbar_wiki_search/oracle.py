"""The oracle: knows the answer and still walks there through the tools. It proves that the environment works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drawbar import Task
from drawbar_wiki_search import transcript


async def oracle(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], task: Task | None
) -> Mapping[str, Any]:
    """Search, list the supporting pages' sections, read them all, answer."""
    if task is None:
        return transcript.answer("An oracle needs a task.", [])
    turn = sum(message["role"] == "assistant" for message in messages)
    so_far = transcript.used(messages)
    pages = list(task.info.get("pages", ())) or [page for u in so_far for page in u.page_ids][:3]
    if turn == 0:
        return transcript.call(turn, ("search_pages", {"query": transcript.question(task.messages), "limit": 5}))
    if turn == 1 and pages:
        return transcript.call(turn, *(("view_sections", {"page_id": page}) for page in pages))
    sections = [section for u in so_far if u.name == "view_sections" for section in u.section_ids]
    if turn == 2 and sections:
        return transcript.call(turn, *(("read_section", {"section_id": section}) for section in sections))
    return transcript.answer(str(task.answer), pages)
