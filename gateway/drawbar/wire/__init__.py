"""The wire formats that agents speak, by name. Nothing outside this folder knows a dialect's fields."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from drawbar.wire.chat import ChatDialect
from drawbar.wire.dialect import Dialect

CHAT: Dialect = ChatDialect()
"""OpenAI chat completions."""

DIALECTS: Mapping[str, Dialect] = MappingProxyType({CHAT.name: CHAT})
"""Every dialect that is spoken, by name."""

__all__ = ["CHAT", "DIALECTS", "Dialect"]
