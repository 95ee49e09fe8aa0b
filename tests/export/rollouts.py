"""Rollouts of tasks to choose among: a question, an answer and what it is worth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.export.stories import Story, answers, chat, says, shows

from drawbar.record.store import Store


def rollout(store: Store, task: str, answer: str, reward: float | None = None, **fields: Any) -> Story:
    """One that was asked the task's key and answered at once; not yet ended."""
    story = _story(store, task, **fields)
    story.exchange(chat(task), answers(says(answer)))
    if reward is not None:
        story.score(reward)
    return story


def looked_up(
    store: Store, task: str, query: str, answer: str, reward: float, found: str = "Ada", **fields: Any
) -> str:
    """One that looked something up before it answered; its id."""
    story = _story(store, task, **fields)
    asks = says(None, ("c1", {"query": query}))
    story.exchange(chat(task), answers(asks, "tool_calls"))
    story.exchange(chat(task, asks, shows("c1", found)), answers(says(answer)))
    story.score(reward)
    return story.end()


def rollouts(store: Store, task: str, rewards: Iterable[float], **fields: Any) -> list[str]:
    """Rollouts of one task with these rewards, each with an answer of its own, in their order; their ids."""
    return [
        rollout(store, task, f"Answer {number}.", reward, rollout=number, started=100.0 + number, **fields).end()
        for number, reward in enumerate(rewards)
    ]


def _story(store: Store, task: str, **fields: Any) -> Story:
    named = {"environment": "quiz", "run": "run", "task_key": task, "task_hash": f"hash of {task}"}
    return Story(store, **{**named, **fields})
