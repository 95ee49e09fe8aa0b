"""What a server said as a tool's result: the words, data and structure of an MCP result, without its form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Said:
    """One result, taken apart."""

    texts: tuple[str, ...] = ()
    """Its words, block by block: texts, texts of embedded resources, addresses of linked ones."""
    data: tuple[str, ...] = ()
    """Pictures, sounds and files (base64)."""
    structured: Any = None

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Self:
        """What an MCP result (a JSON object) says."""
        blocks = result.get("content")
        parts = [part for block in blocks for part in _parts(block)] if isinstance(blocks, list) else []
        return cls(
            tuple(text for kind, text in parts if kind == "text"),
            tuple(text for kind, text in parts if kind == "data"),
            result.get("structuredContent"),
        )

    @property
    def text(self) -> str:
        """All words, one block per line."""
        return "\n".join(self.texts)


def _parts(block: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(block, dict):
        return
    resource = block.get("resource")
    inner = resource if isinstance(resource, dict) else {}
    for kind, value in (
        ("text", block.get("text")),
        ("text", inner.get("text")),
        ("data", block.get("data")),
        ("data", inner.get("blob")),
        ("text", block.get("uri") if block.get("type") == "resource_link" else None),
    ):
        if isinstance(value, str):
            yield kind, value
