"""Wiki markup to readable text: what a reader of the page would read, with headings as `## ` lines.

Left out: tables, references, files, galleries, categories, comments, and templates that do not speak within a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import mwparserfromhell
from mwparserfromhell.nodes import Argument, Comment, ExternalLink, Heading, HTMLEntity, Tag, Template, Text, Wikilink

from drawbar_wiki_search.indexing.headings import drop_appendices
from drawbar_wiki_search.indexing.templates import Arguments, read_template

_SILENT_TAGS: Final = frozenset(
    "ref references gallery table score timeline imagemap hiero style script templatestyles includeonly "
    "graph mapframe maplink section inputbox categorytree indicator noscript".split()
)
_BLOCK_TAGS: Final = frozenset("p div blockquote center poem pre syntaxhighlight source dl ul ol hr".split())
_SILENT_LINKS: Final = re.compile(r"^\s*(file|image|media|category|fichier|datei|archivo|immagine)\s*:", re.I)
_LANGUAGE_LINK: Final = re.compile(r"^[a-z]{2,3}(-[a-z]+)*:\S")
_RAISED: Final = str.maketrans("0123456789+-−n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿ")
_ITEM: Final = "\x01"
"""Stands for a list mark until the lines are tidied: nested marks become one."""


_BRACKETED: Final = re.compile(r"<!--.{0,20000}?-->|<ref[^<>]*/>|<ref\b.{0,5000}?</ref>", re.S | re.I)
"""Bounded, because a page full of unclosed ones would otherwise be searched to its end for each."""


def to_text(markup: str) -> str:
    """The readable text of a page's markup.

    Raises:
        Exception: whatever the parser raises for markup that it cannot take; `plain_text` is for those.
    """
    code = mwparserfromhell.parse(markup, skip_style_tags=True)
    return drop_appendices(_tidy(_read(code)))


def plain_text(markup: str) -> str:
    """A rough reading by patterns alone, for markup that the parser does not survive."""
    text = _BRACKETED.sub("", markup)
    for _ in range(12):  # innermost first; deeper nesting than this is left to the tidying
        text, templates = re.subn(r"\{\{[^{}]*\}\}|\{\|[^{}]*\|\}", "", text)
        text, files = re.subn(r"\[\[(?:file|image|category):[^\[\]]*\]\]", "", text, flags=re.I)
        text, links = re.subn(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]", r"\1", text)
        if not templates + files + links:
            break
    text = re.sub(r"\[https?://\S+ ([^\[\]]*)\]", r"\1", text)
    text = re.sub(r"^[*#:;]+", _ITEM, text, flags=re.M)
    text = re.sub(r"^(={2,6})\s*(.+?)\s*=+\s*$", lambda match: f"{'#' * len(match[1])} {match[2]}", text, flags=re.M)
    text = re.sub(r"</?[a-zA-Z][^<>]*>", "", text)
    return drop_appendices(_tidy(text))


def _read(code: Any) -> str:
    return "".join(map(_read_node, code.nodes)) if code is not None else ""


def _read_node(node: Any) -> str:
    if isinstance(node, Text):
        return str(node.value)
    reading = _NODES.get(type(node))
    return reading(node) if reading is not None else ""


def _read_heading(node: Heading) -> str:
    title = " ".join(_read(node.title).split())
    return f"\n\n{'#' * max(2, node.level)} {title}\n\n" if title else ""


def _read_link(node: Wikilink) -> str:
    target = str(node.title)
    if _SILENT_LINKS.match(target):
        return ""
    if node.text is not None:
        return _read(node.text)
    if _LANGUAGE_LINK.match(target):
        return ""
    return _read(node.title).lstrip(":").replace("_", " ")


def _read_external(node: ExternalLink) -> str:
    if node.title is not None:
        return _read(node.title)
    return "" if node.brackets else str(node.url)


def _read_template(node: Template) -> str:
    positional, named = list[str](), dict[str, str]()
    for parameter in node.params:
        name, value = str(parameter.name).strip(), _read(parameter.value).strip()
        if parameter.showkey and not name.isdigit():
            named[name.lower()] = value
        else:
            positional.append(value)
    return read_template(_read(node.name), Arguments(tuple(positional), named))


def _read_tag(node: Tag) -> str:
    name = str(node.tag).strip().lower()
    if name in _SILENT_TAGS:
        return ""
    if node.wiki_markup in ("*", "#"):
        return _ITEM
    if node.wiki_markup in (":", ";"):
        return ""
    if name == "br":
        return "\n"
    inside = _read(node.contents)
    match name:
        case "math" | "chem" | "ce":
            return _formula(str(node.contents))
        case "sup":
            return inside.translate(_RAISED) if re.fullmatch(r"[-+−\dn]+", inside) else inside
        case "li":
            return f"\n{_ITEM}{inside}"
        case "nowiki":
            return str(node.contents)
        case _:
            return f"\n\n{inside}\n\n" if name in _BLOCK_TAGS else inside


def _formula(source: str) -> str:
    r"""TeX without its marks: `\frac{a}{b}` as `a/b`, `\alpha` as `alpha`."""
    source = re.sub(r"\\[td]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"(\1)/(\2)", source)
    source = re.sub(
        r"\\(?:left|right|displaystyle|textstyle|mathrm|mathbf|mathit|text|operatorname|big+[lr]?|[,;!: ])", " ", source
    )
    source = re.sub(r"\\([A-Za-z]+)", r" \1 ", source)
    return " " + " ".join(re.sub(r"[{}\\&|]", " ", source).split()) + " "


_NODES: Final[dict[type, Callable[[Any], str]]] = {
    Heading: _read_heading,
    Wikilink: _read_link,
    ExternalLink: _read_external,
    Template: _read_template,
    Tag: _read_tag,
    HTMLEntity: lambda node: str(node.normalize()),
    Comment: lambda node: "",
    Argument: lambda node: _read(node.default),
}

_TIDYING: Final = tuple(
    (re.compile(pattern, re.M | re.I), replacement)
    for pattern, replacement in (
        (r"[\u200b-\u200f\u00ad\ufeff]", ""),
        (r"[\xa0\u2000-\u200a\u202f\t]", " "),
        (r"'{2,5}", ""),
        (r"__[A-Z]{3,}__", ""),
        (
            r"</?(?:ref|references|br|div|span|small|big|sub|sup|p|i|b|u|center|font|table|tr|td|th|nowiki|includeonly"
            r"|noinclude|onlyinclude|blockquote|gallery|li|ul|ol)\b[^<>\n]*>",
            "",
        ),
        (r"^[ ]*(?:\{\||\|\}|\||!).*$", ""),  # what is left of a broken table
        (r"\{\{+|\}\}+|\[\[|\]\]|\{\||\|\}", ""),
        (r"\|", " "),
        (rf"{_ITEM}[{_ITEM} ]*", "- "),
        (r"[ ]{2,}", " "),
        (r"\n{3,}", "\n\n"),
        (r"\([\s;,:]+", "("),
        (r"[\s;,:]+\)", ")"),
        (r"[ ]*\(\)|[ ]*\[\]", ""),
        (r"[ ]+([,.;:])(?=\s|$)", r"\1"),
        (r",(?:\s*,)+", ","),
        (r"^[ ]+|[ ]+$", ""),
        (r"^[-–—*•·.,;:()\s]+$", ""),
        (r"\n{3,}", "\n\n"),
    )
)


def _tidy(text: str) -> str:
    for pattern, replacement in _TIDYING:
        text = pattern.sub(replacement, text)
    return text.strip()
