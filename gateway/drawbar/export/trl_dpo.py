"""TRL's preferences, conversational, with the prompt apart: `prompt`, `chosen` and `rejected`, and the tools.

Reference: https://huggingface.co/docs/trl/dataset_formats (explicit prompt). `DPOTrainer` trains every token of what is
chosen or rejected: so that is the one reply at which both part, unless whole ways are asked for; then results of tools
stand among them, which is told in the losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from drawbar.export.chat_form import ChatMessage
from drawbar.export.format import Column, Need, Row
from drawbar.export.losses import Losses
from drawbar.export.openai_dpo import prompt
from drawbar.export.sample import Sample
from drawbar.export.trl import FORM, MESSAGE, completed

_UNMASKED: Final = "the mask of what was only read within a whole way: TRL trains all that is chosen or rejected"


class Preferences:
    """`{"prompt": [...], "chosen": [...], "rejected": [...], "tools": "[...]"}`, with `images` where there are any."""

    name = "trl-dpo"
    needs: frozenset[Need] = frozenset({"pairs"})
    columns: Mapping[str, Column] | None = {
        "prompt": MESSAGE, "chosen": MESSAGE, "rejected": MESSAGE, "tools": "text", "images": ["text"],
    }  # fmt: skip

    def rows(self, sample: Sample, losses: Losses) -> Iterator[Row]:
        """None: it takes two to make one."""
        yield from ()

    def pair_rows(self, chosen: Sample, rejected: Sample, at: int, losses: Losses) -> Iterator[Row]:
        better, worse = (FORM.messages(sample, losses) for sample in (chosen, rejected))
        preferred, other = _from(better, at), _from(worse, at)
        if preferred == other:
            return
        if read := sum(message["role"] != "assistant" for message in (*preferred, *other)):
            losses.note(_UNMASKED, read)
        yield completed({"prompt": prompt(better, at), "chosen": preferred, "rejected": other}, chosen)


def _from(messages: list[list[ChatMessage]], at: int) -> list[ChatMessage]:
    return messages[at][-1:] + [message for each in messages[at + 1 :] for message in each]


FORMAT: Final = Preferences()
