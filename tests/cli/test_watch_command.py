"""`drawbar watch` as a process: on a terminal, which it leaves as it was, and elsewhere."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drawbar.record.rows import CallRow, ScoreRow, SessionRow
from drawbar.record.store import Store

termios = pytest.importorskip("termios")

ENTERED, LEFT, CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """One open session, and one that has ended with a reward."""
    found, now = Store.open(tmp_path / "drawbar.db"), time.time()
    found.write(
        [
            SessionRow(id="ses_open", started=now, harness="codex", model="gpt"),
            CallRow(id="call_1", session="ses_open", seq=0, dialect="chat", path="/", model="gpt", started=now),
            SessionRow(id="ses_ended", started=now, ended=now, status="ended", stop="completed", harness="loop"),
            ScoreRow(id="x", session="ses_ended", name="good", kind="reward", value=0.75, weight=1.0,
                     rubric_version="r1", source="live", created=now),
        ]
    )  # fmt: skip
    yield found
    found.close()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from drawbar.cli import main; main()", "watch", "-i", "0.2", *arguments]


class Screen:
    """A terminal with `drawbar watch` in it."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self.shown = b""
        self._terminal = terminal

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def until(self, *words: str) -> None:
        """Read until all of this has been shown since the last time."""
        found, deadline = b"", time.monotonic() + 30
        while not all(word.encode() in found for word in words):
            data = self._read() if time.monotonic() < deadline else b""
            assert data, f"It did not show {words}: {found[-3000:]!r}"
            found += data
        self.shown += found

    def rest(self) -> bytes:
        """All that it showed, once it has ended."""
        while data := self._read():
            self.shown += data
        self.process.wait(60)
        return self.shown

    def _read(self) -> bytes:
        """Nothing where it has ended, or says nothing any more."""
        if not select.select([self._terminal], [], [], 30)[0]:
            return b""
        try:
            return os.read(self._terminal, 65536)
        except OSError:  # the other end was closed
            return b""


@contextmanager
def screen(folder: Path, *arguments: str) -> Iterator[Screen]:
    import fcntl
    import pty
    import struct

    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    variables = {**os.environ, "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        variables.pop(name, None)
    before = termios.tcgetattr(inside)
    process = subprocess.Popen(
        command(*arguments), cwd=folder, stdin=inside, stdout=inside, stderr=inside, start_new_session=True,
        env=variables,
    )  # fmt: skip
    try:
        yield Screen(process, terminal)
        assert termios.tcgetattr(inside)[3] == before[3]  # it echoes again, and waits for lines
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(inside)
        os.close(terminal)


def closed(shown: bytes) -> bool:
    """Whether the other screen was left, and the cursor is there again."""
    return shown.count(ENTERED) == 1 and shown.rindex(LEFT) > shown.rindex(ENTERED) and CURSOR in shown


@pytest.mark.slow
def test_keys_choose_filter_open_and_quit(store: Store, tmp_path: Path) -> None:
    with screen(tmp_path) as shown:
        shown.until("1 open session", "ses_open", "codex", "ses_ended", "0.750", "of 1 by r1")
        store.write([SessionRow(id="ses_newer", started=time.time() + 1, harness="claude")])
        shown.until("2 open session", "ses_newer")
        shown.press("/")
        shown.until("filter:")
        shown.press("modle = x\r")
        shown.until("there is no column")
        shown.press("\x15agent = codex\r")
        shown.until("where agent = codex", "1 open session")
        shown.press("p")
        shown.until("paused")
        shown.press("p\x1b[B\r")
        shown.until("ses_open", "no task", "q back")
        shown.press("q")
        shown.until("q quit")
        shown.press("q")
        assert closed(shown.rest())
    assert shown.process.returncode == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_however_it_ends_the_terminal_is_as_it_was(
    store: Store, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    with screen(tmp_path) as shown:
        shown.until("1 open session")
        shown.process.send_signal(number)
        shown.until(LEFT.decode())
        shown.process.wait(60)
        assert closed(shown.shown)
    assert shown.process.returncode == status


def test_json_tells_each_change_on_a_line(store: Store, tmp_path: Path) -> None:
    with subprocess.Popen(command("--json"), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        told = [json.loads(process.stdout.readline()) for _ in range(4)]
        assert [each["event"] for each in told] == ["begun", "session", "session", "pulse"]
        assert {each["id"]: each["reward"] for each in told[1:3]} == {"ses_open": None, "ses_ended": 0.75}
        store.write([SessionRow(id="ses_newer", started=time.time())])
        while "ses_newer" not in (line := process.stdout.readline().decode()):
            assert json.loads(line)["event"] == "pulse"
        process.send_signal(signal.SIGINT)
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 130


def test_elsewhere_than_on_a_terminal_lines_are_printed(store: Store, tmp_path: Path) -> None:
    with subprocess.Popen(command("-w", "agent = loop"), cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert "0 open sessions" in process.stdout.readline().decode()
        now = time.time()
        store.write(
            [SessionRow(id="ses_new", started=now, ended=now, status="ended", stop="completed", harness="loop")]
        )
        assert "ses_new opened: loop" in process.stdout.readline().decode()
        assert "ses_new ended: completed" in process.stdout.readline().decode()
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--where", "modle = x"], "Did you mean 'model'"),
        (["--store", "nix.db"], "There is no store at nix.db"),
        (["--gateway", "localhost:1"], "begins with http:// or https://"),
    ],
)
def test_what_cannot_be_watched_is_told(tmp_path: Path, arguments: list[str], says: str) -> None:
    done = subprocess.run(command(*arguments), check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert says in done.stderr
