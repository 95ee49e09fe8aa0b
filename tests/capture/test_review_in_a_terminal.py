"""`drawbar capture --review` in a terminal that is closed in the middle of it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.capture.conftest import Office, tasks

termios = pytest.importorskip("termios")


class Screen:
    """A terminal with a command in it."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self._terminal = terminal

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def until(self, *words: str) -> None:
        """Read until all of this has been shown since the last time."""
        found = b""
        while not all(word.encode() in found for word in words):
            ready, _, _ = select.select([self._terminal], [], [], 60)
            assert ready, f"It shows no {words}: {found[-800:]!r}"
            try:
                found += os.read(self._terminal, 65536)
            except OSError:
                raise AssertionError(f"It ended before it showed {words}: {found[-800:]!r}") from None


@contextmanager
def screen(*arguments: str, **variables: str) -> Iterator[Screen]:
    import fcntl
    import pty
    import struct

    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 110, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", "from drawbar.cli import main; main()", *arguments],
        stdin=inside, stdout=inside, stderr=inside, start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "110", **variables},
    )  # fmt: skip
    os.close(inside)
    try:
        yield Screen(process, terminal)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(terminal)


def test_a_closed_terminal_loses_no_decision_and_an_edit_is_redacted(record: Callable[..., Any]) -> None:
    async def work(office: Office) -> None:
        for number in (1, 2, 3):
            await office.agent().say(f"Where is order {number}?")
            await office.end()

    record(work)
    Path("edit.py").write_text(
        "import pathlib, sys\n"
        "file = pathlib.Path(sys.argv[1])\n"
        "file.write_text(file.read_text().replace('order 2?', 'order 2? I am ada@example.org.'))\n"
    )
    command = ("capture", "desk", "-o", "env", "--review")
    with screen(*command) as shown:
        shown.until("1 of 3", "Where is order 1?", "q leave")
        shown.press("d")
        shown.until("2 of 3", "1 dropped, 2 open", "q leave")
        shown.process.kill()
    assert not Path("env").exists()
    with screen(*command, VISUAL=f"{sys.executable} edit.py") as shown:
        shown.until("2 of 3", "1 dropped, 2 open", "q leave")
        shown.press("e")
        shown.until("EDITED", "I am ada@example.org.", "q leave")
        shown.press("\x1b[Ck")  # the next one; typed faster than it is shown
        shown.until("All is decided: 2 kept (1 edited), 1 dropped.", "w write")
        shown.press("w")
        shown.until("2 tasks", "1 dropped in the review", "Run it:")
        assert shown.process.wait(60) == 0
    assert [task["prompt"] for task in tasks("env")] == [
        "Where is order 2? I am person1@pseudonym.example.",
        "Where is order 3?",
    ]
