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
    exact = sorted(verdicts, key=len, reverse=True)
    spelled = {verdict: verdict for verdict in exact}
    if len({verdict.casefold() for verdict in exact}) == len(exact):
        spelled |= {verdict.casefold(): verdict for verdict in exact}
    says = re.compile(_SAYS + "(" + "|".join(map(re.escape, exact)) + ")" + _ENDS, re.IGNORECASE)
    for line in reversed(_THOUGHT.sub("", reply).splitlines()):
        found = _on_line(_BOXED.sub(r"\1", line), spelled, says)
        if found is not None:
            return found
    return None


def _on_line(line: str, spelled: dict[str, str], says: re.Pattern[str]) -> str | None:
    alone = line.strip(_MARKUP)
    for word in (line.strip(), alone):
        found = spelled.get(word) or spelled.get(word.casefold())
        if found is not None:
            return found
    said = list(says.finditer(line))
    return (spelled.get(said[-1][1]) or spelled.get(said[-1][1].casefold())) if said else None
