"""TRL's supervised fine-tuning with `prompt` and `completion`: a row for each reply, after all that it answers.

Only completions are trained, so the loss mask is exact: each reply once, whatever stands before it. The price is that
prompts are written again with each reply. Reference: https://huggingface.co/docs/trl/dataset_formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from drawbar.export.chat_form import ChatMessage
from drawbar.export.format import Column, Need, Row
from drawbar.export.losses import Losses
from drawbar.export.sample import Sample
from drawbar.export.trl import FORM, MESSAGE, completed


class Completions:
    """`{"prompt": [...], "completion": [...], "tools": "[...]"}`, with `images` where there are any."""

    name = "trl-completion"
    needs: frozenset[Need] = frozenset()
    columns: Mapping[str, Column] | None = {
        "prompt": MESSAGE, "completion": MESSAGE, "tools": "text", "images": ["text"],
    }  # fmt: skip

    def rows(self, sample: Sample, losses: Losses) -> Iterator[Row]:
        before: list[ChatMessage] = []
        for said, trained in zip(FORM.messages(sample, losses), sample.trained, strict=True):
            if trained and said:
                *first, last = said
                yield completed({"prompt": [*before, *first], "completion": [last]}, sample)
            before += said


FORMAT: Final = Completions()
