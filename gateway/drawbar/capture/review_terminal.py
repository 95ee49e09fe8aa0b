"""A review in a terminal: one task after the other, a key for each decision, an editor for changes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Final, Protocol, Self

from rich.console import Console

from drawbar.capture.candidate import Candidate
from drawbar.capture.review import Review
from drawbar.capture.review_edit import from_text, to_text
from drawbar.capture.review_journal import Journal
from drawbar.capture.review_shown import shown
from drawbar.errors import ConfigurationError

HELP: Final = """\
k  keep                d  drop                 e  edit (in $VISUAL or $EDITOR)
n  next (or right)     b  back (or left)       u  undo the last decision
/  search              m  more: all of it      f  finish: the others are kept
?  this help           q  leave; the same command goes on here\
"""
_ARROWS: Final = {"\x1b[C": "n", "\x1bOC": "n", "\x1b[D": "b", "\x1bOD": "b"}
_KEY: Final = re.compile(r"\x1b(?:\[[0-9;]*[A-Za-z~]|O[A-Z])|.", re.DOTALL)
_EDITORS: Final = ("sensible-editor", "nano", "vim", "vi")


class Keyboard(Protocol):
    """Where keys come from."""

    def key(self) -> str:
        """The next key. Raises `EOFError`: there is nobody any more."""

    def line(self, prompt: str) -> str:
        """A line of text. Raises `EOFError`."""

    def paused(self) -> AbstractContextManager[None]:
        """Inside, another program may read keys."""


def review(
    candidates: Sequence[Candidate],
    path: Path,
    console: Console,
    keyboard: Keyboard | None = None,
    edit: Callable[[Path], None] | None = None,
) -> list[Candidate] | None:
    """Let a person go through the candidates; what is left of them. None: the person left before the end.

    Decisions are kept in the file at `path` as they are made, and those that stand there hold. `edit` changes a file.

    Raises:
        ConfigurationError: there is no terminal, or the file cannot be used.
    """
    if keyboard is None and not (sys.stdin.isatty() and console.is_terminal):
        raise ConfigurationError("A review needs a terminal: run it in one, or leave --review out.")
    found = Review(candidates, Journal(path))
    try:
        with nullcontext(keyboard) if keyboard is not None else Terminal() as keys:
            return _Sitting(found, console, keys, edit or edit_file).walk()
    except (EOFError, KeyboardInterrupt):
        return None


class _Sitting:
    """One person at one review."""

    def __init__(
        self, review: Review, console: Console, keyboard: Keyboard, edit: Callable[[Path], None]
    ) -> None:  # fmt: skip
        self._review = review
        self._console = console
        self._keyboard = keyboard
        self._edit = edit
        self._said = ""
        self._does: dict[str, Callable[[], Any]] = {
            "k": lambda: review.decide("keep"), "d": lambda: review.decide("drop"), "e": self._to_editor,
            "n": lambda: review.move(1), "b": lambda: review.move(-1), "u": self._undo, "/": self._search,
            "m": self._more, "?": lambda: self._say(HELP),
        }  # fmt: skip

    def walk(self) -> list[Candidate] | None:
        """Until all is decided, or the person has enough."""
        if not self._review.counts["open"] and (done := self._finished()):
            return self._review.result() if done == "w" else None
        while True:
            self._show()
            key = self._keyboard.key()
            if key == "q":
                return None
            if key == "f" and self._ends():
                return self._review.result()
            if key in self._does:
                was_open = self._review.counts["open"]
                self._does[key]()
                if was_open and not self._review.counts["open"] and (done := self._finished()):
                    return self._review.result() if done == "w" else None

    def _show(self, *, full: bool = False) -> None:
        self._console.clear()
        for part in shown(self._review, self._console.size, full=full):
            self._console.print(part, highlight=False)
        self._console.print()
        if self._said:
            self._console.print(self._said, style="bold yellow", markup=False, highlight=False)
            self._said = ""
        keys = "k keep  d drop  e edit  n next  b back  u undo  / search  m more  f finish  q leave  ? help"
        self._console.print(keys, style="dim", markup=False, highlight=False)

    def _say(self, text: str) -> None:
        self._said = text

    def _finished(self) -> str | None:
        """All is decided. w: write it; q: leave; None: look again."""
        self._console.clear()
        self._console.print(f"All is decided: {_counted(self._review)}.", highlight=False)
        self._console.print("w write  b look at it again  u undo the last decision  q leave", style="dim")
        while True:
            match self._keyboard.key():
                case "w" | "q" as key:
                    return key
                case "u":
                    self._undo()
                    return None
                case "b":
                    return None

    def _ends(self) -> bool:
        left = self._review.counts["open"]
        if not left:
            return True
        self._console.print(
            f"{left} {'is' if left == 1 else 'are'} not decided yet and will be kept. Finish? y/n", markup=False
        )
        return self._keyboard.key() == "y"

    def _undo(self) -> None:
        self._say("The last decision is taken back." if self._review.undo() else "There is nothing to undo.")

    def _search(self) -> None:
        text = self._keyboard.line("Search (nothing: the same again): ").strip()
        if not self._review.search(text):
            self._say(f"No task has {text!r} in it." if text else "There is nothing to search for.")

    def _more(self) -> None:
        self._show(full=True)
        self._console.print("Any key goes back.", style="dim")
        self._keyboard.key()

    def _to_editor(self) -> None:
        candidate = self._review.current
        with TemporaryDirectory(prefix="drawbar-review-") as folder:
            file = Path(folder) / "task.toml"
            file.write_text(before := to_text(candidate), "utf-8")
            while True:
                try:
                    with self._keyboard.paused():
                        self._edit(file)
                    if file.read_text("utf-8") == before:
                        return self._say("Nothing was changed.")
                    edited = from_text(file, candidate)
                    break
                except (ConfigurationError, OSError, UnicodeDecodeError) as error:
                    if not self._again(str(error).replace(f"{file}, ", "")):
                        return self._say("The task is as it was.")
        self._review.edit(edited)
        return self._say("Kept as it was edited.")

    def _again(self, wrong: str) -> bool:
        self._console.print(f"\n{wrong}", style="bold red", markup=False, highlight=False)
        self._console.print("e edit on  a leave the task as it was", style="dim")
        while (key := self._keyboard.key()) not in ("e", "a", "q"):
            pass
        return key == "e"


def edit_file(file: Path) -> None:
    """Let the person's editor change it. Raises `ConfigurationError`: there is none, or it failed."""
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    command = shlex.split(named) if named else [next(filter(shutil.which, _EDITORS), "")]
    if not command or not shutil.which(command[0]):
        raise ConfigurationError(f"There is no editor {named or ''}. Name one: export EDITOR=nano".replace("  ", " "))
    ended = subprocess.run([*command, str(file)], check=False)
    if ended.returncode:
        raise ConfigurationError(f"{command[0]} ended with {ended.returncode}.")


class Terminal:
    """The keys of the terminal that the program runs in, one by one without waiting for the end of a line. Enter it."""

    def __init__(self) -> None:
        self._terminal = sys.stdin.fileno()
        self._typed = ""
        self._before: Any = None

    def __enter__(self) -> Self:
        import termios
        import tty

        self._before = termios.tcgetattr(self._terminal)
        tty.setcbreak(self._terminal, termios.TCSADRAIN)  # what was typed ahead is not lost
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        import termios

        termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    def key(self) -> str:
        """The next one; arrows as the letters that mean the same."""
        if not self._typed:
            try:
                pressed = os.read(self._terminal, 1024)
            except OSError as error:  # it was closed
                raise EOFError from error
            if pressed in (b"", b"\x04"):
                raise EOFError
            self._typed = pressed.decode(errors="ignore")
        found = _KEY.match(self._typed)
        key = found[0] if found is not None else ""
        self._typed = self._typed[len(key) :]
        return _ARROWS.get(key, key)

    def line(self, prompt: str) -> str:
        """A line of text."""
        with self.paused():
            return input(prompt)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, the terminal is as it was."""
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            self.__enter__()


def _counted(review: Review) -> str:
    counts = review.counts
    edited = f" ({counts['edited']} edited)" if counts["edited"] else ""
    return f"{counts['keep']} kept{edited}, {counts['drop']} dropped"
