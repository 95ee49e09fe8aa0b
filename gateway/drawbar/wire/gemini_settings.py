"""What a request of the `gemini` dialect wants beside an answer, as chat says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from drawbar.wire.chat_settings import MOST_TOKENS, Wanted
from drawbar.wire.gemini_names import camel, get
from drawbar.wire.gemini_schema import json_schema

_SILENT: Final = frozenset({"cachedContent", "generationConfig", "labels", "store", "toolConfig"})
"""Fields that are read here or elsewhere, or that change nothing about the answer."""
_NAMES: Final = {
    "temperature": "temperature", "topP": "top_p", "maxOutputTokens": MOST_TOKENS, "stopSequences": "stop",
    "seed": "seed", "presencePenalty": "presence_penalty", "frequencyPenalty": "frequency_penalty",
}  # fmt: skip
_READ: Final = frozenset({
    *_NAMES, "candidateCount", "responseJsonSchema", "responseMimeType", "responseSchema", "thinkingConfig"
})  # fmt: skip
_MODES: Final = {"ANY": "required", "NONE": "none"}


def settings(envelope: Mapping[str, Any]) -> Wanted:
    """From all fields but the conversation and its tools."""
    wanted = Wanted()
    given = _camel(get(envelope, "generationConfig"))
    wanted.fields |= {_NAMES[name]: value for name, value in given.items() if name in _NAMES and value is not None}
    _format(given, wanted)
    _choice(_camel(get(_camel(get(envelope, "toolConfig")), "functionCallingConfig")), wanted)
    thinking = _camel(given.get("thinkingConfig"))
    if thinking.get("thinkingLevel") or thinking.get("thinkingBudget") not in (None, -1):
        wanted.unsaid["`thinkingConfig`"] = None
    if given.get("candidateCount") not in (None, 1):
        wanted.unsaid["`candidateCount`"] = None
    wanted.rest(given, _READ)
    wanted.rest(_camel(envelope), _SILENT)
    return wanted


def _camel(value: Any) -> dict[str, Any]:
    return {camel(name): inner for name, inner in value.items()} if isinstance(value, dict) else {}


def _format(given: Mapping[str, Any], wanted: Wanted) -> None:
    schema = given.get("responseJsonSchema")
    schema = json_schema(given.get("responseSchema")) if schema is None else schema
    if schema is not None:
        wanted.schema(None, schema)
    elif given.get("responseMimeType") == "application/json":
        wanted.fields["response_format"] = {"type": "json_object"}


def _choice(choice: Mapping[str, Any], wanted: Wanted) -> None:
    mode, allowed = str(choice.get("mode") or ""), choice.get("allowedFunctionNames")
    if mode == "ANY" and isinstance(allowed, list) and len(allowed) == 1:
        wanted.tool(allowed[0])
        return
    if allowed:
        wanted.unsaid["`allowedFunctionNames`"] = None
    if mode in _MODES:
        wanted.fields["tool_choice"] = _MODES[mode]
