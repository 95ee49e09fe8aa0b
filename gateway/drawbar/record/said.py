"""What a server said as a tool's result: the words, data and structure of an MCP result, without its form."""

from __future__ import annotations

from collections.abc import Mapping
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
        texts: list[str] = []
        data: list[str] = []
        blocks = result.get("content")
        for block in blocks if isinstance(blocks, list) else ():
            if isinstance(block, dict):
                _take_apart(block, texts, data)
        return cls(tuple(texts), tuple(data), result.get("structuredContent"))

    @property
    def text(self) -> str:
        """All words, one block per line."""
        return "\n".join(self.texts)


def _take_apart(block: Mapping[str, Any], texts: list[str], data: list[str]) -> None:
    """A content block, or the resource that it embeds."""
    for key, found in (("text", texts), ("data", data), ("blob", data)):
        value = block.get(key)
        if isinstance(value, str):
            found.append(value)
    kind, resource = block.get("type"), block.get("resource")
    if kind == "resource_link" and isinstance(block.get("uri"), str):
        texts.append(block["uri"])
    if isinstance(resource, dict):
        _take_apart({**resource, "resource": None}, texts, data)
