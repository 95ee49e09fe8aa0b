"""A page of a wiki and its sections. Text is plain; headings are lines that begin with `## ` (or more `#`)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

LEAD = "Introduction"
"""The name of what stands before the first heading."""

_HEADING = re.compile(r"^#{2,6} +(.+?)\s*$")


@dataclass(frozen=True, slots=True)
class Page:
    """One article."""

    id: str
    title: str
    text: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Redirect:
    """A title under which a page can be found too."""

    title: str
    target: str
    """The title of a page or of another redirect."""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a page; its id is `page id:slug of the heading`, made unique within the page."""

    id: str
    title: str
    text: str


def slug(text: str) -> str:
    """Lower-case words joined by `-`: what a heading becomes in a section id."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", plain)) or "section"


def split_sections(page_id: str, text: str) -> Iterator[Section]:
    """The sections of a page in order, the lead first; empty ones are left out."""
    taken: dict[str, int] = {}
    heading, lines = LEAD, list[str]()
    for line in [*text.splitlines(), None]:
        match = None if line is None else _HEADING.match(line)
        if line is not None and match is None:
            lines.append(line)
            continue
        body = "\n".join(lines).strip()
        if body:
            name = slug(heading)
            taken[name] = taken.get(name, 0) + 1
            unique = name if taken[name] == 1 else f"{name}-{taken[name]}"
            yield Section(f"{page_id}:{unique}", heading, body)
        if match is not None:
            heading, lines = match[1], []
