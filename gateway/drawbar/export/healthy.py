"""Which sessions may train a model: the rules, in one table, and which of them a session falls to.

A session falls to the first rule that it breaks, so that the counts of all rules and of what is left add up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from drawbar.errors import UnknownName
from drawbar.record.facts import Facts
from drawbar.record.findings import FINDINGS


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason for which a session is left out."""

    name: str
    meaning: str
    findings: frozenset[str] = frozenset()
    """The findings of which one is enough."""


def _rule(name: str, meaning: str, *findings: str) -> Rule:
    return Rule(name, meaning, frozenset(findings))


_NAMED: Final = (
    _rule("open", "it has not ended"),
    _rule("invalid_rollout", "it ended such that it does not count (`valid`), or a scorer failed on it"),
    _rule("unfinished", "a call without an end", "unfinished_call", "unfinished_tool_call"),
    _rule("empty_turn", "a reply of the model's that says nothing", "empty_reply", "missing_reply"),
    _rule(
        "unjoined_tool_result", "a tool call or result without its other side",
        "unjoined_tool_result", "unjoined_tool_call", "invented_tool_result", "missing_tool_result",
    ),
    _rule(
        "altered_tool_result", "a tool result, or a call's arguments, in other words than they were",
        "altered_tool_result", "altered_arguments",
    ),
    _rule(
        "truncation", "a reply or a tool result that was cut off",
        "truncated_reply", "truncated_stream", "truncated_tool_result",
    ),
    _rule("unreadable", "a message that is missing or cannot be read", "unreadable_message", "missing_message"),
)  # fmt: skip
_REST: Final = {kind.name for kind in FINDINGS.values() if kind.severity == "defect"}.difference(
    *(rule.findings for rule in _NAMED)
)
_TABLE: Final = (*_NAMED, _rule("other_defect", "another defect in its record", *_REST))

RULES: Final[Mapping[str, Rule]] = {rule.name: rule for rule in _TABLE}
"""Every rule of health by name, in the order in which they are looked at."""

FURTHER: Final[Mapping[str, str]] = {
    "no_reward": "it has no reward, which the format, or --select, needs",
    "no_token_ids": "the token ids of its prompts and replies were not recorded, which the format needs",
    "no_label": "nobody said whether it is wanted, and it has no reward",
    "nothing_to_train": "no reply in it is the model's own",
    "held_out": "it repeats a held-out task (--held-out)",
    "group": "its task's rollouts are not as --group wants them",
    "duplicate": "the same was said in another session (--dedupe)",
    "near_duplicate": "nearly the same was said in another session (--dedupe near)",
    "not_selected": "others of its task were taken (--select)",
    "torn": "its user, or what it begins with, is on the other side of the split",
    "no_pair": "no other session parts from it at a reply that is so much better or worse",
    "same_task": "another session stands for its task, of which there is one row",
    "per_task": "there is enough of its task (--per-task)",
    "per_environment": "there is enough of its environment (--per-environment)",
    "mix": "it is more than its environment's share, or has none (--mix)",
    "enough": "there are enough sessions (--limit)",
    "no_row": "the format can make no row of it",
}
"""Further reasons for which a session has no row, and what they mean."""


def fallen_to(facts: Facts, findings: Collection[str], waived: Collection[str] = ()) -> str | None:
    """The first rule of health that a session breaks, but for those that are waived; None: it is healthy."""
    if facts.status != "ended" and "open" not in waived:
        return "open"
    if facts.status == "ended" and not facts.valid and "invalid_rollout" not in waived:
        return "invalid_rollout"
    if not findings:
        return None
    rules = (rule.name for rule in _TABLE if rule.name not in waived and not rule.findings.isdisjoint(findings))
    return next(rules, None)


def waivers(names: Iterable[str]) -> frozenset[str]:
    """The rules of these names; `all` is every one.

    Raises:
        UnknownName: there is none of a name.
    """
    given = set(names)
    if unknown := sorted(given - {"all", *RULES}):
        raise UnknownName("rule of health", unknown[0], ("all", *RULES), "--explain lists them with what they mean.")
    return frozenset(RULES) if "all" in given else frozenset(given)


def meaning(rule: str) -> str:
    """What a rule means, or a further reason."""
    return RULES[rule].meaning if rule in RULES else FURTHER[rule]
