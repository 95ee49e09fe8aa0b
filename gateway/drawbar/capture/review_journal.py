"""What a person decided about candidates, written down as it is decided: a closed terminal loses nothing.

The file has a line of JSON for each step, only ever added to: `{"session": "ses_...", "decision": "keep" | "drop"}`,
with `task` (the fields that were edited) where one was edited, or `{"session": "ses_...", "undo": true}`. It holds what
users said, before redaction; nobody but its owner can read it.
"""

from __future__ import annotations

import os
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import orjson

from drawbar.errors import ConfigurationError

Verdict: TypeAlias = Literal["keep", "drop"]


@dataclass(frozen=True, slots=True)
class Decision:
    """One about one session."""

    session: str
    verdict: Verdict
    task: dict[str, Any] | None = None
    """What was made of the task, if it was edited (now or earlier)."""


class Journal:
    """The file, and what stands in it.

    Raises:
        ConfigurationError: it cannot be read, or a line of it is none of ours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._steps: list[Decision] = []
        self._end = b""
        for number, line in enumerate(self._lines(), 1):
            self._take(number, line)

    @property
    def decisions(self) -> dict[str, Decision]:
        """The last one about each session."""
        return {step.session: step for step in self._steps}

    def add(self, decision: Decision) -> None:
        """Decide, durably. Raises `ConfigurationError`: it cannot be written."""
        task = {} if decision.task is None else {"task": decision.task}
        self._write({"session": decision.session, "decision": decision.verdict, **task})
        self._steps.append(decision)

    def undo(self, sessions: Container[str]) -> Decision | None:
        """Take back the last decision about any of these sessions; which it was. None: there is none.

        Raises:
            ConfigurationError: it cannot be written.
        """
        at = next((at for at in reversed(range(len(self._steps))) if self._steps[at].session in sessions), None)
        if at is None:
            return None
        self._write({"session": self._steps[at].session, "undo": True})
        return self._steps.pop(at)

    def _lines(self) -> list[bytes]:
        try:
            body = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigurationError(f"The decisions in {self.path} cannot be read: {error.strerror}.") from error
        *whole, rest = body.split(b"\n")
        self._end = b"\n" if rest else b""  # a line that was cut off is given up
        return whole

    def _take(self, number: int, line: bytes) -> None:
        try:
            step = orjson.loads(line)
            session, verdict = step["session"], step.get("decision")
            if step.get("undo"):
                places = [at for at, earlier in enumerate(self._steps) if earlier.session == session]
                del self._steps[places[-1]]
            elif verdict in ("keep", "drop"):
                self._steps.append(Decision(session, verdict, step.get("task")))
            else:
                raise ValueError
        except (ValueError, TypeError, LookupError, AttributeError):
            if line.strip() and not _was_cut_off(line):
                raise ConfigurationError(
                    f"{self.path}, line {number}: no decision of a review. Mend the line, or move the file away."
                ) from None

    def _write(self, step: dict[str, Any]) -> None:
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, self._end + orjson.dumps(step) + b"\n")
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise ConfigurationError(f"Decisions cannot be kept in {self.path}: {error.strerror}.") from error
        self._end = b""


def _was_cut_off(line: bytes) -> bool:
    """By a crash, and gone on after it."""
    return line.startswith(b'{"session":') and not line.endswith(b"}")
