"""Texts that are nearly the same: groups of them, and texts that repeat what is held out. Pure; knows no sessions.

Two texts are as alike as their sets of `SHINGLE`-character pieces overlap (Jaccard: common pieces by all pieces), after
Unicode's compatibility forms, case and white space have been made the same. Characters and not words, so that a task of
one line has pieces enough to tell, and a language that writes no spaces too.

Which pairs are worth a look is found by MinHash and banding (Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of
Massive Datasets", chapter 3); every pair is then compared exactly, so nothing below the threshold is ever taken for
alike. A pair at the threshold is overlooked in less than one of 1,000 cases (at a threshold of 0.3: of 400), one well
above it practically never. Where thousands of texts are all nearly alike and still below the threshold, each is
compared in vain with some others only (`_IN_VAIN`), so that time stays linear.

Memory is a kilobyte per distinct text beside the texts themselves, which are asked for by position: a sequence may load
them as they are needed.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Set
from functools import lru_cache
from itertools import groupby
from operator import eq
from typing import Final, Protocol
from unicodedata import normalize

from rensa import RMinHash

from drawbar.errors import ConfigurationError
from drawbar.ids import digest
from drawbar.wire.tolerant import whole

THRESHOLD: Final = 0.85
"""From which likeness on two texts are near duplicates, unless told otherwise."""
SHINGLE: Final = 5
"""Characters in a piece."""
CONTAINED: Final = 40
"""Characters from which on a held-out text is also looked for inside longer ones; a shorter one ("Hello, can you help
me?") stands in many texts that have nothing to do with it."""

_HASHES: Final = 128
_MISSED: Final = 1e-4
"""Of the pairs at the threshold, those that share no band."""
_DOUBT: Final = 0.14
"""A pair whose signatures agree by so much less than the threshold (four standard deviations) is not compared."""
_IN_VAIN: Final = 48
"""So many comparisons of a text may find it unlike the other one; more, where there are few texts, until there are
`_COMPARISONS` in all."""
_COMPARISONS: Final = 50_000
_CACHED: Final = 1024
"""Sets of pieces that are kept for the next comparison."""
_SPACE: Final = re.compile(r"\s+")


class Texts(Protocol):
    """Texts by position, like a list's; they may be loaded as they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> str: ...


def plain(text: str) -> str:
    """The text as it is compared."""
    return _SPACE.sub(" ", normalize("NFKC", text).casefold()).strip()


def likeness(one: str, other: str) -> float:
    """From 0 to 1: the share of the pieces of both that both have. Texts without any piece are alike."""
    return _jaccard(_shingles(one), _shingles(other))


def groups(texts: Texts, threshold: float = THRESHOLD, *, seed: int = 1) -> list[list[int]]:
    """Positions of texts that can stand for each other: all of a group are alike to its first, which is its earliest.

    So who wants some texts kept rather than others puts them first. Every text is in one group, groups are in the order
    of their first ones, and the same texts, threshold and seed give the same groups.

    Raises:
        ConfigurationError: a threshold that is not above 0 and at most 1.
    """
    sketches = _Sketches(texts, seed)
    families = sketches.families(_checked(threshold))
    return sketches.spread(group for family in families for group in sketches.led(family, threshold))


def linked(texts: Texts, threshold: float = THRESHOLD, *, seed: int = 1) -> list[list[int]]:
    """Positions of texts that hang together: each is alike to one of its group at least, none to one of another group.

    A chain of alike texts is one group, though its ends may not be alike: what a split into train and test goes by.

    Raises:
        ConfigurationError: a threshold that is not above 0 and at most 1.
    """
    sketches = _Sketches(texts, seed)
    return sketches.spread(sketches.families(_checked(threshold)))


class HeldOut:
    """Finds texts that repeat one of a set: as a whole, or somewhere inside. Exact, no hashing of chance.

    Memory grows with the pieces of the held-out texts, about 150 bytes for each; texts that are looked up cost none.

    Raises:
        ConfigurationError: a threshold that is not above 0 and at most 1.
    """

    def __init__(self, texts: Iterable[str], threshold: float = THRESHOLD) -> None:
        self._threshold = _checked(threshold)
        self._having: dict[str, list[int]] = defaultdict(list)
        self._sizes: list[int] = []
        self._searched: list[bool] = []
        for position, text in enumerate(texts):
            compared = plain(text)
            pieces = _pieces(compared)
            self._sizes.append(len(pieces))
            self._searched.append(len(compared) >= CONTAINED)
            for piece in pieces:
                self._having[piece].append(position)

    def find(self, text: str) -> tuple[int, float] | None:
        """The position of the held-out text that this one repeats most, and how much of it; None: it repeats none.

        How much: the share of the held-out text's pieces that stand here, if it has `CONTAINED` characters; else
        `likeness`.
        """
        pieces = _shingles(text)
        shared = Counter(position for piece in pieces if piece in self._having for position in self._having[piece])
        best = max(((self._share(p, count, len(pieces)), -p) for p, count in shared.items()), default=(0.0, 0))
        return (-best[1], best[0]) if best[0] >= self._threshold else None

    def _share(self, position: int, shared: int, size: int) -> float:
        own = self._sizes[position]
        return shared / own if self._searched[position] else shared / (own + size - shared)


class _Sketches:
    """The signature of each distinct text, all in one block of memory, and its pieces as long as they are asked for."""

    def __init__(self, texts: Texts, seed: int) -> None:
        self._same: dict[int, list[int]] = {}
        """Each distinct text's position, and those of all that are the same."""
        self._row: dict[int, int] = {}
        self._signatures = array("I")
        self._pieces: Callable[[int], Set[str]] = lru_cache(_CACHED)(lambda at: _shingles(texts[at]))
        first: dict[bytes, int] = {}
        for position in range(len(texts)):
            text = plain(whole(texts[position]))
            leader = first.setdefault(digest(text.encode()), position)
            self._same.setdefault(leader, []).append(position)
            if leader == position:
                self._row[position] = len(self._row)
                sketch = RMinHash(num_perm=_HASHES, seed=seed)
                sketch.update(_pieces(text))
                self._signatures.extend(sketch.digest())

    @property
    def _in_vain(self) -> int:
        return max(_IN_VAIN, _COMPARISONS // max(1, len(self._row)))

    def families(self, threshold: float) -> list[list[int]]:
        """Distinct texts that hang together, each family in order."""
        parents = {text: text for text in self._row}
        in_vain: Counter[int] = Counter()
        most = self._in_vain
        for band in self._bands(_rows(threshold)):
            for at, text in enumerate(band):
                for other in band[max(0, at - most // 3) : at]:
                    one, two = _root(parents, text), _root(parents, other)
                    if one == two or in_vain[text] >= most:
                        continue
                    if self._are_alike(text, other, threshold):
                        parents[max(one, two)] = min(one, two)
                    else:
                        in_vain[text] += 1
        found: dict[int, list[int]] = defaultdict(list)
        for text in parents:
            found[_root(parents, text)].append(text)
        return list(found.values())

    def led(self, family: list[int], threshold: float) -> Iterable[list[int]]:
        """The family in groups, all of one alike to its first."""
        led: dict[int, list[int]] = {}
        most = self._in_vain
        leaders: dict[tuple[int, bytes], list[int]] = defaultdict(list)
        for text in family:
            keys = list(enumerate(self._keys(text, _rows(threshold)))) if len(family) > 1 else []
            near = sorted({lead for key in keys for lead in leaders[key][: most // 3]})[:most]
            leader = next((lead for lead in near if self._are_alike(lead, text, threshold)), text)
            led.setdefault(leader, []).append(text)
            if leader == text:
                for key in keys:
                    leaders[key].append(text)
        return led.values()

    def spread(self, found: Iterable[list[int]]) -> list[list[int]]:
        """Groups of distinct texts with all that are the same, in order."""
        return sorted(sorted(same for text in group for same in self._same[text]) for group in found)

    def _bands(self, rows: int) -> Iterator[list[int]]:
        """Texts whose signatures are the same in one band of them, in their order."""
        for start in range(0, _HASHES - rows + 1, rows):
            keys = {text: self._signature(text)[start : start + rows].tobytes() for text in self._row}
            for _, band in groupby(sorted(keys, key=keys.__getitem__), keys.__getitem__):
                yield list(band)

    def _keys(self, text: int, rows: int) -> Iterator[bytes]:
        signature = self._signature(text)
        return (signature[start : start + rows].tobytes() for start in range(0, _HASHES - rows + 1, rows))

    def _signature(self, text: int) -> memoryview:
        row = self._row[text]
        return memoryview(self._signatures)[row * _HASHES : (row + 1) * _HASHES]

    def _are_alike(self, one: int, other: int, threshold: float) -> bool:
        agreeing = sum(map(eq, self._signature(one), self._signature(other)))
        if agreeing / _HASHES < threshold - _DOUBT:
            return False
        return _jaccard(self._pieces(one), self._pieces(other)) >= threshold


def _rows(threshold: float) -> int:
    """Hashes in a band: as many as overlook few enough pairs at the threshold; the more, the fewer comparisons."""
    fitting = [r for r in range(2, _HASHES + 1) if (1 - threshold**r) ** (_HASHES // r) <= _MISSED]
    return min(max(fitting, default=2), _HASHES // 8)


def _root(parents: dict[int, int], text: int) -> int:
    while (parent := parents[text]) != text:
        parents[text] = parents[parent]
        text = parent
    return text


def _shingles(text: str) -> Set[str]:
    return _pieces(plain(whole(text)))


def _pieces(compared: str) -> Set[str]:
    if len(compared) <= SHINGLE:
        return {compared} if compared else set()
    return {compared[at : at + SHINGLE] for at in range(len(compared) - SHINGLE + 1)}


def _jaccard(some: Set[str], others: Set[str]) -> float:
    if not some and not others:
        return 1.0
    common = len(some & others)
    return common / (len(some) + len(others) - common)


def _checked(threshold: float) -> float:
    if not 0 < threshold <= 1:
        raise ConfigurationError(f"Texts are alike from a share of more than 0 up to 1 on, not from {threshold:g}.")
    return threshold
