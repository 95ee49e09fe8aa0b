"""What a person and an agent said to each other in a session: the request that it began with, what the user said later,
and the last answer. Knows trajectories; nothing of tools beyond that their results are no user's words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from drawbar.capture.candidate import spoken
from drawbar.task import ChatMessage, Task
from drawbar.trajectory import Call, Node, Trajectory
from drawbar.wire.chat_writer import chat_messages
from drawbar.wire.message import Media, Message, Text

_TELLING = 24
"""Characters of a summary from which on a message that carries it is taken for it, not for the user's."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One session's main conversation, as a task tells it."""

    opening: tuple[ChatMessage, ...]
    """Without the system prompt."""
    system: str | None
    user_turns: tuple[str | ChatMessage, ...]
    last: Call | None
    """The last call of it that was answered."""
    lost: tuple[str, ...] = ()
    """What of its messages chat messages cannot say."""

    @property
    def answer(self) -> str:
        """The words of the last answer."""
        message = self.last.message if self.last is not None else None
        return message.text.strip() if message is not None else ""


def conversation(trajectory: Trajectory) -> Conversation | None:
    """The main conversation; None where no request of a user is in it.

    A rollout begins as its task says: what its agent put around that (reminders, rules of its own) is another agent's
    affair.
    """
    calls = [call for call in trajectory.threads[0].calls if call.request is not None] if trajectory.calls else []
    answered = [call for call in calls if call.status == "answered"]
    last = answered[-1] if answered else None
    if trajectory.task is not None:
        return _of_task(trajectory.task, last)
    if not calls:
        return None
    begun = trajectory.path(calls[0].request)
    first = [node.message for node in begun]
    leading = next((place for place, message in enumerate(first) if message.role != "system"), len(first))
    if not any(message.role == "user" and not message.is_empty for message in first):
        return None
    lost: dict[str, None] = {}
    opening = _chat(first[leading:], lost)
    system = "\n\n".join(text for message in first[:leading] if (text := message.text.strip()))
    turns = _turns(trajectory, answered, begun)
    later = tuple(_turn(each) for each in _chat(turns, lost))
    return Conversation(opening, system or None, later, last, tuple(lost))


def _of_task(task: Task, last: Call | None) -> Conversation:
    messages = task.messages
    opening = tuple(messages if task.system is None else messages[1:])
    return Conversation(opening, task.system, tuple(task.user_turns), last)


def _chat(messages: Sequence[Message], lost: dict[str, None]) -> tuple[dict[str, Any], ...]:
    """As chat messages. What an agent thought is for the model that thought it."""
    written = chat_messages(messages, lost)
    return tuple({name: value for name, value in each.items() if name != "reasoning_content"} for each in written)


def _turn(message: dict[str, Any]) -> str | ChatMessage:
    content = message["content"]
    return spoken(content) if isinstance(content, str) else message


def _turns(trajectory: Trajectory, answered: Sequence[Call], begun: Sequence[Node]) -> list[Message]:
    """What the user said after the first request, as far as it was answered.

    Of one history only the last state counts: what was taken back and said anew is said once. Where a history was made
    shorter and begun anew, what it repeats and what it sums up are no new words.
    """
    summaries = [
        text for thread in trajectory.threads if thread.kind == "compaction" for text in _replies(thread.calls)
    ]
    turns: list[Message] = []
    for path in _histories(trajectory, answered):
        goes_on = [node.id for node in path[: len(begun)]] == [node.id for node in begun]
        known = turns if goes_on else [*(node.message for node in begun), *turns]
        said = {message.text.strip() for message in known} - {""}
        for message in (node.message for node in path[len(begun) if goes_on else 0 :]):
            text = message.text.strip()
            if _is_turn(message) and text not in said and not any(summary in text for summary in summaries):
                turns.append(message)
    return turns


def _replies(calls: Sequence[Call]) -> Iterator[str]:
    for call in calls:
        text = call.message.text.strip() if call.message is not None else ""
        if len(text) >= _TELLING:
            yield text


def _histories(trajectory: Trajectory, answered: Sequence[Call]) -> list[tuple[Node, ...]]:
    """The last path of each history: paths with one beginning (what the user said first) are states of one."""
    found: list[tuple[Node, ...]] = []
    for call in answered:
        path = trajectory.path(call.request)
        if found and _beginning(found[-1]) == _beginning(path):
            found[-1] = path
        else:
            found.append(path)
    return found


def _beginning(path: Sequence[Node]) -> str | None:
    """By its words: a history's messages may have other ids when its system prompt has changed."""
    return next((node.message.text for node in path if node.message.role == "user"), None)


def _is_turn(message: Message) -> bool:
    """Whether a user said it: results of tools, and what an agent adds to them, nobody did."""
    says = any(isinstance(block, Media) or (isinstance(block, Text) and spoken(block.text)) for block in message.blocks)
    return message.role == "user" and not message.tool_results and says
