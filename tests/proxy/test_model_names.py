"""Where a model's name leads, and what its tokens cost."""

from __future__ import annotations

import pytest

from drawbar.errors import ConfigurationError
from drawbar.proxy.models import Models
from drawbar.proxy.prices import cost
from drawbar.proxy.providers import PROVIDERS
from drawbar.proxy.upstream import UpstreamError


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("openai/gpt-4o", "openai/gpt-4o"),
        ("gpt-4o", "openai/gpt-4o"),
        ("openrouter/deepseek/deepseek-chat", "openrouter/deepseek/deepseek-chat"),
        ("vllm/Qwen/Qwen3-8B", "vllm/Qwen/Qwen3-8B"),
        ("ollama/llama3", "ollama/llama3"),
        ("anthropic/claude-sonnet-4-5", "litellm/anthropic/claude-sonnet-4-5"),
        ("claude-sonnet-4-5", "litellm/anthropic/claude-sonnet-4-5"),
        ("gemini-2.5-pro", "litellm/gemini/gemini-2.5-pro"),
        ("bedrock/anthropic.claude", "litellm/bedrock/anthropic.claude"),
        ("litellm/openai/gpt-4o", "litellm/openai/gpt-4o"),
    ],
)
async def test_a_name_leads_to_its_provider(name: str, label: str) -> None:
    models = Models()
    assert [target.label for target in models.targets(name)] == [label]
    await models.aclose()


async def test_a_base_url_takes_every_name() -> None:
    models = Models(base_url="http://127.0.0.1:9/v1")
    assert models.targets("openai/gpt-4o")[0].label == "custom/openai/gpt-4o"
    await models.aclose()


@pytest.mark.parametrize("name", ["wizard", "wizardry/model"])
def test_a_name_that_leads_nowhere_is_told_what_to_do(name: str) -> None:
    with pytest.raises(UpstreamError, match="Name a model as provider/model, or give the base URL") as caught:
        Models().targets(name)
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


@pytest.mark.parametrize(("name", "variable"), [("gpt-4o", "OPENAI_API_KEY"), ("groq/m", "GROQ_API_KEY")])
def test_a_key_that_is_not_set_is_known_without_asking(
    monkeypatch: pytest.MonkeyPatch, name: str, variable: str
) -> None:
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(UpstreamError, match=f"set {variable} where"):
        Models().check(name)
    with pytest.raises(UpstreamError, match=f"set {variable} where"):
        Models(fallbacks=[name]).check("ollama/m")
    Models(base_url="http://127.0.0.1:9/v1").check(name)
    monkeypatch.setenv(variable, "sk-test")
    Models().check(name)


def test_an_address_from_the_environment_replaces_a_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_BASE_URL", "http://gpu-box:8000/v1")
    (target,) = Models().targets("vllm/m")
    assert getattr(target.upstream, "base_url", None) == "http://gpu-box:8000/v1"


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_providers_row_makes_sense(name: str) -> None:
    provider = PROVIDERS[name]
    assert provider.name == name
    assert provider.base_url.startswith(("https://", "http://127.0.0.1:"))
    assert not provider.base_url.endswith("/")
    assert (provider.key is None) == provider.base_url.startswith("http://127.0.0.1:")


def test_tokens_are_priced_by_the_local_table() -> None:
    (target,) = Models().targets("openai/gpt-4o")
    dollars = target.upstream.cost("gpt-4o", 1_000_000, 400_000, 100_000)
    assert dollars == pytest.approx(0.6 * 2.5 + 0.4 * 1.25 + 0.1 * 10)
    assert target.upstream.cost("no-such-model", 1, 0, 1) is None
    assert cost(("no-such-model",), 1, 0, 1) is None
    (local,) = Models(base_url="http://127.0.0.1:9/v1").targets("gpt-4o")
    assert local.upstream.cost("gpt-4o", 1, 0, 1) is None


def test_a_key_without_a_base_url_is_refused_so_that_no_other_provider_gets_it() -> None:
    with pytest.raises(ConfigurationError, match="An API key goes with a base URL"):
        Models(api_key="sk-secret")


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://host/v1", "http:///v1", ""])
def test_a_base_url_that_is_none_is_told_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError, match="A base URL looks like https://host/v1"):
        Models(base_url=url)
