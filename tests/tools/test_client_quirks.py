"""Single clients that need more than the protocol says: what they are given, and that nobody else is."""

from __future__ import annotations

from typing import Any

import pytest

from drawbar.tools.quirks import GEMINI, suited


def text(said: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}]}


@pytest.mark.parametrize(("said", "value"), [("7", 7), ("true", True), ("[1, 2]", [1, 2]), ('"seven"', "seven")])
def test_gemini_cli_gets_an_object_beside_a_text_that_is_json_and_none(said: str, value: Any) -> None:
    result = suited(text(said), GEMINI)
    assert result == {**text(said), "structuredContent": {"result": value}}


@pytest.mark.parametrize("said", ["It rains.", "", '{"a": 1}', "{"])
def test_it_gets_other_texts_as_they_are(said: str) -> None:
    assert suited(text(said), GEMINI) == text(said)


@pytest.mark.parametrize("result", [{"content": []}, {"content": [{"type": "image"}]}, {}])
def test_it_gets_results_without_a_text_as_they_are(result: dict[str, Any]) -> None:
    assert suited(result, GEMINI) == result


@pytest.mark.parametrize("client", [None, "codex-mcp-client"])
def test_other_clients_get_results_as_they_are(client: str | None) -> None:
    assert suited(text("7"), client) == text("7")
