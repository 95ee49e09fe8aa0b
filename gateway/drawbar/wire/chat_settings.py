"""What a request of another dialect wants beside an answer, gathered as the fields of a chat request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MOST_TOKENS: Final = "max_tokens"
"""The field that limits an answer. Some providers know it by the newer name `max_completion_tokens` alone."""
_SAME: Final = frozenset(
    "chat_template_kwargs frequency_penalty logit_bias min_p presence_penalty reasoning_effort repetition_penalty "
    "seed temperature top_p".split()
)
"""Fields that mean the same wherever somebody writes them."""


@dataclass(slots=True)
class Wanted:
    """Fields that chat has, and by name what it has not."""

    fields: dict[str, Any] = field(default_factory=dict)
    unsaid: dict[str, None] = field(default_factory=dict)

    def rest(self, values: Mapping[str, Any], said: Iterable[str]) -> None:
        """Take all fields but those that were `said` elsewhere, or say nothing: what chat shares, and what is lost."""
        known = frozenset(said)
        for name, value in values.items():
            if name in known or value is None or value in ([], {}, "", False):
                continue
            if name in _SAME:
                self.fields[name] = value
            else:
                self.unsaid[f"`{name}`"] = None

    def schema(self, name: Any, schema: Any, **more: Any) -> None:
        """The answer must be JSON of this schema."""
        described = {"name": name if isinstance(name, str) and name else "answer", "schema": schema, **more}
        self.fields["response_format"] = {"type": "json_schema", "json_schema": described}

    def tool(self, name: Any) -> None:
        """The answer must be a call of this tool."""
        self.fields["tool_choice"] = {"type": "function", "function": {"name": str(name)}}


def one(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object under a name, or an empty one."""
    found = values.get(name)
    return found if isinstance(found, dict) else {}
