"""When is an answer right? Case, accents, punctuation, articles and digit groups are put aside; words are compared."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_DIGIT_GROUP = re.compile(r"(?<=\d)[, \u00a0\u2009](?=\d{3}\b)")
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "æ": "ae", "œ": "oe", "đ": "d", "ð": "d", "þ": "th"})
"""Letters that Unicode does not take apart."""
_ARTICLES = frozenset(("a", "an", "the"))
_MARKUP = re.compile(r"[*_`#\[\]]")


def normalise(text: str) -> list[str]:
    """The words that count, folded: `The Île-de-France, 12,000` is `ile de france 12000`."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    folded = "".join(c for c in folded if not unicodedata.combining(c))
    folded = _DIGIT_GROUP.sub("", folded.translate(_LETTERS))
    words = re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+", folded.replace("'", "").replace("\u2019", ""))
    return [word for word in words if word not in _ARTICLES]


def contains(text: str, answer: str) -> bool:
    """Whether the answer's words stand in the text, side by side and in order."""
    hay, needle = normalise(text), normalise(answer)
    return bool(needle) and any(hay[i : i + len(needle)] == needle for i in range(len(hay) - len(needle) + 1))


def final_answer(completion: str) -> str:
    """What a completion gives as its answer: what follows its last `Answer:`, else all of it."""
    plain = _MARKUP.sub("", completion)
    marked = re.split(r"(?i)\b(?:final )?answer\s*(?:is)?\s*:", plain)
    return marked[-1].strip() if len(marked) > 1 else plain.strip()


def matches(completion: str, answers: Iterable[str], *, max_words: int = 60) -> bool:
    """Whether the completion gives one of these answers, with or without a sentence around it.

    A completion of more than `max_words` words is not an answer but a text that may hold anything: then the answer must
    stand in its last sentence.
    """
    given = final_answer(completion)
    if len(normalise(given)) > max_words:
        given = re.split(r"(?<=[.!?])\s+", given.strip())[-1]
    return any(contains(given, answer) for answer in answers)
