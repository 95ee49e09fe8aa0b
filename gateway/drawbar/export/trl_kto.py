"""TRL's unpaired preferences, conversational: each reply of the model's, and whether it is wanted.

By the thumb that people gave to the reply; else to its session; else by the session's reward: wanted from the pass
threshold on. Reference: https://huggingface.co/docs/trl/dataset_formats (unpaired preference).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from drawbar.export.chat_form import ChatMessage
from drawbar.export.format import Column, Need, Row
from drawbar.export.losses import Losses
from drawbar.export.sample import Sample
from drawbar.export.trl import FORM, MESSAGE, completed


class Labelled:
    """`{"prompt": [...], "completion": [...], "label": true, "tools": "[...]"}`, with `images` where there are any."""

    name = "trl-kto"
    needs: frozenset[Need] = frozenset({"labels"})
    columns: Mapping[str, Column] | None = {
        "prompt": MESSAGE, "completion": MESSAGE, "label": "true or false", "tools": "text", "images": ["text"],
    }  # fmt: skip

    def rows(self, sample: Sample, losses: Losses) -> Iterator[Row]:
        before: list[ChatMessage] = []
        for said, label in zip(FORM.messages(sample, losses), sample.labels, strict=True):
            if label is not None and said:
                *first, last = said
                yield {**completed({"prompt": [*before, *first], "completion": [last]}, sample), "label": label}
            before += said


FORMAT: Final = Labelled()
