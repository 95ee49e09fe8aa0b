"""OpenAI's fine-tuning by preference: what was asked, a preferred reply and one that is not, of one message each.

Reference: https://platform.openai.com/docs/guides/direct-preference-optimization and the API's
`FineTunePreferenceRequestInput`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from drawbar.export.chat_form import ChatMessage
from drawbar.export.format import Column, Need, Row
from drawbar.export.losses import Losses
from drawbar.export.openai import FORM
from drawbar.export.sample import Sample


class Preferences:
    """`{"input": {"messages": [...], "tools": [...]}, "preferred_output": [...], "non_preferred_output": [...]}`"""

    name = "openai-dpo"
    needs: frozenset[Need] = frozenset({"pairs", "parallel_tool_calls"})
    columns: Mapping[str, Column] | None = None

    def rows(self, sample: Sample, losses: Losses) -> Iterator[Row]:
        """None: it takes two to make one."""
        yield from ()

    def pair_rows(self, chosen: Sample, rejected: Sample, at: int, losses: Losses) -> Iterator[Row]:
        better, worse = (FORM.messages(sample, losses)[: at + 1] for sample in (chosen, rejected))
        preferred, other = better[at][-1:], worse[at][-1:]
        if preferred == other:
            return
        given: dict[str, Any] = {"messages": prompt(better, at)}
        if chosen.tools:
            several = any(len(message.get("tool_calls", ())) > 1 for message in (*preferred, *other))
            given["tools"] = chosen.tools
            given["parallel_tool_calls"] = several or chosen.parallel_tool_calls is not False
        yield {"input": given, "preferred_output": preferred, "non_preferred_output": other}


def prompt(messages: list[list[ChatMessage]], at: int) -> list[ChatMessage]:
    """All that stands before the reply."""
    return [message for each in messages[:at] for message in each] + messages[at][:-1]


FORMAT: Final = Preferences()
