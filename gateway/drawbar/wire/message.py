"""The normal form of a message: what every dialect is read into. Derived on read; never stored in its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
"""`developer` counts as `system`; a dialect's own role for results of tools as `tool`."""


@dataclass(frozen=True, slots=True)
class Text:
    """Words that were said."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a model thought before it spoke, as far as its provider shows it."""

    text: str
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A model's request to call a tool."""

    id: str
    name: str
    arguments: dict[str, Any] | None
    """`None` when the model's arguments are not a JSON object; `raw` then holds them."""
    raw: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the model was shown as a tool's result."""

    tool_use_id: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Media:
    """An image, sound or file: by URL, or inline as a data URL."""

    kind: str
    url: str


@dataclass(frozen=True, slots=True)
class Other:
    """A block this version does not know, as it came."""

    raw: dict[str, Any] = field(default_factory=dict)


Block: TypeAlias = Text | Reasoning | ToolUse | ToolResult | Media | Other


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    blocks: tuple[Block, ...]

    @property
    def text(self) -> str:
        """All of its words, reasoning left out."""
        return "".join(b.text for b in self.blocks if isinstance(b, Text))

    @property
    def reasoning(self) -> str:
        return "".join(b.text for b in self.blocks if isinstance(b, Reasoning))

    @property
    def tool_uses(self) -> tuple[ToolUse, ...]:
        return tuple(b for b in self.blocks if isinstance(b, ToolUse))

    @property
    def tool_results(self) -> tuple[ToolResult, ...]:
        return tuple(b for b in self.blocks if isinstance(b, ToolResult))

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing: neither words, nor tool calls, nor anything else but thoughts."""
        return all(isinstance(b, Reasoning) or (isinstance(b, Text) and not b.text.strip()) for b in self.blocks)
