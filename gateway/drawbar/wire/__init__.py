"""The wire formats that agents speak, by name. Nothing outside this folder knows a dialect's fields."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from drawbar.wire.chat import ChatDialect
from drawbar.wire.dialect import Dialect
from drawbar.wire.gemini import GeminiDialect
from drawbar.wire.messages import MessagesDialect
from drawbar.wire.responses import ResponsesDialect

CHAT: Dialect = ChatDialect()
"""OpenAI chat completions."""

MESSAGES: Dialect = MessagesDialect()
"""Anthropic messages."""

GEMINI: Dialect = GeminiDialect()
"""Google Gemini: `generateContent`."""

RESPONSES: Dialect = ResponsesDialect()
"""OpenAI Responses."""

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {dialect.name: dialect for dialect in (CHAT, MESSAGES, GEMINI, RESPONSES)}
)
"""Every dialect that is spoken, by name."""

__all__ = ["CHAT", "DIALECTS", "GEMINI", "MESSAGES", "RESPONSES", "Dialect"]
