"""The wire formats that agents speak, by name. Nothing outside this folder knows a dialect's fields."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from drawbar.wire.chat_translator import ChatTranslator
from drawbar.wire.dialect import Dialect
from drawbar.wire.gemini_translator import GeminiTranslator
from drawbar.wire.messages_translator import MessagesTranslator
from drawbar.wire.responses_translator import ResponsesTranslator
from drawbar.wire.route import CHAT, GEMINI, MESSAGES, RESPONSES
from drawbar.wire.translator import Translator

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {dialect.name: dialect for dialect in (CHAT, MESSAGES, GEMINI, RESPONSES)}
)
"""Every dialect that is spoken, by name."""

TRANSLATORS: Mapping[str, Translator] = MappingProxyType(
    {
        "chat": ChatTranslator(),
        "messages": MessagesTranslator(),
        "gemini": GeminiTranslator(),
        "responses": ResponsesTranslator(),
    }
)
"""How each dialect is said in chat, and chat in it."""

__all__ = ["CHAT", "DIALECTS", "GEMINI", "MESSAGES", "RESPONSES", "TRANSLATORS", "Dialect", "Translator"]
