"""Tasks that nothing may be trained on, and sessions that repeat one.

A session repeats a held-out task if it was a rollout of it, or if something that its users said is the task's question
or has it inside: as a whole where the question has `alike.CONTAINED` characters, else by likeness.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from drawbar.alike import THRESHOLD, HeldOut
from drawbar.environment import Environment
from drawbar.export.sample import Sample
from drawbar.task import Task
from drawbar.taskfile import TaskFile

_KEPT: Final = 4096
"""Openings whose verdict is remembered: the rollouts of a task have the same."""


class HeldOutTasks:
    """Finds sessions that repeat a held-out task."""

    def __init__(self, names: Sequence[str], tasks: Iterable[Task], threshold: float = THRESHOLD) -> None:
        """`names`: where they come from, for the manifest. Raises as `TaskFile` and environments do."""
        self.names = list(names)
        self._hashes: set[str] = set()
        self._texts = HeldOut(self._questions(tasks), threshold)
        self._repeats = lru_cache(_KEPT)(self._repeated)

    def has(self, task_hash: str | None) -> bool:
        """Whether a task is one of them."""
        return task_hash in self._hashes

    def repeated_by(self, sample: Sample) -> bool:
        """Whether something that was asked in this conversation is one of their questions."""
        asked = [message.text for message in sample.messages if message.role == "user"]
        return any(self._repeats(text) for text in asked if text.strip())

    def _repeated(self, text: str) -> bool:
        return self._texts.find(text) is not None

    def _questions(self, tasks: Iterable[Task]) -> Iterator[str]:
        for task in tasks:
            self._hashes.add(task.hash)
            if text := question(task):
                yield text


def held_out(references: Sequence[str]) -> HeldOutTasks:
    """The tasks of these files, and of these environments.

    Raises:
        UnknownName, ConfigurationError: there is no such file or environment, or its tasks cannot be read.
    """
    return HeldOutTasks(references, (task for reference in references for task in _tasks(reference)))


def question(task: Task) -> str:
    """What the user asks in a task, as one text."""
    said = (message.get("content") for message in task.messages if message.get("role") == "user")
    return "\n".join(filter(None, map(_text, said)))


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part["text"]) for part in parts if isinstance(part, dict) and "text" in part)


def _tasks(reference: str) -> Iterable[Task]:
    if Path(reference).suffix in (".jsonl", ".ndjson", ".parquet"):
        return TaskFile(reference)
    return _environment(reference).iter_tasks()


def _environment(reference: str) -> Environment:
    from drawbar.loading import load_environment

    return load_environment(reference)
