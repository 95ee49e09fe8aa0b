"""Which providers are asked in which dialect, where, and with which key; and where they are translated for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from drawbar.cli.request import named_dialects
from drawbar.errors import ConfigurationError
from drawbar.proxy.models import Models
from drawbar.testing import serve_chat

if TYPE_CHECKING:
    from tests.proxy.conftest import MakeHouse

ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/messages": {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses": {"input": "hi"},
    "/v1beta/models/{}:generateContent": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
}
NATIVE = [
    ("/v1/messages", "claude-x", "anthropic/claude-x", "/v1/messages", {"x-api-key": "ak"}),
    ("/v1/responses", "gpt-5", "openai/gpt-5", "/v1/responses", {"authorization": "Bearer ok"}),
    ("/v1beta/models/{}:generateContent", "gemini-x", "gemini/gemini-x", "/v1beta/models/gemini-x:generateContent",
     {"x-goog-api-key": "gk"}),
]  # fmt: skip
BRIDGED = [
    (path, "gpt-5", "chat/openai/gpt-5", "/v1/chat/completions", {"authorization": "Bearer ok"})
    for path in ("/v1/messages", "/v1beta/models/{}:generateContent")
]
TRANSLATED = [
    ("/v1/chat/completions", "claude-sonnet-4-5", "litellm/anthropic/claude-sonnet-4-5", "/v1/messages",
     {"x-api-key": "ak"}),
    ("/v1/responses", "claude-sonnet-4-5", "chat/litellm/anthropic/claude-sonnet-4-5", "/v1/messages",
     {"x-api-key": "ak"}),
    ("/v1/messages", "gemini-2.5-pro", "chat/litellm/gemini/gemini-2.5-pro",
     "/v1beta/models/gemini-2.5-pro:generateContent", {"x-goog-api-key": "gk"}),
    ("/v1beta/models/{}:generateContent", "claude-x", "chat/litellm/anthropic/claude-x", "/v1/messages",
     {"x-api-key": "ak"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "model", "upstream", "asked", "key"),
    [*NATIVE, *BRIDGED, *(pytest.param(*case, marks=pytest.mark.slow) for case in TRANSLATED)],
)
async def test_a_provider_is_asked_in_a_dialect_that_it_speaks(
    serve: MakeHouse,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    model: str,
    upstream: str,
    asked: str,
    key: dict[str, str],
) -> None:
    async with serve_chat(["hello"]) as provider:
        for name, value in {
            "ANTHROPIC_BASE_URL": provider.url, "ANTHROPIC_API_KEY": "ak", "OPENAI_BASE_URL": provider.base_url,
            "OPENAI_API_KEY": "ok", "GOOGLE_GEMINI_BASE_URL": provider.url, "GEMINI_API_KEY": "gk",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        async with serve(models=Models()) as house:
            session = await house.session()
            body: dict[str, Any] = {**ASKED[path], **({} if "{}" in path else {"model": model})}
            response = await house.post(session, body, path=path.format(model))
            assert response.status == 200
            trajectory = await house.trajectory(session)
    (request,) = provider.requests
    assert (request.path, {name: request.headers.get(name) for name in key}) == (asked, key)
    assert (trajectory.calls[0].upstream, trajectory.completion) == (upstream, "hello")


async def test_a_dialect_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="There is no dialect klingon; there are chat, messages"):
        Models(base_url="http://localhost/v1", dialects=named_dialects("chat, klingon"))
    assert named_dialects(None) == ("chat", "responses", "messages")
