"""What `drawbar export` tells of an export, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from drawbar.cli.output import counted
from drawbar.export.format import Row
from drawbar.export.healthy import meaning
from drawbar.export.tally import Lengths, Tally

_LONGEST: Final = 300
"""Characters of a text in a row that is shown."""
_ADVICE: Final = {
    "open": "They are exported once they have ended.",
    "no_reward": "Score them: `drawbar score RUBRIC --where ...`.",
    "no_token_ids": "Record them: `drawbar run` (or serve) with --token-ids and --upstream-tokens vllm (or sglang).",
    "invalid_rollout": "`drawbar sessions --where 'valid = false'` lists them; --allow invalid_rollout takes them.",
}


def rows_of(files: Iterable[Path], manifest: Path) -> Iterator[str]:
    """How many rows are in each file (or folder), as the manifest says it."""
    said = orjson.loads(manifest.read_bytes())["files"]
    for file in files:
        rows = sum(it["rows"] for it in said if it["name"].partition("/")[0] == file.name)
        yield f"{rows:,} rows in {file}"


def told(tally: Tally, *, explain: bool) -> Iterator[str]:
    """The counts, what was left out, and what was lost."""
    if tally.conversations:
        of = f"{counted(tally.conversations, 'conversation')} of {counted(tally.sessions, 'session')}"
        yield f"{of}; {tally.trained:,} of {tally.messages:,} messages are trained"
    else:
        yield f"{counted(tally.sessions, 'whole session')} with {counted(tally.messages, 'message')}"
    for name, lengths in (("conversations", tally.tokens), ("what is trained of them", tally.trained_tokens)):
        if line := _length(name, lengths):
            yield line
    out = sum(tally.fallen.values())
    if explain:
        yield f"of {counted(tally.looked_at, 'session')} looked at, {out:,} left out:"
        yield from (_rule(rule, count) for rule, count in tally.by_rule().items())
    elif out:
        yield from left_out(tally)
    if tally.losses:
        yield "the format has no place for all of it:"
        for what, lost in tally.losses.to_json().items():
            yield f"  {lost['times']:>8,}  {what} ({counted(lost['conversations'], 'conversation')})"


def left_out(tally: Tally) -> Iterator[str]:
    """How many sessions fell to which rule, and what can be done about it."""
    yield f"{counted(sum(tally.fallen.values()), 'session')} of {tally.looked_at:,} left out:"
    for rule, count in tally.by_rule().items():
        if count:
            yield _rule(rule, count)
            if rule in _ADVICE:
                yield f"            {_ADVICE[rule]}"


def _rule(rule: str, count: int) -> str:
    return f"  {count:>8,}  {rule}: {meaning(rule)}"


def _length(name: str, lengths: Lengths) -> str | None:
    said = lengths.to_json()
    if "sum" not in said:
        return None
    unknown = f" ({counted(said['unknown'], 'conversation')} not counted)" if said["unknown"] else ""
    return (
        f"tokens of {name}: {said['sum']:,} in all; median {said['median']:,}, 95 % below {said['p95']:,}, "
        f"longest {said['most']:,}{unknown}"
    )


def rendered(row: Row) -> str:
    """A row for people to read: its long texts are cut, and say so."""
    return orjson.dumps(_cut(row), option=orjson.OPT_INDENT_2).decode()


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}… ({len(value):,} characters)"
    if isinstance(value, dict):
        return {name: _cut(inner) for name, inner in value.items()}
    return [_cut(inner) for inner in value] if isinstance(value, list | tuple) else value
