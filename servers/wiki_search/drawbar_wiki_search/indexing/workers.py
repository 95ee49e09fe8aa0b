"""Markup turned into text by processes of our own: in order, bounded, and with an end for every page.

A process has one page at a time, so that the page which takes too long or kills it is known, and costs only itself.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Final, cast

from drawbar_wiki_search.pages import Page, Redirect

PATIENCE: Final = 60.0
"""Seconds that one page may take (the start of its process included)."""
_IN_LINE_PER_JOB: Final = 32
"""Pages and redirects that may wait for an earlier page to be done."""


@dataclass(frozen=True, slots=True)
class Rough:
    """A page whose markup was read by patterns alone."""

    page: Page
    reason: str


@dataclass(slots=True)
class _Slot:
    item: Page | Redirect
    done: Page | Redirect | Rough | None = None


def convert(
    items: Iterable[Page | Redirect], *, jobs: int, patience: float = PATIENCE
) -> Generator[Page | Redirect | Rough]:
    """The items in their order, the pages' markup as text; closing the iterator ends the processes."""
    crew = _Crew(jobs, patience)
    line: deque[_Slot] = deque()
    try:
        for item in items:
            slot = _Slot(item, item if isinstance(item, Redirect) else None)
            line.append(slot)
            if slot.done is None:
                crew.take(slot)
            while line and (line[0].done is not None or len(line) > jobs * _IN_LINE_PER_JOB):
                yield crew.finished(line.popleft())
        while line:
            yield crew.finished(line.popleft())
    finally:
        crew.end()


class _Crew:
    """Up to `jobs` processes, started when there is work for them."""

    def __init__(self, jobs: int, patience: float) -> None:
        self._jobs, self._patience = max(1, jobs), patience
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, _Worker] = {}

    def take(self, slot: _Slot) -> None:
        """Give a page to a process that is free, waiting for one if need be."""
        while not self._idle and len(self._busy) >= self._jobs:
            self._collect()
        worker = self._idle.pop() if self._idle else _Worker()
        worker.start(slot)
        self._busy[worker.pipe] = worker

    def finished(self, slot: _Slot) -> Page | Redirect | Rough:
        """What became of an item, once that is known."""
        while slot.done is None:
            self._collect()
        return slot.done

    def end(self) -> None:
        """End all processes, at work or not."""
        for worker in [*self._idle, *self._busy.values()]:
            worker.kill()
        self._idle.clear()
        self._busy.clear()

    def _collect(self) -> None:
        """Wait until a page is done or overdue."""
        overdue = min(worker.since for worker in self._busy.values()) + self._patience
        ready = wait(list(self._busy), timeout=max(0.0, overdue - time.monotonic()))
        for pipe in ready:
            worker = self._busy.pop(cast(Connection, pipe))
            (self._idle.append if worker.collect() else _Worker.kill)(worker)
        for worker in list(self._busy.values()):
            if not ready and time.monotonic() - worker.since >= self._patience:
                worker.give_up(f"took over {self._patience:g} s to read")
                worker.kill()
                del self._busy[worker.pipe]


class _Worker:
    """One process, and the page that it is at."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of the index writer
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), daemon=True, name="wiki-index-reader")
        with _interrupts_held():
            self._process.start()
        theirs.close()
        self.since = time.monotonic()
        self._slot: _Slot | None = None

    def start(self, slot: _Slot) -> None:
        self._slot, self.since = slot, time.monotonic()
        assert isinstance(slot.item, Page)
        try:
            self.pipe.send_bytes(slot.item.text.encode("utf-8", "surrogatepass"))
        except OSError:  # it died while idle; reading from it says so
            pass

    def collect(self) -> bool:
        """Take the result; False if there is none because the process died."""
        try:
            answer = self.pipe.recv_bytes()
        except (EOFError, OSError):
            self.give_up("broke the markup parser")
            return False
        assert self._slot is not None
        assert isinstance(self._slot.item, Page)
        page = replace(self._slot.item, text=answer[1:].decode("utf-8", "replace"))
        self._slot.done = page if answer[:1] == _WELL else Rough(page, "could not be parsed")
        self._slot = None
        return True

    def give_up(self, reason: str) -> None:
        """Keep the page with the rough reading."""
        from drawbar_wiki_search.indexing.markup import plain_text

        assert self._slot is not None
        assert isinstance(self._slot.item, Page)
        self._slot.done = Rough(replace(self._slot.item, text=plain_text(self._slot.item.text)), reason)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self.pipe.close()


_WELL: Final = b"\x00"
_ROUGH: Final = b"\x01"


def _work(pipe: Connection) -> None:
    """What each process does: text for markup, until the other end closes."""
    from drawbar_wiki_search.indexing.markup import plain_text, to_text

    while True:
        try:
            markup = pipe.recv_bytes().decode("utf-8", "replace")
        except (EOFError, OSError):
            return
        try:
            answer, mark = to_text(markup), _WELL
        except Exception:  # whatever a page's markup does to the parser: it is one page
            answer, mark = plain_text(markup), _ROUGH
        pipe.send_bytes(mark + answer.encode("utf-8", "replace"))


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C reaches every process of the terminal; those started within leave it to this one at once.

    They inherit a mask. Here the mask is not enough: another thread may take the signal, and Python would then raise in
    the middle of a start and leave a process half told what to do. So it is kept until the block is left.
    """
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)
