"""What a format is given: one conversation of one session, in normal form, with what it needs to know around it.

A sample holds no dialect's fields and no rows of the store; what is in it is shared with other samples and is not to be
changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from drawbar.export.groups import Group
from drawbar.export.task_filter import TaskRewards
from drawbar.ids import digest
from drawbar.record.facts import Facts
from drawbar.task import Task
from drawbar.trajectory import Trajectory
from drawbar.wire import DIALECTS
from drawbar.wire.dialect import BadBody
from drawbar.wire.message import Message, Other
from drawbar.wire.offered import Offered
from drawbar.wire.plain import plain


@dataclass(frozen=True, slots=True)
class Grade:
    """What a session was worth, by its newest scores."""

    reward: float | None = None
    """The weighted sum of the rubric's scores; None: there is none, or a weighted one has no value."""
    scores: Mapping[str, float | None] = field(default_factory=dict)
    """The rubric's newest scores and metrics by name."""
    feedback: Mapping[str, float | None] = field(default_factory=dict)
    """People's last feedback by name."""
    rubric: str | None = None
    """The version of the rubric that gave the scores."""


UNGRADED = Grade()


class Said(msgspec.Struct, eq=False, gc=False):
    """One message, read when it is asked for: many samples begin with the same ones."""

    node: bytes
    """What is the same in two samples where all that was said up to there is the same."""
    dialect: str
    body: bytes
    """As the dialect said it (JSON)."""
    read: Message | None = None
    """What `message` gives, once it is known."""

    @property
    def message(self) -> Message:
        """In normal form; what cannot be read is a block that says so."""
        if self.read is None:
            try:
                self.read = DIALECTS[self.dialect].normal(self.body)
            except (BadBody, KeyError):
                unreadable = Other({"type": "unreadable", "unreadable": self.body.decode(errors="replace")})
                self.read = Message("user", (unreadable,))
        return self.read

    def plain(self, *, objects: bool) -> dict[str, Any] | None:
        """As a chat message, if it is so plain that nothing of it is lost; `objects` as in `wire.plain`."""
        if self.dialect != "chat":
            return None
        return plain(self.body, objects=objects)


@dataclass(slots=True, kw_only=True)
class Sample:
    """One conversation of a session: from its first message to an answer of the model's."""

    facts: Facts
    """The session: its id, run, environment, task's key and hash, model, times, findings."""
    said: Sequence[Said]
    """Its messages, instructions and tool results included; the last one is the model's."""
    trained: Sequence[bool]
    """The loss mask, one for each message: whether the model said it in this session, and no sample before this one
    has it. Others' words, and replies that were carried in or told anew, are only read."""
    calls: Sequence[str | None]
    """One for each message: the id of the model call whose reply it is."""
    offered: Offered
    """The tools that the model had."""
    parallel_tool_calls: bool | None = None
    """Whether the model was allowed several tool calls at once; None: its client did not say, or nobody asked for it
    (`parallel_tool_calls`)."""
    tokens: int | None = None
    """Its length, as the provider counted it at the last call; None: it did not."""
    trained_tokens: int | None = None
    """Of the trained replies, in the same way; None: not all of them were counted."""
    thread: str = "main"
    """Which of the session's conversations it is: `main`, `sub-agent 1`, ..."""
    branch: int = 0
    """Which of that conversation's branches it is, from 0."""
    grade: Grade = UNGRADED
    group: Group | None = None
    """The task's rollouts in the run, where the format asks for them (`group`) and it is one of them."""
    trajectory: Trajectory | None = None
    """The whole session, where the format asks for it (`trajectory`, `token_ids`)."""
    labels: Sequence[bool | None] = ()
    """One for each message, where the format asks for it (`labels`): whether the reply is wanted; None: it is not
    trained, or nobody knows."""
    rollouts: TaskRewards | None = None
    """What all rollouts of its task came to, where the format asks for it (`task`)."""

    @property
    def messages(self) -> Sequence[Message]:
        """Its messages in normal form."""
        return [said.message for said in self.said]

    @property
    def has_token_ids(self) -> bool:
        """Whether those of all replies that are trained were recorded, and of what they were asked with. Needs the
        trajectory."""
        assert self.trajectory is not None
        trained = {id for id, own in zip(self.calls, self.trained, strict=True) if own}
        told = (call.tokens for call in self.trajectory.calls if call.id in trained)
        return all(it is not None and None not in (it.token_ids, it.prompt_token_ids) for it in told)

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The definitions of its tools, as chat completions have them."""
        return self.offered.tools

    @property
    def task(self) -> Task | None:
        """The session's task. Read anew each time."""
        return Task.recorded(self.facts.task)

    @property
    def system(self) -> str:
        """The instructions that it begins with."""
        found = []
        for message in self.messages:
            if message.role != "system":
                break
            found.append(message.text)
        return "\n\n".join(found)

    @property
    def name(self) -> str:
        """What tells it apart from all other samples."""
        return f"{self.facts.id}/{self.thread}" + (f"/{self.branch}" if self.branch else "")


def length(*counted: int | None) -> int | None:
    """The sum of counts of tokens; None where one of them is not known."""
    return None if None in counted else sum(counted)  # type: ignore[arg-type]


def words_of(samples: Sequence[Sample]) -> bytes:
    """What is the same in two sessions in whose samples the same was said, to the last message."""
    leaves = [sample.said[-1].node for sample in samples]
    return leaves[0] if len(leaves) == 1 else digest(b"".join(leaves))
