"""A candidate as a person sees it who decides about it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from textwrap import wrap
from typing import Any, Final

from rich.console import ConsoleDimensions, RenderableType
from rich.rule import Rule
from rich.text import Text

from drawbar.capture.candidate import Candidate, words
from drawbar.capture.review import Review
from drawbar.task import ChatMessage

_FEWEST: Final = 3
"""Lines of a text that are shown, however small the terminal is."""
_STYLES: Final = {"user": "bold green", "assistant": "bold cyan", "tool": "bold magenta"}


def shown(review: Review, size: ConsoleDimensions, *, full: bool = False) -> Iterator[RenderableType]:
    """The candidate that is looked at, part by part. `full`: long texts are not shortened."""
    yield Rule(Text(_head(review)), align="left", style="dim")
    candidate = review.current
    lines = 1_000_000 if full else max(_FEWEST, size.height // 6)
    yield Text("  ".join(_facts(candidate)), style="dim")
    yield Text("  ".join(_judged(candidate)))
    for title, text, style in _said(candidate, full=full):
        yield Text(f"\n{title}", style=style)
        yield _shortened(text, lines, size.width)


def _head(review: Review) -> str:
    counts, decision = review.counts, review.decision
    state = "" if decision is None else {"keep": "  KEPT", "drop": "  DROPPED"}[decision.verdict]
    edited = "  EDITED" if decision is not None and decision.task is not None else ""
    return (
        f"{review.at + 1} of {len(review)}  ({counts['keep']} kept, {counts['drop']} dropped, {counts['open']} open)"
        f"{state}{edited}"
    )


def _facts(candidate: Candidate) -> Iterator[str]:
    yield candidate.session
    yield datetime.fromtimestamp(candidate.started, UTC).strftime("%Y-%m-%d %H:%M")
    for name in ("environment", "model", "harness", "release", "user"):
        if (value := getattr(candidate, name)) is not None:
            yield _clean(f"{name} {value}")
    if candidate.tags:
        yield _clean(f"tags {', '.join(candidate.tags)}")
    yield f"{candidate.turns} turns"
    if candidate.merged:
        yield f"{len(candidate.merged)} near duplicates"


def _judged(candidate: Candidate) -> Iterator[str]:
    yield "no reward" if candidate.reward is None else f"reward {candidate.reward:.3g}"
    for name, value in candidate.feedback.items():
        if name == "thumbs":
            yield "thumbs up" if value else "thumbs down"
        elif name != "correction":
            yield _clean(f"{name}: {value}")
    calls = [f"{name} ({count}x)" for name, count in candidate.tools.items()]
    yield f"tools: {_clean(', '.join(calls))}" if calls else "no tools"
    if candidate.tool_errors:
        yield f"{candidate.tool_errors} failed"


def _said(candidate: Candidate, *, full: bool) -> Iterator[tuple[str, str, str]]:
    """Title, text and style of each part."""
    if candidate.system:
        yield "System", candidate.system, "bold dim"
    before = candidate.opening[:-1]
    if before and not full:
        yield "Before", f"{len(before)} messages (m shows them)", "bold dim"
    for message in candidate.opening if full else candidate.opening[-1:]:
        yield _title(message), _content(message), _STYLES.get(str(message.get("role")), "bold")
    for turn in candidate.user_turns:
        yield "User, later", _content(turn), _STYLES["user"]
    if candidate.answer is not None:
        answer = candidate.answer if isinstance(candidate.answer, str) else _json(candidate.answer)
        yield f"Answer ({candidate.answer_source or 'edited'})", answer, "bold yellow"
    if candidate.recorded and candidate.recorded != candidate.answer:
        yield "Recorded answer", candidate.recorded, _STYLES["assistant"]
    if full:
        yield from (("Near duplicate", other.request, "bold dim") for other in candidate.merged)
        yield from (("Not carried over", what, "bold dim") for what in candidate.lost)


def _title(message: ChatMessage) -> str:
    return {"user": "User", "assistant": "Assistant", "tool": "Tool result"}.get(str(message.get("role")), "Message")


def _content(message: str | ChatMessage) -> str:
    if isinstance(message, str):
        return message
    rest = {name: value for name, value in message.items() if name not in ("role", "content")}
    parts = message.get("content")
    others = [part for part in parts if isinstance(part, Mapping) and "text" not in part] if type(parts) is list else []
    shown_parts = (f"[{part.get('type', 'part')}]" for part in others)
    texts = [words(message), *shown_parts, _json(rest) if rest else ""]
    return "\n".join(text for text in texts if text)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)


def _shortened(text: str, lines: int, width: int) -> Text:
    """The first lines of a text, as wide as the terminal."""
    told: list[str] = []
    for line in _clean(text).splitlines():
        told += wrap(line, max(20, width - 3), break_on_hyphens=False) or [""]
        if len(told) > lines:
            told = [*told[: lines - 1], f"... ({len(text):,} characters; m shows all)"]
            break
    return Text("\n".join(f"  {line}" for line in told))


def _clean(text: str) -> str:
    """Without what would give orders to the terminal."""
    return "".join(c if c in "\n\t" or c.isprintable() or c == " " else "\N{REPLACEMENT CHARACTER}" for c in text)
