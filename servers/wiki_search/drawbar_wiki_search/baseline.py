"""The baseline: an honest policy without an LLM. It sees what any model sees, never the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from drawbar import Task
from drawbar_wiki_search import transcript
from drawbar_wiki_search.spans import Passage, best_span, key_terms

_PAGES: Final = 3
_SECTIONS: Final = 10


async def baseline(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], task: Task | None
) -> Mapping[str, Any]:
    """Search for the question's key terms, read the best pages' sections, answer with the best span."""
    turn = sum(message["role"] == "assistant" for message in messages)
    asked = transcript.question(messages if task is None else task.messages)  # agents put words of their own before it
    so_far = transcript.used(messages)
    if turn == 0:
        return transcript.call(turn, ("search_pages", {"query": " ".join(key_terms(asked)), "limit": _PAGES}))
    pages = [page for u in so_far for page in u.page_ids]
    if turn == 1 and pages:
        return transcript.call(turn, *(("view_sections", {"page_id": page}) for page in pages[:_PAGES]))
    sections = [section for u in so_far for section in u.section_ids]
    if turn == 2 and sections:
        return transcript.call(turn, *(("read_section", {"section_id": s}) for s in sections[:_SECTIONS]))
    passages = [
        Passage(str(u.arguments["section_id"]).rpartition(":")[0], u.result.partition("\n\n")[2])
        for u in so_far
        if u.name == "read_section"
    ]
    span = best_span(asked, passages)
    return transcript.answer("I do not know.", []) if span is None else transcript.answer(span.text, [span.page_id])
