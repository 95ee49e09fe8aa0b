"""Simulated users: who says what the user says after the agent's final answer, so that the agent can go on.

A user knows the task and what was said. It does not know how models are reached, nor the agent: the gateway asks it
(`drawbar.proxy.user`). When it says nothing that can be used, the rollout is invalid, not bad.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Any, Protocol, runtime_checkable

import anyio

from drawbar.errors import ConfigurationError, UserError
from drawbar.judging import Ask, words
from drawbar.task import ChatMessage, Task
from drawbar.templates import compiled
from drawbar.verdicts import without_thoughts

_WHOSE = "The template of [user]"


def default_template() -> str:
    """The template of users who have none of their own."""
    return (files("drawbar") / "user.jinja2").read_text("utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What a user knows when it is to speak."""

    task: Task
    messages: Sequence[ChatMessage]
    """What user and agent said to each other, in chat form: the task's opening without its system prompt, then the
    agent's final answers (their words) and what the user said to them. The last is an answer."""
    played: int
    """How often this user has spoken: 0 at the agent's first answer."""
    ask: Ask | None = None
    """How it reaches models; what it spends is entered in the rollout's account of its user."""


@runtime_checkable
class User(Protocol):
    """Plays the user. Any object with this method is one; one object plays in many rollouts at once."""

    async def reply(self, conversation: Conversation, /) -> str | ChatMessage | None:
        """The next message of the user's, a text or in chat form; None when the user is done.

        An exception makes the rollout invalid (`user_failed`), and it is tried again.
        """


@dataclass(frozen=True, slots=True)
class ReplayUser:
    """Says `task.user_turns`, exactly and in order, whatever the agent answers."""

    def plays(self, task: Task) -> bool:
        """Whether there is anything to say."""
        return bool(task.user_turns)

    async def reply(self, conversation: Conversation, /) -> ChatMessage | None:
        turns = conversation.task.user_messages
        return turns[conversation.played] if conversation.played < len(turns) else None


@dataclass(frozen=True, kw_only=True)
class ModelUser:
    """A model plays the user, from the goal in `task.info["goal"]` and the recorded `task.user_turns`.

    The template is jinja2 and sees `goal` (None if the task names none), `turns` (the recorded ones, as texts),
    `messages` (of the conversation; `role` and `content`, a text), `stop`, `played`, `task` and `info`. A name that is
    not there is an error. The prompt that it makes is the whole request; the reply is what the user says.

    Raises:
        ConfigurationError: a template that jinja2 cannot read, no stop marker, or a number below 1.
    """

    model: str
    template: str = field(default_factory=default_template, repr=False)
    stop: str = "###STOP###"
    """A reply that holds this ends the conversation; the agent does not see it."""
    max_turns: int = 10
    """After so many messages the user is done."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request: `temperature`, `max_completion_tokens`, ..."""
    timeout: float = 120.0
    """Seconds for one message."""

    def __post_init__(self) -> None:
        if not self.model or not self.stop.strip():
            raise ConfigurationError("A user that a model plays needs a `model` and a `stop` marker.")
        if self.max_turns < 1 or self.timeout <= 0:
            raise ConfigurationError("A user's `max_turns` is 1 or more, its `timeout` above 0.")
        compiled(self.template, _WHOSE)

    def plays(self, task: Task) -> bool:
        """Whether the task says what the user wants beyond its opening."""
        return bool(task.user_turns or task.info.get("goal"))

    async def reply(self, conversation: Conversation, /) -> str | None:
        """Raises `UserError`."""
        if conversation.played >= self.max_turns:
            return None
        reply = await self._asked(conversation.ask, self.render(conversation))
        said = without_thoughts(reply).strip()
        if self.stop in said:
            return None
        if not said:
            raise UserError(f"The user's model {self.model} said nothing: neither a message nor {self.stop}.")
        return said

    def render(self, conversation: Conversation) -> str:
        """The prompt. Raises `UserError` when the template asks for what there is not."""
        task = conversation.task
        seen = {
            "goal": task.info.get("goal"), "turns": [text_of(turn) for turn in task.user_messages],
            "messages": [{"role": m["role"], "content": text_of(m)} for m in conversation.messages],
            "stop": self.stop, "played": conversation.played, "task": task, "info": task.info,
        }  # fmt: skip
        try:
            return compiled(self.template, _WHOSE).render(seen)
        except Exception as error:
            raise UserError(f"{_WHOSE} could not be filled in: {error}") from error

    async def _asked(self, ask: Ask | None, prompt: str) -> str:
        if ask is None:
            raise UserError(f"The user's model {self.model} cannot be reached here: nobody says how.")
        body = {**self.sampling, "messages": [{"role": "user", "content": prompt}]}
        try:
            with anyio.fail_after(self.timeout):
                completion = await ask(self.model, body)
            if completion["choices"][0].get("finish_reason") == "length":
                raise UserError(f"The user's model {self.model} was cut off at its limit of tokens.")
            return words(completion)
        except UserError:
            raise
        except TimeoutError as error:
            raise UserError(f"The user's model {self.model} said nothing within {self.timeout:g} s.") from error
        except Exception as error:
            raise UserError(
                f"The user's model {self.model} could not be asked: {type(error).__name__}: {error}"
            ) from error


def user_for(user: User | None, task: Task, model: str | None = None) -> User | None:
    """Who plays the user of a task: `user`, or a replay where there is none; None where the task has but one turn.

    `model` plays in the place of a replay, or of the model that was to play.
    """
    if model is not None:
        user = replace(user, model=model) if isinstance(user, ModelUser) else ModelUser(model=model)
    player: User = user or ReplayUser()
    silent = isinstance(player, ReplayUser | ModelUser) and not player.plays(task)
    return None if silent else player


def spoken(task: Task) -> list[dict[str, Any]]:
    """A task's opening messages as its user knows them: what the user said and the agent's words, no system prompt, no
    tools."""
    return [
        m for m in task.messages if m.get("role") == "user" or (m.get("role") == "assistant" and text_of(m).strip())
    ]


def text_of(message: ChatMessage) -> str:
    """The words of a chat message."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text") or "") for part in parts if isinstance(part, Mapping))
