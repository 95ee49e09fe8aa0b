"""What a request of the `responses` dialect wants beside an answer, as chat says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from drawbar.wire.chat_settings import MOST_TOKENS, Wanted, one
from drawbar.wire.responses_message import tool_name

_SILENT: Final = frozenset(
    "client_metadata include instructions max_output_tokens metadata parallel_tool_calls prompt_cache_key "
    "prompt_cache_options prompt_cache_retention reasoning safety_identifier service_tier store stream stream_options "
    "text tool_choice truncation user".split()
)
"""Fields that are read here, or that change nothing about the answer."""


def settings(envelope: Mapping[str, Any]) -> Wanted:
    """From all fields but the conversation and its tools."""
    wanted = Wanted()
    if isinstance(most := envelope.get("max_output_tokens"), int):
        wanted.fields[MOST_TOKENS] = most
    if envelope.get("parallel_tool_calls") is False:
        wanted.fields["parallel_tool_calls"] = False
    _choice(envelope.get("tool_choice"), wanted)
    _text(one(envelope, "text"), wanted)
    if one(envelope, "reasoning").get("effort"):
        wanted.unsaid["`reasoning.effort`"] = None
    if envelope.get("truncation") == "auto":
        wanted.unsaid["`truncation`"] = None
    wanted.rest(envelope, _SILENT)
    return wanted


def _choice(choice: Any, wanted: Wanted) -> None:
    if choice in ("required", "none"):
        wanted.fields["tool_choice"] = choice
    elif isinstance(choice, dict) and choice.get("type") in ("function", "custom"):
        wanted.tool(tool_name(choice))
    elif isinstance(choice, dict):
        wanted.unsaid["`tool_choice`"] = None


def _text(text: Mapping[str, Any], wanted: Wanted) -> None:
    format = one(text, "format")
    if format.get("type") == "json_schema":
        strict = {"strict": format["strict"]} if isinstance(format.get("strict"), bool) else {}
        wanted.schema(format.get("name"), format.get("schema"), **strict)
    elif format.get("type") == "json_object":
        wanted.fields["response_format"] = {"type": "json_object"}
    if text.get("verbosity"):
        wanted.unsaid["`text.verbosity`"] = None
