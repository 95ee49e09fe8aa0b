"""From what a server said to what the record keeps and what the agent sees. Pure.

The record keeps the result as it was given, up to the size cap. The agent sees it without what belongs to the control
plane, and with `observation="text"` without what only some harnesses would show to their model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import orjson

from drawbar.tools import protocol
from drawbar.tools.protocol import Json

Observation = Literal["text", "as-is"]

_HIDDEN = (protocol.OURS, protocol.ENVELOPE)
"""Prefixes of `_meta` keys that are not for the agent: ours, and those of the exchange between the server and us."""


@dataclass(frozen=True, slots=True)
class Shaped:
    """Both versions of one result. `shown_json` is None where they are the same."""

    kept_json: bytes
    shown: Json
    shown_json: bytes | None


def shape(result: Json, observation: Observation, cap: int) -> Shaped:
    """Both versions of a result; `cap` in bytes of JSON."""
    kept_json = orjson.dumps(result)
    size, kept = len(kept_json), result
    if size > cap:
        kept = _cut(result, cap)
        kept["_meta"] = {**_meta(kept), protocol.CUT_KEY: {"bytes": size}}
        kept_json = orjson.dumps(kept)
    shown = _shown(kept, observation)
    if size > cap:
        shown["content"] = [
            *shown["content"],
            _text(f"[The gateway cut this result: it had {size:,} bytes, over the limit of {cap:,}.]"),
        ]
    return Shaped(kept_json, shown, None if shown == kept else orjson.dumps(shown))


def shape_tool(tool: Json, name: str, observation: Observation) -> Json:
    """A tool's definition as the agent gets it."""
    shown = {**tool, "name": name}
    if observation == "text":
        shown.pop("outputSchema", None)
    return shown


def _shown(kept: Json, observation: Observation) -> Json:
    shown = dict(kept)
    if meta := _meta(kept):
        shown["_meta"] = {key: value for key, value in meta.items() if not key.startswith(_HIDDEN)}
        if not shown["_meta"]:
            del shown["_meta"]
    if observation == "text" and "structuredContent" in shown:
        structured = shown.pop("structuredContent")
        if not shown.get("content"):  # a server that leaves the text out, against the protocol's advice
            shown["content"] = [_text(orjson.dumps(structured).decode())]
    shown.setdefault("content", [])
    return shown


def _cut(result: Json, cap: int) -> Json:
    """As much as fits, the content first: texts are cut, other blocks that do not fit leave a note in their place."""
    left = cap
    content: list[Json] = []
    blocks = result.get("content")
    for block in blocks if isinstance(blocks, list) else ():
        size = len(orjson.dumps(block))
        if size > left:
            block = _shortened(block, left, size)
            left = 0
        else:
            left -= size
        content.append(block)
    cut: Json = {"content": content}
    for key, value in result.items():
        if key != "content" and (key == "isError" or len(orjson.dumps(value)) <= left):
            cut[key] = value
            left -= len(orjson.dumps(value))
    return cut


def _shortened(block: Any, left: int, size: int) -> Json:
    if isinstance(block, dict) and isinstance(text := block.get("text"), str):
        return {**block, "text": text.encode()[:left].decode(errors="ignore")}
    kind = block.get("type", "something") if isinstance(block, dict) else "something"
    return _text(f"[{kind} of {size:,} bytes left out]")


def _meta(result: Json) -> Json:
    meta = result.get("_meta")
    return meta if isinstance(meta, dict) else {}


def _text(text: str) -> Json:
    return {"type": "text", "text": text}
