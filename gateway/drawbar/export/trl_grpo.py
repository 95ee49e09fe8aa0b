"""TRL's prompts for reinforcement learning: a row for each task, with what reward functions can ask for.

`GRPOTrainer` reads `prompt` and hands every other column to the reward functions by name: the reference answer and the
task's `info` as JSON texts, so that a column has one type whatever a task holds; and how the recorded rollouts did, for
a curriculum. The tools are told too; the trainer takes those that it is given itself. Reference:
https://huggingface.co/docs/trl/dataset_formats (prompt-only).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from drawbar.export.chat_form import ChatMessage
from drawbar.export.format import Column, Need, Row
from drawbar.export.losses import Losses
from drawbar.export.sample import Sample
from drawbar.export.trl import FORM, MESSAGE, completed
from drawbar.wire.tolerant import dump


class Prompts:
    """`{"prompt": [...], "environment": "wiki", "task": "t1", "task_hash": "...", "answer": "\\"Ada\\"", "info": "{}",
    "rewards": [1.0, 0.0], "mean_reward": 0.5, "solve_rate": 0.5}`, with `tools` and `images` where there are any."""

    name = "trl-grpo"
    needs: frozenset[Need] = frozenset({"task"})
    columns: Mapping[str, Column] | None = {
        "prompt": MESSAGE, "environment": "text", "task": "text", "task_hash": "text", "answer": "text", "info": "text",
        "rewards": ["number"], "mean_reward": "number", "solve_rate": "number", "tools": "text", "images": ["text"],
    }  # fmt: skip

    def rows(self, sample: Sample, losses: Losses) -> Iterator[Row]:
        prompt: list[ChatMessage] = []
        for said, trained in zip(FORM.messages(sample, losses), sample.trained, strict=True):
            if trained:
                prompt += said[:-1]
                break
            prompt += said
        task, rollouts = sample.task, sample.rollouts
        yield completed({"prompt": prompt}, sample) | {
            "environment": sample.facts.environment,
            "task": sample.facts.task_key,
            "task_hash": sample.facts.task_hash,
            "answer": None if task is None or task.answer is None else _json(task.answer),
            "info": _json(dict(task.info) if task is not None else {}),
            "rewards": list(rollouts.rewards) if rollouts is not None else [],
            "mean_reward": None if rollouts is None else rollouts.mean,
            "solve_rate": None if rollouts is None else rollouts.solve_rate,
        }


def _json(value: Any) -> str:
    return dump(value).decode("utf-8", "replace")


FORMAT: Final = Prompts()
