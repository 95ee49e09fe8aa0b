"""OpenAI's fine-tuning format: a conversation in chat messages for each row, with its tools.

Reference: https://platform.openai.com/docs/guides/supervised-fine-tuning and the API's `FineTuneChatRequestInput`.
A model's message with `"weight": 0` is not trained; only the user's messages hold pictures; there is no reasoning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from drawbar.export.chat_form import ChatForm, is_picture
from drawbar.export.format import Column, Need, Row
from drawbar.export.losses import Losses
from drawbar.export.sample import Sample
from drawbar.wire.message import Media


def _picture(media: Media) -> dict[str, Any] | None:
    return {"type": "image_url", "image_url": {"url": media.url}} if is_picture(media) else None


FORM: Final = ChatForm(picture=_picture)


class OpenAI:
    """`{"messages": [...], "tools": [...], "parallel_tool_calls": true}`"""

    name = "openai"
    needs: frozenset[Need] = frozenset({"parallel_tool_calls"})
    columns: Mapping[str, Column] | None = None

    def rows(self, sample: Sample, losses: Losses) -> Iterator[Row]:
        messages: list[dict[str, Any]] = []
        several = False
        for said, trained in zip(FORM.messages(sample, losses), sample.trained, strict=True):
            messages += said
            if said and (last := said[-1])["role"] == "assistant":
                several = several or len(last.get("tool_calls", ())) > 1
                if not trained:
                    last["weight"] = 0
        row: Row = {"messages": messages}
        if sample.tools:
            row["tools"] = sample.tools
            row["parallel_tool_calls"] = several or sample.parallel_tool_calls is not False
        yield row


FORMAT: Final = OpenAI()
