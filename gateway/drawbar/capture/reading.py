"""Stored sessions as candidates, one at a time: what becomes a task, and what is left out, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from drawbar.capture.calls import recorded_calls
from drawbar.capture.candidate import AnswerSource, Candidate, json_changed
from drawbar.capture.catalogue import Catalogue, counted
from drawbar.capture.conversation import Conversation, conversation
from drawbar.capture.spool import Spool
from drawbar.causes import CAUSES
from drawbar.record.feedback import CORRECTION
from drawbar.record.filter import Filter
from drawbar.record.rows import SessionRow
from drawbar.record.store import Store
from drawbar.score.scoring import feedback_on
from drawbar.trajectory import Call, Trajectory

_EXAMPLES: Final = 3
"""Sessions that are named for each reason."""
_LABELS: Final = ("user", "tags", "release", "environment")


@dataclass(slots=True)
class Left:
    """Sessions that are left out for one reason."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, session: str) -> None:
        """One more."""
        self.count += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(session)


@dataclass(frozen=True, slots=True)
class _Found:
    """What is known of a session before it is read."""

    id: str
    family: str
    given_up: bool
    """A rollout that was tried again: only its last attempt is data."""


class Reading:
    """Reads the sessions that a filter means, the oldest first."""

    def __init__(
        self,
        store: Store,
        filter: Filter,
        spool: Spool,
        catalogue: Catalogue,
        *,
        everything: bool = False,
        read_only: Sequence[str] = (),
    ) -> None:
        """`everything`: also sessions that are not healthy, as long as there is a request in them."""
        self._store = store
        self._spool = spool
        self.catalogue = catalogue
        self._everything = everything
        self._read_only = tuple(read_only)
        self._found = _found(store, filter)
        self._texts: dict[str, str] = {}
        self.left: dict[str, Left] = {}

    @property
    def total(self) -> int:
        """How many sessions the filter means."""
        return len(self._found)

    def candidates(self) -> Iterator[Candidate | None]:
        """One for each session; None for one that is left out."""
        for found in self._found:
            trajectory = self._store.trajectory(found.id)
            said = conversation(trajectory)
            why = self._why_not(found, trajectory, said)
            if why is not None or said is None:
                self.left.setdefault(why or _NO_REQUEST, Left()).add(found.id)
                yield None
            else:
                yield self._candidate(trajectory, said, found.family)

    def _why_not(self, found: _Found, trajectory: Trajectory, said: Conversation | None) -> str | None:
        if not trajectory.calls:
            return "its model was not asked"
        if said is None:
            return _NO_REQUEST
        if found.given_up:
            return "tried again: not the last attempt"
        return None if self._everything else unfit(trajectory, said)

    def _candidate(self, trajectory: Trajectory, said: Conversation, family: str) -> Candidate:
        said = replace(
            said, opening=json_changed(said.opening, self._once), system=json_changed(said.system, self._once)
        )
        free = self.catalogue.note(trajectory)
        recordings = recorded_calls(trajectory, self.catalogue.listed, self._read_only, free)
        tools, errors = counted(recordings)
        return candidate(trajectory, said, family, tools, errors, self._spool.add(recordings))

    def _once(self, text: str) -> str:
        """Most sessions begin with the same long texts: what is equal is kept once."""
        return self._texts.setdefault(text, text)


_NO_REQUEST: Final = "no request of a user"


def unfit(trajectory: Trajectory, said: Conversation) -> str | None:
    """Why a session is no example of good or bad work; None: it is one."""
    if trajectory.status != "ended":
        return "still under way"
    cause = CAUSES.get(trajectory.stop or "")
    if trajectory.task is not None and cause is not None and not cause.count:
        return f"it ended as {cause.name}"
    main = trajectory.threads[0].calls
    if said.last is None or main[-1].status != "answered":
        return "its last request was not answered"
    defect = next((finding.name for finding in trajectory.health if finding.severity == "defect"), None)
    if defect is not None:
        return f"defect: {defect}"
    return None if said.answer or _ended_by_tool(trajectory, said.last) else "no answer"


def _ended_by_tool(trajectory: Trajectory, last: Call) -> bool:
    """Whether its last act was a tool call that was answered: submitting, closing a ticket."""
    return any(call.asked_by == last.id and call.status == "answered" for call in trajectory.tool_calls)


def candidate(
    trajectory: Trajectory, said: Conversation, family: str, tools: Mapping[str, int], errors: int, recordings: Any
) -> Candidate:
    """The task that a session could become."""
    feedback, labels = feedback_on(trajectory), trajectory.metadata
    answer, source = _answer(trajectory, said, feedback)
    tags = labels.get("tags")
    return Candidate(
        session=trajectory.id, key=_key(trajectory), opening=said.opening, system=said.system,
        user_turns=said.user_turns, answer=answer, answer_source=source, recorded=said.answer,
        info=dict(trajectory.task.info) if trajectory.task is not None else {},
        started=trajectory.started, family=family,
        user=_text(labels.get("user")), release=_text(labels.get("release")),
        tags=tuple(map(str, tags)) if isinstance(tags, list) else (),
        environment=trajectory.environment, model=_model(trajectory), harness=trajectory.harness,
        labels={name: value for name, value in labels.items() if name not in _LABELS and _is_plain(value)},
        reward=trajectory.reward, feedback=feedback, turns=trajectory.turns,
        tokens=trajectory.tokens("prompt") + trajectory.tokens("completion"), cost=trajectory.cost,
        seconds=None if trajectory.ended is None else trajectory.ended - trajectory.started,
        tools=dict(tools), tool_errors=errors, recordings=recordings, lost=said.lost,
    )  # fmt: skip


def _answer(
    trajectory: Trajectory, said: Conversation, feedback: Mapping[str, float | str]
) -> tuple[Any, AnswerSource | None]:
    """The reference answer: what somebody said that it should have been; else a rollout's own; else the session's, if
    somebody liked it. What was said of an earlier answer than the last says nothing of that one."""
    last = said.last.id if said.last is not None else None
    own = [score for score in trajectory.scores if score.kind == "feedback" and score.call in (None, last)]
    newest = {score.name: score for score in sorted(own, key=lambda score: score.created)}
    correction, thumbs = newest.get(CORRECTION), newest.get("thumbs")
    if correction is not None and correction.explanation:
        return correction.explanation, "correction"
    if trajectory.task is not None and trajectory.task.answer is not None:
        return trajectory.task.answer, "task"
    if thumbs is not None and thumbs.value == 1.0 and said.answer:
        return said.answer, "accepted"
    return None, None


def _key(trajectory: Trajectory) -> str:
    """A live session's id; of a rollout its task's key too, for whoever knows that."""
    return trajectory.id if trajectory.task is None else f"{trajectory.task.key}-{trajectory.id[-8:]}"


def _model(trajectory: Trajectory) -> str | None:
    """What most of its calls asked for."""
    asked = Counter(call.model for call in trajectory.calls if call.model)
    return trajectory.model or next((name for name, _ in asked.most_common(1)), None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _found(store: Store, filter: Filter) -> list[_Found]:
    """The sessions that are meant, the oldest first, with what ties them to others."""
    rows: list[tuple[str, tuple[str | None, str | None, int] | None, int]] = []
    before: dict[str, str | None] = {}
    last: dict[tuple[str | None, str | None, int], int] = {}
    tasks: dict[str, str] = {}
    for row in store.select(filter, newest_first=False):
        of = None if row.run is None else (row.run, row.task_hash, row.rollout)
        rows.append((row.id, of, row.attempt))
        before[row.id] = row.continues
        if of is not None:
            last[of] = max(last.get(of, 0), row.attempt)
        if row.task_hash is not None:
            tasks[row.id] = _task_family(row)
    return [
        _Found(id, tasks.get(id) or _root(store, id, before), of is not None and attempt < last[of])
        for id, of, attempt in rows
    ]


def _task_family(row: SessionRow) -> str:
    return f"task {row.environment or ''} {row.task_key or row.task_hash}"


def _root(store: Store, id: str, before: dict[str, str | None]) -> str:
    """The first of the sessions that one continues."""
    seen = {id}
    while True:
        if id not in before:
            row = store.session(id)
            before[id] = None if row is None else row.continues
        earlier = before[id]
        if earlier is None or earlier in seen:
            return id
        seen.add(earlier)
        id = earlier
