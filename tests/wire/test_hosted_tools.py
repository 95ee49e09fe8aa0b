"""Tools that a provider runs by itself can be kept from it; what the client runs stays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drawbar.wire import DIALECTS
from drawbar.wire.hosted_tools import HOSTED_TOOLS, kinds_of, withhold
from drawbar.wire.notes import notes_in, with_notes

ALL = kinds_of(["all"])
FUNCTION = {"type": "function", "function": {"name": "web_search", "parameters": {"type": "object"}}}
FLAT = {"type": "function", "name": "web_search", "parameters": {"type": "object"}}
BASES: dict[str, dict[str, Any]] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    "responses": {"model": "m", "input": "hi"},
    "messages": {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
}


def left_of(dialect: str, body: dict[str, Any], kinds: frozenset[str] = ALL) -> tuple[tuple[str, ...], dict[str, Any]]:
    """What is withheld, and what remains beside the conversation."""
    spoken, raw = DIALECTS[dialect], json.dumps({**BASES[dialect], **body}).encode()
    found = withhold(dialect, spoken.split(raw), kinds)
    sent = raw if found is None else spoken.patch(raw, found.changes)
    rest = {name: value for name, value in json.loads(sent).items() if name not in BASES[dialect]}
    return () if found is None else found.names, rest


@pytest.mark.parametrize(
    ("dialect", "tools", "names"),
    [
        ("chat", [{"type": "web_search"}, {"type": "openrouter:web_search"}], ("web_search", "openrouter:web_search")),
        ("chat", [{"type": "code_interpreter"}, {"type": "document_library"}],
         ("code_interpreter", "document_library")),
        ("responses", [{"type": "web_search"}, {"type": "web_search_preview_2025_03_11"}],
         ("web_search", "web_search_preview_2025_03_11")),
        ("responses", [{"type": "file_search", "vector_store_ids": ["v"]}], ("file_search",)),
        ("responses", [{"type": "code_interpreter", "container": {"type": "auto"}}], ("code_interpreter",)),
        ("responses", [{"type": "image_generation"}], ("image_generation",)),
        ("responses", [{"type": "mcp", "server_label": "deep", "server_url": "https://x"}], ("mcp deep",)),
        ("responses", [{"type": "shell", "environment": {"type": "container_auto"}}], ("shell",)),
        ("messages", [{"type": "web_search_20250305", "name": "web_search"}], ("web_search_20250305",)),
        ("messages", [{"type": "web_fetch_20250910", "name": "web_fetch"}], ("web_fetch_20250910",)),
        ("messages", [{"type": "code_execution_20250825", "name": "code_execution"}], ("code_execution_20250825",)),
        ("messages", [{"type": "mcp_toolset", "mcp_server_name": "deep"}], ("mcp_toolset",)),
        ("gemini", [{"googleSearch": {}}, {"code_execution": {}}, {"urlContext": {}}],
         ("googleSearch", "code_execution", "urlContext")),
        ("gemini", {"google_search": {}}, ("google_search",)),
    ],
)  # fmt: skip
def test_tools_of_the_provider_are_taken_away_by_name(dialect: str, tools: Any, names: tuple[str, ...]) -> None:
    assert left_of(dialect, {"tools": tools}) == (names, {})


CLIENT_RUN: list[tuple[str, list[dict[str, Any]]]] = [
    ("chat", [FUNCTION, {"type": "custom", "custom": {"name": "code_interpreter"}}]),
    ("responses", [
        FLAT, {"type": "custom", "name": "mcp"}, {"type": "local_shell"}, {"type": "apply_patch"},
        {"type": "computer_use_preview", "display_width": 1, "display_height": 1, "environment": "linux"},
        {"type": "namespace", "name": "mcp__wiki", "tools": [FLAT]}, {"type": "shell"}, {"type": "tool_search"},
        {"type": "shell", "environment": {"type": "local"}}, {"type": "something_new"},
    ]),
    ("messages", [
        {"name": "web_search", "input_schema": {"type": "object"}}, {"type": "custom", "name": "web_fetch"},
        {"type": "bash_20250124", "name": "bash"}, {"type": "computer_20250124", "name": "computer"},
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
        {"type": "memory_20250818", "name": "memory"},
        {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
    ]),
    ("gemini", [{"functionDeclarations": [{"name": "googleSearch"}]}, {"computerUse": {}}]),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "tools"), CLIENT_RUN)
def test_tools_of_the_client_stay(dialect: str, tools: list[dict[str, Any]]) -> None:
    assert left_of(dialect, {"tools": tools}) == ((), {"tools": tools})


def test_only_the_kinds_that_the_policy_names_go() -> None:
    tools = [{"type": "web_search"}, {"type": "file_search", "vector_store_ids": ["v"]}, FLAT]
    names, rest = left_of("responses", {"tools": tools}, kinds_of(["file_search", "mcp"]))
    assert (names, rest) == (("file_search",), {"tools": [tools[0], FLAT]})
    assert left_of("responses", {"tools": tools}, frozenset()) == ((), {"tools": tools})


def test_what_stands_for_a_tool_beside_the_tools_goes_too() -> None:
    assert left_of("chat", {"web_search_options": {"search_context_size": "low"}}) == (("web_search_options",), {})
    servers = [{"type": "url", "url": "https://x", "name": "deep"}]
    tools = [{"type": "mcp_toolset", "mcp_server_name": "deep"}]
    assert left_of("messages", {"mcp_servers": servers, "tools": tools}) == (("mcp_servers", "mcp_toolset"), {})


def test_a_choice_of_a_withheld_tool_is_dropped() -> None:
    search, kept = {"type": "web_search_preview"}, {"tools": [FLAT]}
    assert left_of("responses", {"tools": [search, FLAT], "tool_choice": search})[1] == kept
    required = {**kept, "tool_choice": "required"}
    assert left_of("responses", {**required, "tools": [search, FLAT]})[1] == required
    named = {"type": "function", "name": "web_search"}
    assert left_of("responses", {"tools": [search, FLAT], "tool_choice": named})[1] == {**kept, "tool_choice": named}
    deep = {"type": "mcp", "server_label": "deep"}
    assert left_of("responses", {"tools": [deep, FLAT], "tool_choice": deep})[1] == kept
    native = [{"type": "web_search_20250305", "name": "search"}, {"name": "look", "input_schema": {}}]
    chosen = {"type": "tool", "name": "search"}
    assert left_of("messages", {"tools": native, "tool_choice": chosen})[1] == {"tools": native[1:]}


def test_a_choice_among_several_keeps_those_that_are_left() -> None:
    search, named = {"type": "web_search"}, {"type": "function", "name": "look"}
    body = {"tools": [search, FLAT], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [search, named]}}
    assert left_of("responses", body)[1]["tool_choice"]["tools"] == [named]
    body["tool_choice"] = {"type": "allowed_tools", "mode": "required", "tools": [search]}
    assert left_of("responses", body)[1] == {"tools": [FLAT]}
    chat = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [search, named]}}
    left = left_of("chat", {"tools": [search, FUNCTION], "tool_choice": chat})[1]
    assert left["tool_choice"] == {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}}


def test_where_no_tool_is_left_nothing_speaks_of_tools() -> None:
    body = {"tools": [{"type": "web_search"}], "tool_choice": "required", "parallel_tool_calls": False, "top_p": 1}
    assert left_of("chat", body)[1] == {"top_p": 1}
    config = {"tools": [{"googleSearch": {}}], "tool_config": {"functionCallingConfig": {"mode": "ANY"}}}
    assert left_of("gemini", config)[1] == {}


def test_a_tool_of_gemini_that_is_several_loses_only_the_providers() -> None:
    mixed = {"functionDeclarations": [{"name": "look"}], "googleSearch": {}}
    config = {"functionCallingConfig": {"mode": "ANY"}}
    names, rest = left_of("gemini", {"tools": [mixed], "toolConfig": config})
    assert names == ("googleSearch",)
    assert rest == {"tools": [{"functionDeclarations": [{"name": "look"}]}], "toolConfig": config}


def test_tools_that_stay_keep_their_bytes() -> None:
    kept = b'{"type":"function",  "name":"f","own":1.50}'
    raw = b'{"model":"m", "input":"\\u00e9", "tools" : [{"type":"web_search"},' + kept + b'], "x":[1.0] }'
    dialect = DIALECTS["responses"]
    found = withhold("responses", dialect.split(raw), ALL)
    assert found is not None
    assert dialect.patch(raw, found.changes) == (
        b'{"model":"m", "input":"\\u00e9", "tools" : [' + kept + b'], "x":[1.0] }'
    )


def test_policies_name_known_kinds() -> None:
    assert kinds_of(["all"]) == frozenset(HOSTED_TOOLS)
    assert kinds_of([" mcp", "", "web_search"]) == {"mcp", "web_search"}
    with pytest.raises(ValueError, match=r"There is no kind bash, bing; there are web_search, .*, and all\."):
        kinds_of(["bing", "bash", "mcp"])


def test_what_is_noted_in_an_envelope_is_read_again() -> None:
    envelope = b'{"top_p": 1.0 }'
    assert with_notes(envelope, {}) is envelope
    assert notes_in(with_notes(envelope, {"withheld": ["web_search"]})) == {"withheld": ["web_search"]}
    assert notes_in(b'{"metadata":{"drawbar":{"withheld":["x"]}}}') == notes_in(b'"drawbar":{') == notes_in(None) == {}


@pytest.mark.parametrize("tools", [[1, None, {"type": 3}, {}], {"type": "web_search"}, "web_search"])
def test_odd_tools_are_the_providers_business(tools: Any) -> None:
    for dialect in BASES:
        assert left_of(dialect, {"tools": tools}) == ((), {"tools": tools})
