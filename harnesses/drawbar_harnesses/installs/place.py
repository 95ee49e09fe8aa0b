"""Where an install lies, and how it gets there whole or not at all. This file knows no package manager."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from drawbar.errors import ConfigurationError, HarnessError

try:
    import fcntl
except ImportError:  # Windows: two installs of one agent at once are not kept apart there
    fcntl = None  # type: ignore[assignment]

Say: TypeAlias = Callable[[str], None]
"""Is told what is going on, a line at a time."""
_MARKER = "drawbar-install.json"
_LAST_WORDS = 1_500


def cache_home() -> Path:
    """`$DRAWBAR_HARNESS_HOME`, or `drawbar/harnesses` in the user's cache folder."""
    given = os.environ.get("DRAWBAR_HARNESS_HOME")
    if given:
        return Path(given).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drawbar" / "harnesses"


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of one install. It counts once its marker, written last, says that all that is wanted lies there."""

    name: str
    version: str
    wanted: Mapping[str, Any]
    """What the install is made of (JSON); another answer means that it must be made again."""

    @property
    def folder(self) -> Path:
        return cache_home() / f"{self.name}-{self.version}"

    @property
    def ready(self) -> bool:
        """Whether it is there, whole, and what is wanted."""
        try:
            return bool(json.loads((self.folder / _MARKER).read_text(encoding="utf-8")) == self.wanted)
        except (OSError, ValueError):
            return False

    def fill(self, make: Callable[[Path], None], say: Say) -> None:
        """Have `make` fill the folder, unless it is ready. What a failed or interrupted attempt left is removed.

        The folder is made where it stays, for virtual environments cannot be moved.

        Raises:
            HarnessError: `make` did, or the folder cannot be written.
        """
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with _alone(self.folder.with_name(self.folder.name + ".lock"), say):
                if self.ready:
                    say(f"{self.name} {self.version} is installed in {self.folder}.")
                    return
                self._make(make, say)
        except OSError as error:
            raise HarnessError(
                f"{self.name} cannot be installed in {cache_home()}: {error}. Set DRAWBAR_HARNESS_HOME to a folder "
                "that can be written."
            ) from error

    def _make(self, make: Callable[[Path], None], say: Say) -> None:
        began = time.monotonic()
        say(f"Installing {self.name} {self.version} into {self.folder} ...")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        try:
            make(self.folder)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        marker = self.folder / (_MARKER + ".new")
        marker.write_text(json.dumps(self.wanted), encoding="utf-8")
        marker.replace(self.folder / _MARKER)
        say(f"Installed {self.name} {self.version} in {time.monotonic() - began:.0f} s.")

    def need(self) -> Path:
        """The folder, once it is ready.

        Raises:
            ConfigurationError: it is not; the message says what to do.
        """
        if not self.ready:
            raise ConfigurationError(
                f"The harness {self.name} needs {self.name} {self.version}, which is not installed: drawbar harness "
                f"install {self.name}"
            )
        return self.folder


@contextmanager
def _alone(lock: Path, say: Say) -> Iterator[None]:
    """While no other process installs the same."""
    with lock.open("w") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Another process is installing it: waiting.")
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def command(words: Sequence[str | Path], *, doing: str, hint: str, cwd: Path) -> None:
    """Run a package manager; its output is shown only when it fails.

    Raises:
        HarnessError: it is not there, or it failed.
    """
    try:
        done = subprocess.run(
            [str(word) for word in words], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise HarnessError(f"{words[0]} is not there, and {doing} needs it. {hint}") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-_LAST_WORDS:]
        raise HarnessError(f"{doing} failed ({words[0]} ended with status {done.returncode}). {hint}\n{said}")
