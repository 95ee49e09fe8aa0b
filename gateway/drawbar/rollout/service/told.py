"""What came of rollouts: for each how it ended, what it was worth, and its rows as `drawbar export rl` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drawbar.export.branches import Extent
from drawbar.export.losses import Losses
from drawbar.export.rl import FORMAT
from drawbar.export.sampling import Sampler
from drawbar.record.facts import FactReader
from drawbar.record.store import Store
from drawbar.rollout.result import RolloutResult


def told(store: Store, results: Sequence[RolloutResult]) -> list[dict[str, Any]]:
    """One object for each of them, in their order. Raises `StoreError`."""
    sessions = {facts.id: facts for facts in FactReader(store).sessions([it.session for it in results if it.session])}
    sampler = Sampler(store, FORMAT.needs, Extent(all_threads=True))
    found = []
    for result in results:
        facts = sessions.get(result.session)
        rows: list[dict[str, Any]] = []
        left_out = None if result.valid else "invalid_rollout"
        if facts is not None and result.valid:
            [read] = sampler.read([facts], {})
            if read.grade.reward is None:
                left_out = "no_reward"
            for sample in read.samples if left_out is None else ():
                if sample.has_token_ids:
                    rows += FORMAT.rows(sample, Losses())
            if left_out is None and not rows:
                left_out = "no_token_ids"
        found.append(_told(result, rows, left_out))
    return found


def _told(result: RolloutResult, rows: list[dict[str, Any]], left_out: str | None) -> dict[str, Any]:
    return {
        "session": result.session,
        "task": result.task_key,
        "rollout": result.rollout,
        "attempt": result.attempt,
        "stop": result.cause,
        "error": result.error,
        "valid": result.valid,
        "reward": result.reward,
        "scores": dict(result.scores),
        "health": list(result.unhealthy),
        "policy_versions": list(dict.fromkeys(version for row in rows for version in row["policy_versions"])),
        "left_out": left_out,
        "rows": rows,
    }
