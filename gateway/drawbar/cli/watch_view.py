"""`drawbar watch` on a terminal: what happens, drawn as it happens, and what the keys do."""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from io import StringIO
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from drawbar.cli.watch_keys import Keys, ended_by_signals, resized
from drawbar.cli.watch_screen import Picture
from drawbar.errors import ConfigurationError, StoreError, UnknownName
from drawbar.record.filter import where as read
from drawbar.watching.board import Board
from drawbar.watching.changes import Change
from drawbar.watching.sources import Source

_REDRAW: Final = 1.0
"""Seconds after which ages are drawn anew."""
_PATIENCE: Final = 0.5
_PAGE: Final = 10


class _Feed:
    """Brings a source's changes from a thread of its own, so that keys are never waited for."""

    def __init__(self, source: Source, where: str, interval: float, keys: Keys) -> None:
        self._looks: queue.SimpleQueue[Sequence[Change] | BaseException] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._arguments = source, where, interval
        self._keys = keys
        self._thread = threading.Thread(target=self._run, name="drawbar-watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        source, where, interval = self._arguments
        try:
            for look in source.changes(where, interval, self._stop):
                self._looks.put(look)
                self._keys.wake()
        except BaseException as error:
            self._looks.put(error)
            self._keys.wake()

    def looks(self) -> list[Sequence[Change]]:
        """What has come. Raises what the source raised."""
        found: list[Sequence[Change]] = []
        while not self._looks.empty():
            look = self._looks.get()
            if isinstance(look, BaseException):
                raise look
            found.append(look)
        return found

    def stop(self) -> None:
        """Bring no more. A look that is under way is waited for, but not a gateway that says nothing."""
        self._stop.set()
        self._thread.join(_PATIENCE)


class View:
    """The view of one source."""

    def __init__(self, source: Source, name: str, where: str, interval: float, console: Console) -> None:
        self._source = source
        self._interval = interval
        self._console = console
        self._picture = Picture(Board(), name, where)
        self._keys = Keys()
        self._held: list[Sequence[Change]] = []

    def run(self) -> None:
        """Until it is quit. However it ends, the terminal is as it was."""
        with ExitStack() as stack:
            stack.callback(self._keys.close)
            stack.enter_context(ended_by_signals(signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT))
            stack.enter_context(resized(self._keys.wake))
            stack.enter_context(self._keys.raw())
            live = stack.enter_context(Live(console=self._console, screen=True, auto_refresh=False))
            self._feed = _Feed(self._source, self._picture.where, self._interval, self._keys)
            stack.callback(self._stop_feed)
            going = True
            while going:
                self._take(self._feed.looks())
                width, height = self._console.size
                live.update(self._picture.draw(width, height), refresh=True)
                going = all(self._press(key) for key in self._keys.wait(_REDRAW))

    def _stop_feed(self) -> None:
        self._feed.stop()

    def _take(self, looks: Sequence[Sequence[Change]]) -> None:
        self._held += looks
        if self._picture.paused is None:
            for look in self._held:
                self._picture.board.take(look)
            self._held.clear()

    def _press(self, key: str) -> bool:
        """Do what a key means; whether it goes on."""
        picture = self._picture
        if picture.typed is not None:
            self._type(key)
        elif picture.session is not None:
            self._leaf(key)
        elif key in ("q", "end of input"):
            return False
        elif key in _STEPS:
            picture.choose(_STEPS[key])
        elif key in (" ", "p"):
            picture.paused = time.time() if picture.paused is None else None
        elif key == "s":
            picture.board.next_order()
        elif key == "r":
            picture.board.reversed = not picture.board.reversed
        elif key == "/":
            picture.typed = picture.where
        elif key in ("enter", "o") and picture.chosen is not None:
            self._open(picture.chosen)
        return True

    def _type(self, key: str) -> None:
        picture, text = self._picture, self._picture.typed or ""
        if key == "escape":
            picture.typed = picture.mistake = None
        elif key == "backspace":
            picture.typed = text[:-1]
        elif key == "clear":
            picture.typed = ""
        elif key == "enter":
            self._watch(text)
        elif len(key) == 1:
            picture.typed = text + key

    def _watch(self, where: str) -> None:
        """Watch what another filter means."""
        picture = self._picture
        try:
            read(where)
        except ConfigurationError as error:
            picture.mistake = str(error).split("\n")[0]
            return
        picture.where, picture.typed, picture.mistake, picture.paused = where, None, None, None
        self._feed.stop()
        self._held.clear()
        self._feed = _Feed(self._source, where, self._interval, self._keys)

    def _open(self, session: str) -> None:
        try:
            self._picture.session = self._lines(session)
        except (StoreError, UnknownName, ConfigurationError) as error:
            self._picture.session = [Text(str(error), style="red")]
        self._picture.top = 0

    def _lines(self, session: str) -> list[Text]:
        """A session as `drawbar show` prints it, line by line; nothing in it steers the terminal."""
        from rich.ansi import AnsiDecoder

        from drawbar.cli.transcript import print_transcript

        width = self._console.width
        page = Console(file=StringIO(), width=width, force_terminal=True, color_system="truecolor", no_color=False)
        print_transcript(self._source.trajectory(session), page, full=self._picture.full)
        assert isinstance(page.file, StringIO)
        return list(AnsiDecoder().decode(page.file.getvalue()))

    def _leaf(self, key: str) -> None:
        picture = self._picture
        if key in ("q", "escape", "enter", "end of input"):
            picture.session = None
        elif key == "f" and picture.chosen is not None:
            picture.full = not picture.full
            self._open(picture.chosen)
        elif key in _STEPS:
            page = self._console.height - 2
            picture.scroll({"page up": -page, "page down": page}.get(key, _STEPS[key]))
        elif key == " ":
            picture.scroll(self._console.height - 2)


_STEPS: Final = {
    "up": -1, "k": -1, "down": 1, "j": 1, "page up": -_PAGE, "page down": _PAGE, "home": -1_000_000, "end": 1_000_000,
    "g": -1_000_000, "G": 1_000_000,
}  # fmt: skip
