"""TRL's supervised fine-tuning, in its conversational form: a row for each conversation, `messages` and `tools`.

Reference: https://huggingface.co/docs/trl/dataset_formats. Train it with `assistant_only_loss=True`. The trainer then
learns all of the model's messages: a row in which some of them are only to be read says so in the losses;
`trl-completion` can carry that. Tools are a JSON text, which TRL reads as they are and which no table spoils.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from drawbar.export.chat_form import ChatForm, ChatMessage, is_picture
from drawbar.export.format import Column, Need, Row
from drawbar.export.losses import Losses
from drawbar.export.sample import Sample
from drawbar.wire.message import Media

_UNMASKED: Final = "the mask of replies that are only to be read: TRL trains all of a row's (`trl-completion` does not)"

_CALL: Final = {"id": "text", "type": "text", "function": {"name": "text", "arguments": "json"}}
MESSAGE: Final[Column] = [
    {
        "role": "text",
        "content": "text",
        "reasoning_content": "text",
        "tool_calls": [_CALL],
        "tool_call_id": "text",
    }
]


def _picture(media: Media) -> dict[str, Any] | None:
    """A place for a picture, which TRL takes out of the row's `images`."""
    return {"type": "image", "url": media.url} if is_picture(media) else None


FORM: Final = ChatForm(picture=_picture, reasoning="reasoning_content", objects=True)


class Conversations:
    """`{"messages": [...], "tools": "[...]"}`, with `images` where there are any."""

    name = "trl"
    needs: frozenset[Need] = frozenset()
    columns: Mapping[str, Column] | None = {"messages": MESSAGE, "tools": "text", "images": ["text"]}

    def rows(self, sample: Sample, losses: Losses) -> Iterator[Row]:
        said = FORM.messages(sample, losses)
        of_model = (messages[-1]["role"] == "assistant" for messages in said if messages)
        only_read = sum(of_model) - sum(sample.trained)
        if only_read:
            losses.note(_UNMASKED, only_read)
        yield completed({"messages": [message for each in said for message in each]}, sample)


def completed(row: Row, sample: Sample) -> Row:
    """The row with its tools and pictures; the latter are taken out of its messages."""
    images: list[str] = []
    for column, messages in list(row.items()):
        row[column] = [_without_pictures(message, images) for message in messages]
    if images:
        row["images"] = images
    if sample.tools:
        row["tools"] = sample.offered.text
    return row


def _without_pictures(message: ChatMessage, images: list[str]) -> ChatMessage:
    """The message with places for its pictures, which go to `images`. Others may share it: it is not changed."""
    content = message["content"]
    if not isinstance(content, list):
        return message
    images += (part["url"] for part in content if part["type"] == "image")
    return {**message, "content": [{"type": "image"} if part["type"] == "image" else part for part in content]}


FORMAT: Final = Conversations()
