"""Trajectories in the Agent Trajectory Interchange Format, version 1.8: one for each conversation.

Reference: Harbor's RFC 0001 and its models (`harbor.models.trajectories`). A reply is a step of the agent, and what its
tools answered is that step's observation; a reply that is not trained is marked as copied context. What the format has
no field for (task, scores, how it ended) stands under `extra.drawbar`, where `drawbar import` finds it. In a folder,
pictures become files beside the trajectory, as Harbor wants them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from drawbar.export.around import around, calls_of, iso, whole
from drawbar.export.format import Column, Need, Row
from drawbar.export.losses import Losses
from drawbar.export.sample import Sample
from drawbar.ids import digest
from drawbar.trajectory import Call, Trajectory
from drawbar.wire.message import Media, Message, Other, Reasoning, Text, ToolResult, ToolUse

VERSION: Final = "ATIF-v1.8"
_PICTURES: Final = {"image/jpeg": "jpg", "image/png": "png", "image/gif": "gif", "image/webp": "webp"}
_SOUNDS: Final = {
    "audio/wav": "wav", "audio/mpeg": "mp3", "audio/mp4": "m4a", "audio/aac": "aac", "audio/ogg": "ogg",
    "audio/flac": "flac", "audio/webm": "webm", "audio/aiff": "aiff",
}  # fmt: skip
_ALIASES: Final = {"audio/mp3": "audio/mpeg", "audio/x-wav": "audio/wav", "audio/m4a": "audio/mp4"}
_NO_PLACE: Final = "pictures, sounds and files that the format has no place for"

Step = dict[str, Any]


@dataclass(frozen=True)
class Atif:
    """`{"schema_version": "ATIF-v1.8", "trajectory_id": "...", "agent": {...}, "steps": [...], ...}`"""

    tokens: bool = True
    """Whether token ids are told, where they were recorded."""
    name = "atif"
    needs: frozenset[Need] = frozenset({"trajectory"})
    columns: Mapping[str, Column] | None = None
    alone = False

    def without_tokens(self) -> Atif:
        """The same, with nothing but words."""
        return replace(self, tokens=False)

    def rows(self, sample: Sample, losses: Losses) -> Iterator[Row]:
        facts, session = sample.facts, whole(sample)
        steps = _Steps(sample, losses, tokens=self.tokens).steps()
        if not steps:
            return
        agent = {
            "name": facts.harness or "unknown", "version": "unknown", "model_name": _model(session),
            "tool_definitions": list(sample.tools) or None,
        }  # fmt: skip
        for what in sample.offered.lost:
            losses.note(what)
        yield _known({
            "schema_version": VERSION,
            "session_id": facts.id,
            "trajectory_id": sample.name,
            "agent": _known(agent),
            "steps": steps,
            "final_metrics": _sums(sample, len(steps)),
            "extra": {"drawbar": around(sample)},
        })  # fmt: skip

    def files(self, row: Row) -> Iterator[tuple[str, bytes]]:
        """A trajectory and its pictures as files."""
        name = str(row["trajectory_id"]).replace("/", ".").replace(" ", "-")
        media: dict[str, bytes] = {}
        yield f"{name}.json", orjson.dumps(_outside(row, media), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        yield from media.items()


def _outside(value: Any, media: dict[str, bytes]) -> Any:
    """The same, where inline pictures and sounds are files: their names and contents are put into `media`."""
    if isinstance(value, Mapping):
        path = value.get("path")
        if "media_type" in value and isinstance(path, str) and path.startswith("data:"):
            try:
                content = base64.b64decode(path.partition(";base64,")[2], validate=True)
            except binascii.Error:
                return dict(value)
            ends = {**_PICTURES, **_SOUNDS}[value["media_type"]]
            name = f"media/{digest(content).hex()[:20]}.{ends}"
            media[name] = content
            return {**value, "path": name}
        return {name: _outside(inner, media) for name, inner in value.items()}
    return [_outside(inner, media) for inner in value] if isinstance(value, list) else value


class _Steps:
    """The steps of one conversation."""

    def __init__(self, sample: Sample, losses: Losses, *, tokens: bool) -> None:
        self._sample = sample
        self._losses = losses
        self._tokens = tokens
        self._calls = calls_of(sample)
        self._steps: list[Step] = []
        self._asking: dict[str, Step] = {}

    def steps(self) -> list[Step]:
        sample = self._sample
        for said, trained, id in zip(sample.said, sample.trained, sample.calls, strict=True):
            message = said.message
            if message.role == "assistant":
                self._agent(message, self._calls.get(id or ""), trained=trained)
            else:
                self._others(message)
        return self._steps

    def _add(self, source: str, **fields: Any) -> Step:
        step: Step = {"step_id": len(self._steps) + 1, "source": source, **fields}
        self._steps.append(step)
        return step

    def _agent(self, message: Message, call: Call | None, *, trained: bool) -> None:
        uses: list[dict[str, Any]] = []
        for block in message.blocks:
            if isinstance(block, ToolUse):
                uses.append(self._use(block, len(uses)))
            elif isinstance(block, Reasoning) and block.signature:
                self._losses.note("signatures of reasoning")
        parts = self._parts([it for it in message.blocks if not isinstance(it, ToolUse | Reasoning)])
        more: dict[str, Any] = {"reasoning_content": message.reasoning or None, "tool_calls": uses or None}
        if call is not None:
            more |= {"timestamp": iso(call.started), "model_name": call.model or None, "llm_call_count": 1}
            more["metrics"] = self._metrics(call)
        step = self._add("agent", message=_content(parts, ""), **_known(more))
        if not trained:
            step["is_copied_context"] = True
        self._asking |= {use["tool_call_id"]: step for use in uses}

    def _use(self, use: ToolUse, number: int) -> dict[str, Any]:
        arguments: Any = use.arguments
        if arguments is None:
            text = use.name in self._sample.offered.texts
            arguments = {"input" if text else "arguments": use.raw}
            if not text:
                self._losses.note("tool calls whose arguments are no JSON object: they are told as a text")
        id = use.id or f"step_{len(self._steps) + 1}_call_{number}"
        return {"tool_call_id": id, "function_name": use.name, "arguments": arguments}

    def _metrics(self, call: Call) -> dict[str, Any] | None:
        told = call.tokens if self._tokens else None
        known = _known({
            "prompt_tokens": call.prompt_tokens,
            "completion_tokens": call.completion_tokens,
            "cached_tokens": call.cached_tokens,
            "cost_usd": call.cost,
            "prompt_token_ids": told.prompt_token_ids if told is not None else None,
            "completion_token_ids": told.token_ids if told is not None else None,
            "logprobs": told.logprobs if told is not None else None,
            "extra": _known({"reasoning_tokens": call.reasoning_tokens}) or None,
        })  # fmt: skip
        return known or None

    def _others(self, message: Message) -> None:
        """Results of tools belong to the step that asked for them; pictures of theirs to the result before them."""
        results = [block for block in message.blocks if isinstance(block, ToolResult)]
        parts = self._parts([block for block in message.blocks if not isinstance(block, ToolResult)])
        for number, result in enumerate(results):
            content: Any = result.text
            if message.role == "tool" and parts and number == len(results) - 1:
                content, parts = [{"type": "text", "text": result.text}, *parts], []
            self._observe(result, content)
        if parts or not results:
            self._add("system" if message.role == "system" else "user", message=_content(parts, ""))

    def _observe(self, result: ToolResult, content: Any) -> None:
        step = self._asking.get(result.tool_use_id)
        told: dict[str, Any] = {"source_call_id": result.tool_use_id, "content": content}
        if step is None:
            self._losses.note("the tool call that a result belongs to, where nobody asked for it")
            step = self._steps[-1] if self._steps else self._add("system", message="")
            told = {"content": content}
        if result.is_error:
            told["extra"] = {"is_error": True}
        step.setdefault("observation", {"results": []})["results"].append(told)

    def _parts(self, blocks: Sequence[Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for block in blocks:
            if isinstance(block, Text):
                found.append({"type": "text", "text": block.text})
            elif isinstance(block, Media) and (part := _media(block)) is not None:
                found.append(part)
            else:
                kind = block.raw.get("type", "unknown") if isinstance(block, Other) else ""
                self._losses.note(f"blocks of type {kind}" if kind else _NO_PLACE)
        return found


def _media(media: Media) -> dict[str, Any] | None:
    """A picture or sound; None: the format knows none of its kind, or it cannot be told of which it is."""
    if media.url.startswith("data:"):
        kind = media.url.removeprefix("data:").partition(";")[0].lower()
    else:
        ends = media.url.partition("?")[0].rpartition(".")[2].lower().replace("jpeg", "jpg")
        kind = next((kind for kind, known in (*_PICTURES.items(), *_SOUNDS.items()) if known == ends), "image/png")
    kind = _ALIASES.get(kind, kind)
    if not media.url or kind not in (*_PICTURES, *_SOUNDS):
        return None
    type = "image" if kind in _PICTURES else "audio"
    return {"type": type, "source": {"media_type": kind, "path": media.url}}


def _content(parts: Sequence[dict[str, Any]], empty: str) -> Any:
    """A text where there are only texts."""
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts) or empty
    return list(parts)


def _sums(sample: Sample, steps: int) -> dict[str, Any]:
    ids = {id for id in sample.calls if id is not None}
    calls = [call for call in whole(sample).calls if call.id in ids]

    def total(name: str) -> Any:
        known = [value for call in calls if (value := getattr(call, name)) is not None]
        return sum(known) if known else None

    return _known({
        "total_prompt_tokens": total("prompt_tokens"), "total_completion_tokens": total("completion_tokens"),
        "total_cached_tokens": total("cached_tokens"), "total_cost_usd": total("cost"), "total_steps": steps,
    })  # fmt: skip


def _model(session: Trajectory) -> str | None:
    return session.model or next((call.model for call in session.calls if call.model), None)


def _known(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: it for name, it in value.items() if it is not None}


FORMAT: Final = Atif()
