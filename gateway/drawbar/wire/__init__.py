"""The wire formats that agents speak, by name. Nothing outside this folder knows a dialect's fields."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from drawbar.wire.chat import ChatDialect
from drawbar.wire.dialect import Dialect
from drawbar.wire.messages import MessagesDialect

CHAT: Dialect = ChatDialect()
"""OpenAI chat completions."""

MESSAGES: Dialect = MessagesDialect()
"""Anthropic messages."""

DIALECTS: Mapping[str, Dialect] = MappingProxyType({dialect.name: dialect for dialect in (CHAT, MESSAGES)})
"""Every dialect that is spoken, by name."""

__all__ = ["CHAT", "DIALECTS", "MESSAGES", "Dialect"]
