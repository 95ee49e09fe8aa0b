"""What a model was shown as a tool's result, compared with what the server said.

Harnesses put results into other forms: inside of JSON or of a Python literal, the structured content in place of the
words, keys in another order, numbers before the lines. All that is `wrapped`, as long as nothing is lost. White space,
quotes and escapes are form; letters, digits and other signs are content.

Every step takes time in proportion to the texts, and the dear ones come last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from json import JSONDecoder
from typing import Any, Final

from drawbar.record.arguments import exact
from drawbar.record.asked import Shown
from drawbar.record.said import Said
from drawbar.record.skeleton import lines, skeleton
from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import dump, load

WHOLE: Final = frozenset({"same", "wrapped"})
"""The verdicts by which nothing is amiss."""

_PROBE: Final = 24
"""Characters by which a text's beginning and end are looked for."""
_SHORT: Final = 8
"""Letters and digits up to so many must stand alone."""
_PLACES: Final = 8
"""Places in a text from which JSON is read."""
_DEEPEST: Final = 6
"""How far into that JSON a value is looked for."""
_MISSES: Final = 64
"""Lines that are looked for in vain before a text is taken for another one."""
_SOME: Final = 0.3
"""The share of a result's lines that makes what was shown a part of it."""
_WORDS: Final = 200_000
"""Characters of which the words are compared."""
_COMMON: Final = 0.2
"""The share of the fewer words that both have, below which they have nothing in common."""
_TELLS_OF_A_CUT: Final = re.compile(
    r"truncat|omitted|left out|too (large|long)|saved to|clipped|shortened|\[\.\.\.|\.\.\.\s|…|more (lines|characters)",
    re.IGNORECASE,
)
_STARTS: Final = re.compile(r"[{\[]")
_WORD: Final = re.compile(r"\w+")


def compare(said: Said, shown: Shown) -> str:
    """`same`, `wrapped` (all of it, in another form), `truncated`, `altered`, `invented` (nothing in common) or
    `missing` (nothing at all)."""
    text, words = shown.text.strip(), said.text.strip()
    has_data = bool(shown.media) or all(data in shown.text for data in said.data)
    if has_data and (text == words or _is_same_json(said, words, text)):
        return "same"
    if has_data and (_holds_structure(said.structured, text) or _holds_words(said.texts, text)):
        return "wrapped"
    if not text and not shown.media:
        return "missing"
    if not has_data and (not words or _holds_words(said.texts, text)):
        return "truncated"
    return _part(words or _json(said.structured), text)


def is_in(said: Said, texts: Iterable[str]) -> str | None:
    """The same for a result that may stand somewhere among words: `same`, `wrapped`, `truncated`; None: it does not."""
    all_texts = [text for text in texts if text]
    if said.text.strip() in (text.strip() for text in all_texts):
        return "same"
    text = "\n".join(all_texts)
    if _holds_structure(said.structured, text) or _holds_words(said.texts, text):
        return "wrapped"
    if _TELLS_OF_A_CUT.search(text):
        whole, there = skeleton(said.text), skeleton(text)
        head, tail = _ends(whole, there)[:2]
        return "truncated" if head + tail >= min(len(whole) // 2, 8 * _PROBE) else None
    return None


# All of it


def _is_same_json(said: Said, words: str, text: str) -> bool:
    value = _loaded(text)
    if value is None:
        return False
    key = exact(value)
    if said.structured is not None and key == exact(said.structured):
        return True
    return (other := _loaded(words)) is not None and key == exact(other)


def _holds_words(texts: Iterable[str], text: str) -> bool:
    """Whether all of a result's words stand in the text, in their order."""
    pieces = [piece for each in texts if (piece := each.strip())]
    if any(_in_order(form, text) for form in _forms(pieces)):
        return True
    if len(pieces) == 1 and _holds_value(_loaded(pieces[0]), text):
        return True
    bare = [skeleton(piece) for piece in pieces]
    if not all(bare) or any(_is_word(piece) for piece in pieces):
        return False
    there = skeleton(text)
    return _in_order(bare, there) or _in_order([line for piece in pieces for line in lines(piece)], there)


def _forms(pieces: Sequence[str]) -> Iterator[list[str]]:
    """The commonest ways in which texts stand inside of something else: as they are, in JSON, in a Python literal."""
    yield list(pieces)
    yield [_json(piece)[1:-1] for piece in pieces]
    yield [repr(piece)[1:-1] for piece in pieces]


def _in_order(pieces: Iterable[str], text: str) -> bool:
    place = 0
    for piece in pieces:
        if _is_word(piece):
            found = re.compile(rf"(?:(?<![^\W_])|(?<=\\[nrt])){piece}(?![^\W_])").search(text, place)
            start = -1 if found is None else found.start()
        else:
            start = text.find(piece, place)
        if start < 0:
            return False
        place = start + len(piece)
    return True


def _is_word(piece: str) -> bool:
    """Whether it is so short that it may stand in any text as a part of a word."""
    return len(piece) <= _SHORT and piece.isascii() and piece.isalnum()


def _holds_structure(structured: Any, text: str) -> bool:
    if structured is None:
        return False
    return skeleton(_json(structured)) in skeleton(text) or _holds_value(structured, text)


def _holds_value(target: Any, text: str) -> bool:
    """Whether a JSON value stands in the text, however it is written."""
    if not isinstance(target, dict | list) or not target:
        return False
    key = exact(target)
    return any(_is_inside(target, key, value, _DEEPEST) for value in _values(text))


def _is_inside(target: dict[str, Any] | list[Any], key: bytes, value: Any, depth: int) -> bool:
    if isinstance(value, str):
        value = _loaded(value) if value[:1] in ("{", "[") else None
    if not isinstance(value, dict | list) or depth == 0:
        return False
    if type(value) is type(target) and len(value) == len(target) and exact(value) == key:
        return True
    inner = value.values() if isinstance(value, dict) else value
    return any(_is_inside(target, key, each, depth - 1) for each in inner)


def _values(text: str) -> Iterator[Any]:
    """The JSON values of a text: it is one, or has some among its words."""
    whole = _loaded(text)
    if whole is not None:
        yield whole
        return
    decoder, end = JSONDecoder(), 0
    for _ in range(_PLACES):
        start = _STARTS.search(text, end)
        if start is None:
            return
        try:
            value, end = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            end = start.end()
        else:
            yield value


def _loaded(text: str) -> Any:
    """The object or list that a text is; None: it is none."""
    if text[:1] not in ("{", "["):
        return None
    try:
        return load(text)
    except BadBody:
        return None


def _json(value: Any) -> str:
    return "" if value is None else dump(value).decode()


# A part of it, or something else


def _part(words: str, text: str) -> str:
    """`truncated`, `altered` or `invented`: not all of the words stand in the text."""
    said, shown = skeleton(words), skeleton(text)
    head, tail, between = _ends(said, shown)
    tells = bool(_TELLS_OF_A_CUT.search(text))
    kept = head + tail
    left_out = len(said) - kept
    is_cut = tells or (left_out > between and (left_out >= _PROBE or not tail))
    if kept and is_cut and (tells or 2 * kept >= len(shown)):
        return "truncated"
    found = _share_of_lines(words, shown)
    if found >= _SOME and (tells or len(shown) < len(said)):
        return "truncated"
    return "altered" if found or _in_common(words, text) >= _COMMON else "invented"


def _ends(said: str, shown: str) -> tuple[int, int, int]:
    """How many characters of the beginning and of the end were shown, and how many others stand after or between."""
    start = shown.find(said[:_PROBE]) if said else -1
    head = _common(said, shown[start:]) if start >= 0 else 0
    after = max(0, start) + head
    rest = said[head:]
    stop = shown.rfind(rest[-_PROBE:], after) if len(rest) > _PROBE else -1
    if stop < 0:
        return head, 0, len(shown) - after
    stop += _PROBE
    tail = _common(rest[::-1], shown[after:stop][::-1])
    return head, tail, stop - tail - after


def _common(a: str, b: str) -> int:
    """How many characters both begin with."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _share_of_lines(words: str, shown: str) -> float:
    """The share of a result's characters in lines that were shown whole and in order."""
    place = found = total = misses = 0
    for line in lines(words):
        total += len(line)
        if len(line) < _PROBE // 2 or misses > _MISSES:
            continue
        at = shown.find(line, place)
        misses += at < 0
        if at >= 0:
            place = at + len(line)
            found += len(line)
    return found / total if total else 0.0


def _in_common(words: str, text: str) -> float:
    said, shown = ({*_WORD.findall(each[:_WORDS].lower())} for each in (words, text))
    fewer = min(len(said), len(shown))
    return len(said & shown) / fewer if fewer else 0.0
