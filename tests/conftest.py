"""What every test shares: one event loop library, and nothing read from the machine that runs them."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, as the gateway does."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_provider_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads a provider's key or address from the machine that it runs on."""
    for name in (
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "ANTHROPIC_API_KEY",
        "GEMINI_API_KEY",
        "DRAWBAR_STORE",
        "DRAWBAR_MODEL",
    ):
        monkeypatch.delenv(name, raising=False)
