"""The ShareGPT form that LLaMA-Factory and Axolotl read: `conversations` of `from` and `value`, `system`, `tools`.

LLaMA-Factory (`formatting: sharegpt`, its default tags): `human` and `observation` alternate with `gpt` and
`function_call`, which is a JSON text of `name` and `arguments`, a list of them for parallel calls; reasoning stands in
`<think>` tags, a picture as `<image>` with its source in `images`. Axolotl: `type: chat_template`,
`field_messages: conversations`, `message_property_mappings: {role: from, content: value}` and
`message_field_training: train`, by which a reply that is only to be read is not trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from drawbar.export.chat_form import ChatForm, ChatMessage, is_picture
from drawbar.export.format import Column, Need, Row
from drawbar.export.losses import Losses
from drawbar.export.sample import Sample
from drawbar.wire.message import Media
from drawbar.wire.tolerant import dump

_MODEL: Final = ("gpt", "function_call")


def _picture(media: Media) -> dict[str, Any] | None:
    return {"type": "image", "url": media.url} if is_picture(media) else None


_FORM: Final = ChatForm(picture=_picture, reasoning="reasoning_content", objects=True)


class _Turn(NamedTuple):
    by: str
    value: str
    trained: bool = False

    @property
    def of_model(self) -> bool:
        return self.by in _MODEL


class ShareGPT:
    """`{"conversations": [{"from": "human", "value": "...", "train": false}, ...], "system": "...", "tools": "..."}`"""

    name = "sharegpt"
    needs: frozenset[Need] = frozenset()
    columns: Mapping[str, Column] | None = {
        "conversations": [{"from": "text", "value": "text", "train": "true or false"}],
        "system": "text",
        "tools": "text",
        "images": ["text"],
    }

    def rows(self, sample: Sample, losses: Losses) -> Iterator[Row]:
        images: list[str] = []
        said = [
            (message, trained)
            for messages, trained in zip(_FORM.messages(sample, losses), sample.trained, strict=True)
            for message in messages
        ]
        begin = next((at for at, (message, _) in enumerate(said) if message["role"] != "system"), len(said))
        turns = _joined([_turn(message, trained, images, losses) for message, trained in said[begin:]], losses)
        if not _alternate(turns):
            return
        row: Row = {"conversations": [{"from": it.by, "value": it.value, "train": it.trained} for it in turns]}
        if begin:
            row["system"] = sample.system
        if sample.tools:
            row["tools"] = sample.offered.functions
        if images:
            row["images"] = images
        yield row


def _turn(message: ChatMessage, trained: bool, images: list[str], losses: Losses) -> _Turn:
    words = _words(message["content"], images)
    if message["role"] == "tool":
        return _Turn("observation", words)
    if message["role"] != "assistant":
        if message["role"] == "system":
            losses.note("the role of instructions amid a conversation: they are told as the user's")
        return _Turn("human", words)
    thoughts = message.get("reasoning_content")
    before = f"<think>\n{thoughts}\n</think>\n\n" if thoughts else ""
    calls = [call["function"] for call in message.get("tool_calls", ())]
    if not calls:
        return _Turn("gpt", before + words, trained)
    losses.note("ids of tool calls", len(calls))
    if words:
        losses.note("words beside tool calls")
    return _Turn("function_call", before + _json(calls if len(calls) > 1 else calls[0]), trained)


def _words(content: Any, images: list[str]) -> str:
    if not isinstance(content, list):
        return content or ""
    images += (part["url"] for part in content if part["type"] == "image")
    return "\n".join("<image>" if part["type"] == "image" else part["text"] for part in content)


def _joined(turns: Sequence[_Turn], losses: Losses) -> list[_Turn]:
    """Others' turns between two of the model's as one: results as a JSON list, anything else one after the other."""
    found: list[_Turn] = []
    for of_model, group in groupby(turns, key=lambda turn: turn.of_model):
        several = list(group)
        if of_model or len(several) == 1:
            found += several
            continue
        results = [turn.value for turn in several if turn.by == "observation"]
        words = [turn.value for turn in several if turn.by == "human"]
        if len(results) > 1:
            losses.note("the borders between parallel tool results: they are told as one list")
        if results and words:
            losses.note("words of the user's beside tool results: they are told as a part of them")
        shown = [] if not results else results if len(results) == 1 else [_json(results)]
        found.append(_Turn("observation" if results else "human", "\n\n".join([*shown, *words])))
    return found


def _alternate(turns: Sequence[_Turn]) -> bool:
    """Whether others and the model take turns, as LLaMA-Factory demands: it leaves out what does not."""
    return len(turns) % 2 == 0 and all(turn.of_model == bool(at % 2) for at, turn in enumerate(turns))


def _json(value: Any) -> str:
    return dump(value).decode("utf-8", "replace")


FORMAT: Final = ShareGPT()
