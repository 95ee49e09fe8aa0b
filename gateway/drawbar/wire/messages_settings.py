"""What a request of the `messages` dialect wants beside an answer, as chat says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from drawbar.wire.chat_settings import MOST_TOKENS, Wanted, one

_SILENT: Final = frozenset(
    "betas cache_control inference_geo max_tokens metadata output_config output_format service_tier stop_sequences "
    "stream system thinking tool_choice user_profile_id".split()
)
"""Fields that are read here, or that change nothing about the answer."""
_CHOICES: Final = {"any": "required", "none": "none"}


def settings(envelope: Mapping[str, Any]) -> Wanted:
    """From all fields but the conversation and its tools."""
    wanted = Wanted()
    if isinstance(most := envelope.get("max_tokens"), int):
        wanted.fields[MOST_TOKENS] = most
    if stops := envelope.get("stop_sequences"):
        wanted.fields["stop"] = stops
    _choice(one(envelope, "tool_choice"), wanted)
    output = one(envelope, "output_config")
    format = one(output, "format") or one(envelope, "output_format")
    if format.get("type") == "json_schema":
        wanted.schema(format.get("name"), format.get("schema"))
    if output.get("effort"):
        wanted.unsaid["`output_config.effort`"] = None
    if one(envelope, "thinking").get("type") == "enabled":
        wanted.unsaid["`thinking`"] = None
    wanted.rest(envelope, _SILENT)
    return wanted


def _choice(choice: Mapping[str, Any], wanted: Wanted) -> None:
    kind = choice.get("type")
    if kind == "tool":
        wanted.tool(choice.get("name"))
    elif kind in _CHOICES:
        wanted.fields["tool_choice"] = _CHOICES[kind]
    if choice.get("disable_parallel_tool_use"):
        wanted.fields["parallel_tool_calls"] = False
