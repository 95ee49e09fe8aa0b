"""Extractive question answering without a model: the best short span, by shared words and the type of answer."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

STOP_WORDS: Final = frozenset(
    "a about after all also an and any are as at be been before between but by can could did do does during each"
    " for from had has have he her his how if in into is it its like many more most much name no not of on one or other"
    " over she so some than that the their them then there these they this those through to two under up used was were"
    " what when where which while who whom whose why will with would year years".split()
)
_YEAR: Final = r"\b(?:1[0-9]{3}|20[0-9]{2})\b"
_QUANTITY: Final = (
    r"\b(?:about |nearly |some )?(?:\d[\d,.]*\d|\d|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
    r"(?: (?:million|billion|thousand|per cent))?(?: [a-z]+)?"
)
_NAME: Final = r"\b[A-Z][\w'’-]+(?:(?: (?:of|the|de|da|van|von|di|al))* [A-Z][\w'’-]+)*"
_NOT_NAMES: Final = frozenset(
    "January February March April May June July August September October November December"
    " The In It Its He She They A An".split()
)


@dataclass(frozen=True, slots=True)
class Passage:
    """A text and the page that it comes from."""

    page_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """A candidate answer."""

    text: str
    page_id: str
    score: float


def key_terms(question: str) -> list[str]:
    """The question's content words in order, each once."""
    words = re.findall(r"[\w'’-]+", question)
    return list(dict.fromkeys(w for w in words if w.lower() not in STOP_WORDS and len(w) > 1))


def best_span(question: str, passages: Sequence[Passage]) -> Span | None:
    """The candidate from the sentence that shares most with the question, nearest to the shared words, or None.

    A sentence scores the sum of the inverse document frequencies of the question's stems in it, and a third of its
    neighbour before it, since sentences lean on what was just said.
    """
    wanted = {_stem(term) for term in key_terms(question)}
    sentences = [(p.page_id, s) for p in passages for s in re.split(r"(?<=[.!?])\s+|\n+", p.text) if s.strip()]
    frequency = Counter(stem for _, s in sentences for stem in set(_stems(s)))
    weight = {stem: math.log(1 + len(sentences) / (1 + frequency[stem])) for stem in wanted}
    best: Span | None = None
    before = 0.0
    for page_id, sentence in sentences:
        shared = sum(weight[stem] for stem in wanted & set(_stems(sentence)))
        for text, nearness in _candidates(question, sentence, wanted):
            score = shared + before / 3 + nearness
            if best is None or score > best.score:
                best = Span(text, page_id, score)
        before = shared
    return best


def _candidates(question: str, sentence: str, wanted: set[str]) -> Iterator[tuple[str, float]]:
    """Spans of the asked-for type that are not in the question, with a bonus below 1 for standing near shared words."""
    shared = [m.start() for m in re.finditer(r"[\w'’-]+", sentence) if _stem(m[0]) in wanted]
    for match in re.finditer(_pattern(question), sentence):
        text = match[0].strip(" ,.").removeprefix("The ")
        stems = set(_stems(text))
        if text in _NOT_NAMES or not stems or stems <= wanted:
            continue
        distance = min((abs(match.start() - at) for at in shared), default=200)
        yield text, 1 / (2 + distance / 10)


def _pattern(question: str) -> str:
    asked = question.lower()
    if re.search(r"\b(?:what|which) (?:year|date)\b|\bwhen\b|\bin what year\b", asked):
        return _YEAR
    if re.search(r"\bhow (?:many|much|long|far|tall|high|deep|old|large|heavy|fast|wide)\b", asked):
        return _QUANTITY
    return _NAME


def _stems(text: str) -> list[str]:
    return [_stem(word) for word in re.findall(r"[\w'’-]+", text)]


def _stem(word: str) -> str:
    """A crude stem: enough to make `discovered` meet `discovery`."""
    return re.sub(r"(?:'s|’s|ies|ing|ed|es|er|ery|y|s|e)$", "", word.lower()) or word.lower()
