"""How fast a wiki index of many pages opens and answers: `python tests/benchmarks/bench_wiki_index.py [--pages N]`.

The pages are synthetic: 2-5 KB each, words by Zipf's law, English stop words the most frequent of them, so that
questions meet words that stand on nearly every page, as in a real wiki. A tenth as many redirects stand between them.
"""

from __future__ import annotations

import argparse
import itertools
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "servers" / "wiki_search"))

from drawbar_wiki_search.building import build_index
from drawbar_wiki_search.index import WikiIndex
from drawbar_wiki_search.pages import Page, Redirect

_STOP_WORDS = (
    *("the", "of", "and", "in", "to", "was", "a", "is", "for", "as", "on", "by", "with", "he", "at", "from", "that"),
    *(
        "his",
        "it",
        "an",
        "were",
        "which",
        "are",
        "this",
        "also",
        "be",
        "had",
        "or",
        "has",
        "first",
        "its",
        "new",
        "who",
    ),
)
_VOCABULARY = 200_000
_SYLLABLES = [a + b for a in "bcdfghjklmnprstvz" for b in "aeiou"]


class Writer:
    """Writes pages and asks questions, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        made = {"".join(self._random.choices(_SYLLABLES, k=self._random.randint(2, 4))) for _ in range(2 * _VOCABULARY)}
        self._words = [*_STOP_WORDS, *sorted(made)[:_VOCABULARY]]
        self._random.shuffle(self._words[len(_STOP_WORDS) :])
        self._weights = list(itertools.accumulate(1 / rank for rank in range(1, len(self._words) + 1)))

    def words(self, count: int) -> list[str]:
        return self._random.choices(self._words, cum_weights=self._weights, k=count)

    def rare(self, count: int) -> list[str]:
        return self._random.choices(self._words[1000:], k=count)

    def pages(self, count: int) -> Iterator[Page | Redirect]:
        for number in range(count):
            title = " ".join(self.rare(self._random.randint(1, 3))).title()
            paragraphs = [
                " ".join(self.words(self._random.randint(60, 140))) for _ in range(self._random.randint(5, 8))
            ]
            text = "\n\n".join(f"## Part {n}\n\n{p}." if n else f"{p}." for n, p in enumerate(paragraphs))
            yield Page(str(number), title, text)
            if number % 10 == 0:
                yield Redirect(" ".join(self.rare(2)).title(), title)

    def question(self) -> str:
        """Eight to fourteen words as they come, stop words among them, and two rare ones."""
        return " ".join([*self.words(self._random.randint(6, 12)), *self.rare(2)])


def row(name: str, works: Iterable[Callable[[], object]]) -> None:
    """One line: wall clock, and the processor's time (which others on the machine do not lengthen), in milliseconds."""
    wall, processor = list[float](), list[float]()
    for work in works:
        starts = time.perf_counter(), time.thread_time()
        work()
        wall.append((time.perf_counter() - starts[0]) * 1e3)
        processor.append((time.thread_time() - starts[1]) * 1e3)
    shown = (share(wall, 0.5), share(wall, 0.99), max(wall), share(processor, 0.99))
    print(f"{name:<34}" + "".join(f"{value:9.2f}" for value in shown))


def share(times: Sequence[float], part: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * part))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--index", type=Path, help="keep the index here, and use it if it is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.index or Path(folder) / "index"
        writer = Writer(seed=7)
        if not path.exists():
            start = time.perf_counter()
            build_index(writer.pages(options.pages), path, source="benchmark")
            print(f"built: {options.pages:,} pages in {time.perf_counter() - start:.1f} s (making them up included)")
        measure(path, Writer(seed=8), options.queries)


def measure(path: Path, writer: Writer, count: int) -> None:
    size = sum(file.stat().st_size for file in path.iterdir())
    print(f"index: {size / 1e6:,.0f} MB, {len(list(path.glob('*.store')))} segments")
    print(f"{'milliseconds':<34}{'p50':>9}{'p99':>9}{'max':>9}{'cpu p99':>9}")
    row("open and first query", [lambda: WikiIndex(path).search("first", 1)] * 50)
    index = WikiIndex(path)
    questions = [writer.question() for _ in range(count)]
    row("search, question of 8-14 words", (partial(index.search, question, 5) for question in questions))
    row("search, two rare words", (partial(index.search, " ".join(writer.rare(2)), 5) for _ in range(count)))
    ids = [hit.page_id for question in questions[:500] for hit in index.search(question, 5)]
    row("sections of a page", (partial(index.sections, id) for id in ids))
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
