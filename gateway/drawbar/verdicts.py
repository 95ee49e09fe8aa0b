"""Reading a judge's reply: which of the verdicts did it give? Pure text in, a verdict or nothing out.

A line gives a verdict when it is one by itself (`yes`, `**A**`, `(B).`, `\\boxed{C}`) or says so (`Verdict: yes,
because ...`, `"grade": "A"`, `The final answer is B.`). The last such line counts, because a judge that reasons
decides at the end. A verdict in the middle of a sentence never counts ("that is not correct" is not `correct`): no
score is better than a wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_MARKUP = " \t*_`'\"()[]{}<>.,;:!#$|"
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_SAYS = (
    r"(?:verdict|grade|judg[e]?ment|score|rating|decision|result|(?:final|my) answer)"
    r"[\s*_`'\"]*(?:[:=]|\bis\b)[\s*_`'\"(\[$]*"
)
_ENDS = r"[\s*_`'\"\])}$]*(?:$|[.;,!(](?!\d)|\s[-–—]\s)"


def find_verdict(reply: str, verdicts: Iterable[str]) -> str | None:
    """The verdict that the reply gives, as `verdicts` spells it; None if it gives none.

    Case matters only where two verdicts differ by nothing else.
    """
    spelled = _Spelled(verdicts)
    says = re.compile(_SAYS + "(" + "|".join(map(re.escape, spelled.longest_first)) + ")" + _ENDS, re.IGNORECASE)
    for line in reversed(without_thoughts(reply).splitlines()):
        found = _on_line(_BOXED.sub(r"\1", line), spelled, says)
        if found is not None:
            return found
    return None


def without_thoughts(reply: str) -> str:
    """A reply without what its model thought aloud before it."""
    return _THOUGHT.sub("", reply)


def _on_line(line: str, spelled: _Spelled, says: re.Pattern[str]) -> str | None:
    said = says.findall(line)
    words = (line.strip(), line.strip(_MARKUP), *said[-1:])
    return next((found for word in words if (found := spelled.find(word)) is not None), None)


class _Spelled:
    """The verdicts by how a judge may write them."""

    def __init__(self, verdicts: Iterable[str]) -> None:
        self.longest_first = sorted(verdicts, key=len, reverse=True)
        self._folded = {verdict.casefold(): verdict for verdict in self.longest_first}

    def find(self, word: str) -> str | None:
        if len(self._folded) == len(self.longest_first):
            return self._folded.get(word.casefold())
        return word if word in self.longest_first else None
