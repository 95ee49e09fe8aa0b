"""Some of many candidates, so that each kind of them has its share. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Final, TypeAlias

from drawbar.alike import groups
from drawbar.capture.candidate import Candidate
from drawbar.errors import ConfigurationError, nearest
from drawbar.ids import digest

CLUSTER: Final = 0.3
"""From which likeness on requests are about the same: phrasings of one question, forms that are filled in."""
BINS: Final = 5
"""Of rewards, each with as many candidates as the others where rewards are many."""

Kinds: TypeAlias = Sequence[str]


def sampled(candidates: Sequence[Candidate], count: int, by: Sequence[str] = ("cluster",), seed: int = 0) -> list[
    Candidate
]:  # fmt: skip
    """`count` of the candidates, in their order; all, if they are no more.

    `by` names what makes kinds: `cluster` (requests about the same), `reward` (in five bins of the same size; each
    value one, where there are no more than five; none is a kind too), `model`, `tag` (all tags of a candidate
    together), `environment`, `release`, `harness`, `user`, `answer` (where its reference answer is from). Several make
    a kind of each combination. Every kind has its share by the number of its candidates, and one at least as long as
    there are no more kinds than `count`. Which of a kind are taken is by chance, and the same for the same seed:
    candidates that are added change little in it.

    Raises:
        ConfigurationError: a kind that is none, or a count below 1.
    """
    if count < 1:
        raise ConfigurationError(f"A sample has 1 task or more, not {count}.")
    strata = _strata(candidates, by)
    chance = {at: digest(f"{seed} {each.session}".encode()) for at, each in enumerate(candidates)}
    for stratum in strata:
        stratum.sort(key=chance.__getitem__)
    taken = [stratum[:share] for stratum, share in zip(strata, _shares(strata, count, chance), strict=True)]
    return [candidates[at] for at in sorted(at for some in taken for at in some)]


def _strata(candidates: Sequence[Candidate], by: Sequence[str]) -> list[list[int]]:
    for name in by:
        if name not in _KINDS:
            raise ConfigurationError(f"Candidates are of no kind {name!r}.{nearest(name, _KINDS)}")
    named = [_KINDS[name](candidates) for name in by]
    found: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for at in range(len(candidates)):
        found[tuple(names[at] for names in named)].append(at)
    return list(found.values())


def _shares(strata: Sequence[Sequence[int]], count: int, chance: Mapping[int, bytes]) -> list[int]:
    """How many of each: by size, by the largest remainders (Hamilton's method) after the one that each has anyway."""
    total = sum(map(len, strata))
    count = min(count, total)
    least = 1 if count >= len(strata) else 0
    open_to = total - least * len(strata)
    quotas = [
        Fraction((count - least * len(strata)) * (len(stratum) - least), open_to or 1) for stratum in strata
    ]  # exact, so that no rounding makes two machines differ
    shares = [least + int(quota) for quota in quotas]
    nearest_up = sorted(range(len(strata)), key=lambda at: (int(quotas[at]) - quotas[at], chance[strata[at][0]]))
    for at in nearest_up[: count - sum(shares)]:
        shares[at] += 1
    return shares


def _clusters(candidates: Sequence[Candidate]) -> Kinds:
    names = [""] * len(candidates)
    for number, group in enumerate(groups([each.request for each in candidates], CLUSTER)):
        for at in group:
            names[at] = str(number)
    return names


def _rewards(candidates: Sequence[Candidate]) -> Kinds:
    known = sorted(each.reward for each in candidates if each.reward is not None)
    edges = sorted(set(known))
    if len(edges) > BINS:
        edges = sorted({known[len(known) * part // BINS] for part in range(1, BINS)})
    return ["" if each.reward is None else str(bisect_right(edges, each.reward)) for each in candidates]


def _named(name: str) -> Callable[[Sequence[Candidate]], Kinds]:
    return lambda candidates: [str(getattr(each, name) or "") for each in candidates]


_KINDS: Final[Mapping[str, Callable[[Sequence[Candidate]], Kinds]]] = {
    "cluster": _clusters,
    "reward": _rewards,
    "tag": lambda candidates: ["\n".join(sorted(set(each.tags))) for each in candidates],
    "model": _named("model"),
    "environment": _named("environment"),
    "release": _named("release"),
    "harness": _named("harness"),
    "user": _named("user"),
    "answer": _named("answer_source"),
}
KINDS: Final = tuple(_KINDS)
"""What `by` can name."""
