"""Where the sections of a text begin: headings as `## ` lines, found where they are not marked; long parts cut.

This works on plain text alone and knows neither dumps nor tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from drawbar_wiki_search.pages import LEAD

MAX_WORDS: Final = 800
"""Longer sections are cut into numbered parts, so that reading one stays bounded."""

_APPENDICES: Final = frozenset(
    (
        *(
            "see also",
            "references",
            "external links",
            "external link",
            "further reading",
            "notes",
            "footnotes",
            "endnotes",
        ),
        *("bibliography", "citations", "sources", "works cited", "literature cited", "explanatory notes", "gallery"),
        *("notes and references", "references and notes", "notes and citations", "notes and sources", "cited sources"),
        *("references and further reading", "references and sources", "sources and references", "general references"),
        *(
            "sources and further reading",
            "footnotes and references",
            "bibliography and further reading",
            "other websites",
        ),
        *("specific references", "general sources", "primary sources", "secondary sources", "inline citations"),
    )
)
_HEADING: Final = re.compile(r"^(#{2,6}) +(.+?)\s*$")
_WIKI_HEADING: Final = re.compile(r"^(={1,6})[ \t]*([^=\s].*?)[ \t]*\1[ \t]*$", re.M)
_HASH_HEADING: Final = re.compile(r"^(#{1,6})[ \t]+(\S.*?)[ \t]*#*[ \t]*$", re.M)
_MAX_HEADING_CHARS: Final = 80
_MAX_HEADING_WORDS: Final = 10


def headed(text: str, title: str = "") -> str:
    """The text with its headings as `## ` lines: the marked ones (`== x ==`, `# x`), else the evident ones.

    A first heading that only repeats the page's title is left out.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if _WIKI_HEADING.search(text):
        text = _WIKI_HEADING.sub(_marked, text)
    elif _HASH_HEADING.search(text):
        text = _HASH_HEADING.sub(_marked, text)
    else:
        text = "\n\n".join(_evident(re.split(r"\n[ \t]*\n", text)))
    first, _, rest = (text := text.strip()).partition("\n")
    if (match := _HEADING.match(first)) and match[2].casefold() == title.casefold():
        text = rest.strip()
    return drop_appendices(text)


def _marked(match: re.Match[str]) -> str:
    return f"\n{'#' * max(2, len(match[1]))} {match[2]}\n"


def _evident(blocks: list[str]) -> Iterator[str]:
    """The blocks (parts between blank lines), headings marked; also a heading right above its paragraph."""
    for number, block in enumerate(blocks):
        first, _, rest = block.partition("\n")
        if not block.strip():
            continue
        if number and not rest.strip() and _looks_like_heading(first) and _leads_to_prose(blocks, number + 1):
            yield f"## {first.strip()}"
        elif number and len(rest.split("\n")[0]) > _MAX_HEADING_CHARS and _looks_like_heading(first):
            yield f"## {first.strip()}\n\n{rest.strip()}"
        else:
            yield block.strip()


def _looks_like_heading(line: str) -> bool:
    """Short, begins like a title at the very start of the line (items of lists are indented), no mark at its end."""
    text = line.strip()
    return (
        0 < len(text) <= _MAX_HEADING_CHARS
        and len(text.split()) <= _MAX_HEADING_WORDS
        and not line[0].isspace()
        and not text[0].islower()
        and text[0].isalnum()
        and text[-1] not in ".,;:!?…\"”'»"
    )


def _leads_to_prose(blocks: list[str], number: int) -> bool:
    """Whether a paragraph or a list stands at `number`, or below one more heading."""
    for block in blocks[number : number + 2]:
        text = block.strip()
        if "\n" in text or len(text) > _MAX_HEADING_CHARS or text.endswith((".", ":", "!", "?")):
            return True
        if not _looks_like_heading(block):
            return False
    return False


def drop_appendices(text: str) -> str:
    """The text without the sections that only point elsewhere (`References`, `See also`), sub-sections included."""
    kept, dropped_level = list[str](), 0
    for line in text.split("\n"):
        if match := _HEADING.match(line):
            level = len(match[1])
            if dropped_level and level > dropped_level:
                continue
            dropped_level = level if match[2].strip(" :").casefold() in _APPENDICES else 0
        if not dropped_level:
            kept.append(line)
    return "\n".join(kept).strip()


def bounded(text: str, max_words: int = MAX_WORDS) -> str:
    """The text with every section of more than `max_words` words cut at paragraph ends: `History (part 2)`."""
    if len(text) <= max_words:  # fewer characters than that cannot be more words
        return text
    return "\n".join(_parts(text, max_words)).strip()


def _parts(text: str, max_words: int) -> Iterator[str]:
    heading, level, part, words = LEAD, "##", 1, 0
    for line in text.split("\n"):
        if match := _HEADING.match(line):
            level, heading, part, words = match[1], match[2], 1, 0
            yield line
            continue
        for piece in _pieces(line, max_words):
            count = len(piece.split())
            if words and words + count > max_words:
                part, words = part + 1, 0
                yield f"\n{level} {heading} (part {part})\n"
            words += count
            yield piece


def _pieces(line: str, max_words: int) -> Iterator[str]:
    """The line itself, or, if it alone is too long, pieces of it: sentences, or words where there are none."""
    if len(line) <= max_words or len(line.split()) <= max_words:
        yield line
        return
    piece, count = list[str](), 0
    for sentence in re.split(r"(?<=[.!?]) +", line):
        words = sentence.split()
        for start in range(0, len(words), max_words):
            some = words[start : start + max_words]
            if piece and count + len(some) > max_words:
                yield " ".join(piece)
                piece, count = [], 0
            piece += some
            count += len(some)
    if piece:
        yield " ".join(piece)
