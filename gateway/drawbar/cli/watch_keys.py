"""Keys of a terminal, one by one, without waiting for a line's end; and how the terminal is left as it was."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

_NAMES: Final = {
    "\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down", "\x1b[5~": "page up", "\x1b[6~": "page down",
    "\x1b[H": "home", "\x1b[F": "end", "\x1b[1~": "home", "\x1b[4~": "end", "\x1b": "escape", "\r": "enter",
    "\n": "enter", "\x7f": "backspace", "\x08": "backspace", "\x15": "clear", "\x04": "end of input",
}  # fmt: skip
_KEY: Final = re.compile(r"\x1b(?:\[[0-9;]*[A-Za-z~]|O[A-Z])|.", re.DOTALL)


def keys_in(text: str) -> list[str]:
    """What was pressed: letters as they are, the others by name."""
    return [_NAMES.get(key, key) for key in _KEY.findall(text) if key in _NAMES or key.isprintable()]


class Keys:
    """What is pressed, and what else should wake whoever waits for it. Without a terminal nothing ever is pressed."""

    def __init__(self) -> None:
        self._in = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._awake, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        os.set_blocking(self._awake, False)
        self._lock = threading.RLock()
        self._closed = False

    def wake(self) -> None:
        """Let `wait` return; from any thread."""
        with self._lock, suppress(BlockingIOError):  # it is full of such wishes
            if not self._closed:
                os.write(self._waker, b".")

    def wait(self, seconds: float) -> list[str]:
        """Wait for a key, or to be woken, for so long at most; the keys."""
        ready, _, _ = select.select([each for each in (self._in, self._awake) if each is not None], [], [], seconds)
        if self._awake in ready:
            with suppress(BlockingIOError):
                os.read(self._awake, 4096)
        if self._in is None or self._in not in ready:
            return []
        pressed = os.read(self._in, 4096)
        if not pressed:  # its other end is gone
            self._in = None
        return keys_in(pressed.decode(errors="ignore"))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            os.close(self._awake)
            os.close(self._waker)

    @contextmanager
    def raw(self) -> Iterator[None]:
        """Inside, keys come as they are pressed and are not shown. Ctrl-C stays what it is; Ctrl-Z, which would leave
        the shell with our picture, does nothing."""
        if self._in is None:
            yield
            return
        import termios
        import tty

        before = termios.tcgetattr(self._in)
        tty.setcbreak(self._in)
        raw = termios.tcgetattr(self._in)
        raw[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(self._in, termios.TCSADRAIN, raw)
        try:
            yield
        finally:
            termios.tcsetattr(self._in, termios.TCSADRAIN, before)


@contextmanager
def ended_by_signals(*signals: int) -> Iterator[None]:
    """Inside, these signals end the program as an exception does: whatever was changed is put back."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    with _handling(end, *signals):
        yield


@contextmanager
def resized(wake: Callable[[], None]) -> Iterator[None]:
    """Inside, `wake` is called when the terminal gets another size."""
    with _handling(lambda number, frame: wake(), signal.SIGWINCH):
        yield


@contextmanager
def _handling(handler: Any, *signals: int) -> Iterator[None]:
    before = [(number, signal.signal(number, handler)) for number in signals]
    try:
        yield
    finally:
        for number, former in before:
            signal.signal(number, former)
