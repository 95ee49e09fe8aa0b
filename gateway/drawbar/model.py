"""In-process models: a Python function in the place of a model behind an API (oracles, baselines, scripted models)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from drawbar.task import Task


class Model(Protocol):
    """Answers a conversation in the chat dialect.

    It gets what an API would get (`messages` and `tools` of a chat completions request) and, because it is ours, the
    task. Whichever agent asks, it reads and uses the tools' own names (`search`, not `mcp__drawbar__search`) and words
    as one text; results stand as the agent shows them (`drawbar.testing.for_agents` undoes that). It keeps no state
    between calls: all it needs stands in the messages. It returns the assistant's message:
    `{"role": "assistant", "content": ..., "tool_calls": [...]}`.
    """

    async def __call__(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], task: Task | None, /
    ) -> Mapping[str, Any]: ...
