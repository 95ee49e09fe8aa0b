"""What a simulated user said in a session: kept in the session's metadata, from its first message on. Pure.

{"mode": "model", "model": "gpt-5-mini",        "replay" has no model; other users are named by their class
 "turns": [{"message": {"role": "user", "content": "..."}, "after": "call_...", "answer": "..."}],
 "done": "said",                                 why there is no more: said | max_turns; null: there may be
 "fault": null,                                  or why nothing that could be used was said
 "usage": {"calls": 3, "prompt_tokens": 900, "completion_tokens": 60, "cost": 0.0004}}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from drawbar.user import ModelUser, ReplayUser, User, text_of

if TYPE_CHECKING:
    from drawbar.judging import Usage
    from drawbar.trajectory import Trajectory
    from drawbar.wire.message import Message

METADATA: Final = "simulated_user"
"""Where a session's metadata has it. (`user` is what live clients call theirs.)"""


class UserTurn(msgspec.Struct, frozen=True, kw_only=True):
    """One message of the user's."""

    message: dict[str, Any]
    """In chat form."""
    after: str | None = None
    """The id of the agent's call whose answer it replies to."""
    answer: str | None = None
    """What the agent itself said that it had answered, if it did."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What it cost to play; a replay costs nothing."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    """US dollars; None as long as no price is known."""

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def with_more(self, usage: Usage) -> Spent:
        """And that."""
        known = [cost for cost in (self.cost, usage.cost) if cost is not None]
        return Spent(
            calls=self.calls + usage.calls,
            prompt_tokens=self.prompt_tokens + usage.prompt_tokens,
            completion_tokens=self.completion_tokens + usage.completion_tokens,
            cost=sum(known) if known else None,
        )


class UserPart(msgspec.Struct, frozen=True, kw_only=True):
    """A user's part in one session."""

    mode: str
    model: str | None = None
    turns: tuple[UserTurn, ...] = ()
    done: str | None = None
    fault: str | None = None
    usage: Spent = Spent()

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> UserPart | None:
        """The one that a session's metadata has; None: no user has been asked (or redaction left nothing)."""
        try:
            return msgspec.convert(metadata.get(METADATA), cls)
        except msgspec.ValidationError:
            return None

    @classmethod
    def begun(cls, user: User) -> UserPart:
        """Of a user who has not spoken yet."""
        if isinstance(user, ModelUser):
            return cls(mode="model", model=user.model)
        return cls(mode="replay" if isinstance(user, ReplayUser) else type(user).__name__)

    def to_json(self) -> dict[str, Any]:
        """As metadata keeps it."""
        kept: dict[str, Any] = msgspec.to_builtins(self)
        return kept

    @property
    def who(self) -> str:
        """Who played the user, for people."""
        if self.model is not None:
            return f"played by {self.model}"
        return "replayed" if self.mode == "replay" else f"played by {self.mode}"

    @property
    def summary(self) -> str:
        """What became of it, for people."""
        spent = f", {self.usage.tokens:,} tokens" if self.usage.tokens else ""
        cost = f", ${self.usage.cost:.4f}" if self.usage.cost is not None else ""
        ends = {None: "not done", "said": "done", "max_turns": "stopped at max_turns"}
        end = f"failed: {self.fault}" if self.fault else ends.get(self.done, str(self.done))
        turns = f"{len(self.turns)} {'turn' if len(self.turns) == 1 else 'turns'}"
        return f"user {self.who}: {turns}{spent}{cost}; {end}"


def heard(part: UserPart, messages: Iterable[Message]) -> list[Message]:
    """Of a session's messages, those in which the agent passed on what the user said; one for each turn, in order, as
    far as they are there. Agents may put words of their own around it."""
    turns = iter(part.turns)
    found: list[Message] = []
    turn = next(turns, None)
    for message in messages:
        if turn is not None and message.role == "user" and text_of(turn.message).strip() in message.text:
            found.append(message)
            turn = next(turns, None)
    return found


def _answered(trajectory: Trajectory) -> Iterator[Message]:
    """What was said to the model in requests that it answered, as it was said."""
    asked: set[bytes] = set()
    for call in trajectory.calls:
        at = call.request if call.status == "answered" else None
        while at is not None and at not in asked and (node := trajectory.nodes.get(at)) is not None:
            asked.add(at)
            at = node.parent
    return (node.message for node in trajectory.nodes.values() if node.id in asked)


def account(trajectory: Trajectory) -> dict[str, Any] | None:
    """What a report needs to know of a rollout's user; None where nobody played one.

    `exact`: of a replay, whether all that was recorded was said, and reached the agent's model as it was.
    """
    part = UserPart.of(trajectory.metadata)
    if part is None:
        return None
    recorded: Sequence[Any] = trajectory.task.user_turns if trajectory.task is not None else ()
    passed_on = len(heard(part, _answered(trajectory)))
    return {
        "who": part.who, "mode": part.mode, "turns": len(part.turns), "done": part.done,
        "exact": part.mode == "replay" and passed_on == len(part.turns) == len(recorded),
        "tokens": part.usage.tokens, "cost": part.usage.cost,
    }  # fmt: skip


class UserTally:
    """Adds up, over a run, what its users did."""

    def __init__(self) -> None:
        self._who: dict[str, None] = {}
        self._counts: Counter[str] = Counter()
        self._cost: float | None = None

    def add(self, user: Mapping[str, Any] | None) -> None:
        """Enter one rollout's, as `account` gives it."""
        if user is None:
            return
        self._who[user["who"]] = None
        self._counts.update(
            rollouts=1, turns=user["turns"], tokens=user["tokens"], replays=int(user["mode"] == "replay"),
            exact=int(user["exact"]), at_most=int(user["done"] == "max_turns"),
        )  # fmt: skip
        if user["cost"] is not None:
            self._cost = (self._cost or 0.0) + user["cost"]

    def report(self) -> dict[str, Any] | None:
        """All of them: `rollouts` with a user, the `turns` that were played; of `replays`, those that were `exact`; how
        many ended because the user had spoken `at_most` so often; `tokens` and `cost` (US dollars) of its model."""
        if not self._who:
            return None
        names = ("rollouts", "turns", "replays", "exact", "at_most", "tokens")
        return {"who": list(self._who), **{name: self._counts[name] for name in names}, "cost": self._cost}
