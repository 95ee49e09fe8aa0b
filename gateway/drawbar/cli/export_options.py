"""The options of `drawbar export` that choose among sessions, and what they come to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from drawbar.errors import ConfigurationError

if TYPE_CHECKING:
    from drawbar.capture.pseudonyms import Pseudonyms
    from drawbar.export.choice import Choice, Dedupe
    from drawbar.export.format import Format

_CHOICE: Final = "Which of them"
_PAIRS: Final = "Preferences (openai-dpo, trl-dpo, trl-kto)"


def _option(*names: str, help: str, panel: str = _CHOICE, **attributes: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, **attributes)


def _selectors(incomplete: str) -> list[str]:
    from drawbar.export.choice import SELECTORS

    return [name for name in SELECTORS if name.startswith(incomplete)]


def _sources(incomplete: str) -> list[str]:
    from drawbar.export.choice import SOURCES

    return [name for name in SOURCES if name.startswith(incomplete)]


def _columns(incomplete: str) -> list[str]:
    from drawbar.export.task_filter import COLUMNS

    before, space, last = incomplete.rpartition(" ")
    return [f"{before}{space}{name}" for name in COLUMNS if name.startswith(last)]


Group = Annotated[
    str,
    _option("--group", "-g", metavar="FILTER", help="Which tasks, by how all their rollouts did: `solve_rate between "
            "0.1 and 0.9 and rollouts >= 4`. --group-columns lists what can be asked for.", show_default=False,
            autocompletion=_columns),
]  # fmt: skip
GroupColumns = Annotated[
    bool, _option("--group-columns", help="List the columns of --group, the selectors and sources of pairs, and end.")
]
SelectOf = Annotated[
    str,
    _option("--select", metavar="SELECTOR", help="Of each task: all, best, best-n:4, correct, shortest-correct, "
            "random-n:4.", autocompletion=_selectors),
]  # fmt: skip
PassThreshold = Annotated[
    float | None,
    _option("--pass-threshold", help="From which reward on a task is solved, and a reply is wanted. Default: 1.",
            show_default=False),
]  # fmt: skip
DedupeOf = Annotated[
    str | None,
    _option("--dedupe", metavar="none|exact|near[:0.9]", help="Of sessions in which the same (or nearly the same) was "
            "said, one. Default: exact for what is trained word by word; none for rl, trl-grpo and whole sessions.",
            show_default=False),
]  # fmt: skip
HeldOut = Annotated[
    list[str] | None,
    _option("--held-out", metavar="FILE|ENV", help="Nothing that repeats a task of this file or environment. "
            "Repeatable."),
]  # fmt: skip
PerTask = Annotated[
    int | None,
    _option("--per-task", min=1, help="At most so many sessions of a task. Of pairs: default 4.", show_default=False),
]
PerEnvironment = Annotated[
    int | None, _option("--per-environment", min=1, help="At most so many sessions (or pairs) of an environment.")
]
Mix = Annotated[
    str | None,
    _option("--mix", metavar="ENV=WEIGHT,...", help="How many of each environment against the others: "
            "wiki_search=2,shop=1. Others are left out."),
]  # fmt: skip
Split = Annotated[
    float | None,
    _option("--split", metavar="SHARE", help="Two files, NAME.train and NAME.test: this share of the tasks in the "
            "second. A task is on the same side for ever."),
]  # fmt: skip
Redacted = Annotated[
    bool,
    _option("--redact", help="Make e-mail addresses, phone numbers, keys and what the configuration's `redaction` "
            "names unrecognisable: the same value is the same pseudonym everywhere."),
]  # fmt: skip
PairsFrom = Annotated[
    list[str] | None,
    _option("--pairs", metavar="SOURCE", panel=_PAIRS, autocompletion=_sources,
            help="Where pairs come from: siblings, branches, corrections. Repeatable. Default: all."),
]  # fmt: skip
Margin = Annotated[
    float,
    _option("--margin", min=0.0, panel=_PAIRS, help="By how much the better one's reward is higher at least. Default: "
            "by anything.", show_default=False),
]  # fmt: skip
Whole = Annotated[
    bool,
    _option("--whole", panel=_PAIRS, help="trl-dpo: all that followed, results of tools too, not the one reply at "
            "which both part."),
]  # fmt: skip


def chosen(
    format: Format,
    *,
    group: str,
    select: str,
    pass_threshold: float | None,
    dedupe: str | None,
    held_out: list[str] | None,
    per_task: int | None,
    per_environment: int | None,
    mix: str | None,
    split: float | None,
    pairs: list[str] | None,
    margin: float,
    whole: bool,
) -> Choice:
    """What these options mean together.

    Raises:
        UnknownName, ConfigurationError: one of them means nothing.
    """
    from drawbar.export import choice
    from drawbar.export.format import PairFormat
    from drawbar.export.held_out import held_out as read_held_out
    from drawbar.export.task_filter import tasks_where
    from drawbar.rollout.report import PASS_THRESHOLD

    paired = isinstance(format, PairFormat)
    if not paired and (pairs or margin or whole):
        raise ConfigurationError(
            f"{format.name} has no pairs: --pairs, --margin and --whole are for openai-dpo, trl-dpo."
        )
    if split is not None and not 0 < split < 1:
        raise ConfigurationError(f"The part of a split that is to test with is between 0 and 1, not {split:g}.")
    return choice.Choice(
        tasks=tasks_where(group),
        select=choice.selector(select),
        pass_threshold=PASS_THRESHOLD if pass_threshold is None else pass_threshold,
        dedupe=_dedupe(format, dedupe),
        held_out=read_held_out(held_out) if held_out else None,
        per_task=per_task,
        per_environment=per_environment,
        mix=choice.weights(mix) if mix is not None else {},
        split=split,
        pairs=choice.sources(pairs or ()),
        margin=margin,
        whole=whole,
    )


def _dedupe(format: Format, text: str | None) -> Dedupe:
    """What is told twice is trained twice; but rollouts of a group, and whole sessions, are all of interest."""
    from drawbar.export.choice import dedupe

    if text is None:
        text = "exact" if format.needs.isdisjoint(("trajectory", "token_ids", "rows", "task")) else "none"
    return dedupe(text)


def pseudonyms(config: Path | None) -> Pseudonyms:
    """What --redact replaces: the usual kinds, and the configuration's patterns. Raises `ConfigurationError`."""
    from drawbar.capture.pseudonyms import Pseudonyms
    from drawbar.cli.redacting import FILE
    from drawbar.config.reading import read_configuration

    path = config or (FILE if FILE.is_file() else None)
    return Pseudonyms(read_configuration(path, only=("redaction",)).configuration.redaction)


def columns() -> dict[str, dict[str, str]]:
    """What can be asked for: columns of tasks, selectors and sources of pairs, with what they mean."""
    from drawbar.export.choice import SELECTORS, SOURCES
    from drawbar.export.task_filter import MEANINGS

    return {"columns": dict(MEANINGS), "selectors": dict(SELECTORS), "pairs": dict(SOURCES)}
