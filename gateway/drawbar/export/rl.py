"""Reinforcement learning on tokens: what the model was shown and said, token for token, and what it was worth.

A row for each branch of a session, or for each part of one whose tokens go on without a break (`token_rows`). The
tokens of a reply train in one row alone. `completion_ids`, `loss_mask` and `logprobs` are of one length: tool results
are in the completion, with mask 0. Advantages are against the task's other rollouts in the run (`groups`); take the
column that your trainer means. The names of the columns are TRL's where it has them
(https://huggingface.co/docs/trl/grpo_trainer).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from drawbar.export.format import Column, Need, Row
from drawbar.export.losses import Losses
from drawbar.export.sample import Sample
from drawbar.export.token_rows import WHY, TokenRow, token_rows
from drawbar.trajectory import Call
from drawbar.wire.message import Media


class Reinforcement:
    """`{"prompt_ids": [...], "completion_ids": [...], "loss_mask": [...], "reward": ..., "advantage": ..., ...}`."""

    name = "rl"
    summary = "Reinforcement learning: token ids, log probabilities, masks and advantages, a row for each branch"
    needs: frozenset[Need] = frozenset({"reward", "token_ids", "branches", "group"})
    columns: Mapping[str, Column] | None = {
        "prompt_ids": ["whole number"], "completion_ids": ["whole number"], "logprobs": ["number"],
        "loss_mask": ["whole number"], "reward": "number", "advantage": "number", "advantage_centered": "number",
        "advantage_leave_one_out": "number", "group_size": "whole number", "group_mean": "number",
        "group_std": "number", "group_left_out": "whole number", "policy_version": "text", "policy_versions": ["text"],
        "session": "text", "run": "text", "environment": "text", "task": "text", "rollout": "whole number",
        "thread": "text", "branch": "whole number", "part": "whole number", "split": "text", "calls": ["text"],
    }  # fmt: skip

    def rows(self, sample: Sample, losses: Losses) -> Iterator[Row]:
        assert sample.trajectory is not None
        by_id = {call.id: call for call in sample.trajectory.calls}
        own = [by_id[id] for id, own in zip(sample.calls, sample.trained, strict=True) if own and id is not None]
        _note_pictures(sample, losses)
        around = {**_group_of(sample, losses), **_place_of(sample)}
        part = 0
        for row in token_rows(own):
            if row.split is not None:
                losses.note(f"a row for the whole branch: {WHY[row.split]}")
            if row.logprobs is None:
                losses.note("the log probabilities of a row: not all of its tokens' were told")
            if any(row.mask):
                yield {**_tokens_of(row), **around, "part": part, **_policies(row.calls, sample)}
                part += 1


def _tokens_of(row: TokenRow) -> Row:
    return {
        "prompt_ids": row.prompt,
        "completion_ids": row.completion,
        "logprobs": row.logprobs,
        "loss_mask": row.mask,
        "split": row.split,
        "calls": [call.id for call in row.calls],
    }


def _group_of(sample: Sample, losses: Losses) -> Row:
    group = sample.group
    advantages = group.advantages(sample.facts.id) if group is not None else None
    if advantages is None:
        losses.note("advantages: no other rollout of the task in the run counts, or this one does not")
    return {
        "reward": sample.grade.reward,
        "advantage": None if advantages is None else advantages.normalized,
        "advantage_centered": None if advantages is None else advantages.centered,
        "advantage_leave_one_out": None if advantages is None else advantages.leave_one_out,
        "group_size": None if group is None else len(group.rewards),
        "group_mean": None if group is None else group.mean,
        "group_std": None if group is None else group.deviation,
        "group_left_out": None if group is None else group.left_out,
    }


def _place_of(sample: Sample) -> Row:
    facts = sample.facts
    return {
        "session": facts.id,
        "run": facts.run,
        "environment": facts.environment,
        "task": facts.task_key,
        "rollout": facts.rollout,
        "thread": sample.thread,
        "branch": sample.branch,
    }


def _policies(calls: list[Call], sample: Sample) -> Row:
    """Which weights said it: as each call tells, else as the session's metadata do, else by the model's name."""
    told = _metadata(sample).get("policy_version")
    versions = [call.policy_version or (str(told) if told is not None else call.upstream) for call in calls]
    return {"policy_version": versions[-1], "policy_versions": list(dict.fromkeys(versions))}


def _metadata(sample: Sample) -> Mapping[str, Any]:
    found = orjson.loads(sample.facts.metadata) if sample.facts.metadata else {}
    return found if isinstance(found, dict) else {}


def _note_pictures(sample: Sample, losses: Losses) -> None:
    if pictures := sum(isinstance(block, Media) for message in sample.messages for block in message.blocks):
        losses.note("pictures, sounds and files: their places alone are among the tokens", pictures)


FORMAT: Final = Reinforcement()
