"""Providers that are asked over HTTP in dialects of their own, as data; and those that litellm translates for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_CHAT: Final = ("chat",)
_BOTH: Final = ("chat", "responses")
_ALL: Final = ("chat", "responses", "messages")


@dataclass(frozen=True, slots=True)
class Provider:
    """One API. A model is named `name/model`."""

    name: str
    base_url: str
    """With the version prefix: `/chat/completions` follows."""
    key: str | None
    """The environment variable that holds its key, or several with `|` between; None: it needs none."""
    address: str | None = None
    """The environment variable that replaces `base_url`."""
    dialects: tuple[str, ...] = _CHAT
    """What it is asked in as it is. Agents of another dialect are translated for: by us where chat is among these, else
    by litellm."""
    version: str = ""
    """Added to an address that is given without it, as this provider's own SDK takes it."""
    prices: str = ""
    """Its prefix in litellm's table of prices."""
    streams_usage: bool = True
    """Whether it takes `stream_options`; those that do not send the counts unasked."""
    tokens: str | None = None
    """What kind of server it is where token ids or log probabilities are asked for (`wire.tokens.TOKEN_SERVERS`); None:
    it has none, or it is not known."""
    litellm: str = "custom_openai/"
    """What litellm calls it."""
    limit: str = "max_tokens"
    """Its field of chat requests for the most tokens of an answer."""
    own: bool = False
    """It is at an address of the user's: of its ways of asking for a key, nothing is known."""
    timeout: float | None = None
    """Seconds without a byte after which it counts as dead; None: as all others."""
    thoughts: bool = True
    """Whether its chat takes back, as `reasoning_content`, what a model thought earlier; some refuse the field."""


PROVIDERS: Final = {
    provider.name: provider
    for provider in (
        Provider(
            "openai", "https://api.openai.com/v1", "OPENAI_API_KEY", "OPENAI_BASE_URL", _BOTH, tokens="logprobs",
            litellm="openai/", limit="max_completion_tokens", thoughts=False,
        ),
        Provider(
            "anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY|ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL",
            ("messages",), "/v1", litellm="anthropic/",
        ),
        Provider(
            "gemini", "https://generativelanguage.googleapis.com/v1beta", "GEMINI_API_KEY|GOOGLE_API_KEY",
            "GOOGLE_GEMINI_BASE_URL", ("gemini",), "/v1beta", prices="gemini/", tokens="logprobs", litellm="gemini/",
        ),
        Provider("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", None, _ALL, prices="openrouter/"),
        Provider("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY", prices="together_ai/"),
        Provider("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", None, _BOTH, prices="groq/", thoughts=False),
        Provider("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", prices="deepseek/"),
        Provider(
            "mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", prices="mistral/", streams_usage=False,
            thoughts=False,
        ),
        Provider("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY", prices="fireworks_ai/"),
        Provider("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", prices="cerebras/", thoughts=False),
        Provider("xai", "https://api.x.ai/v1", "XAI_API_KEY", None, _BOTH, prices="xai/"),
        Provider("prime", "https://api.pinference.ai/api/v1", "PRIME_API_KEY"),
        Provider("ollama", "http://127.0.0.1:11434/v1", None, "OLLAMA_BASE_URL", _ALL),
        Provider("vllm", "http://127.0.0.1:8000/v1", None, "VLLM_BASE_URL", _ALL, tokens="vllm"),
        Provider("sglang", "http://127.0.0.1:30000/v1", None, "SGLANG_BASE_URL", _BOTH, tokens="sglang"),
        Provider("llamacpp", "http://127.0.0.1:8080/v1", None, "LLAMACPP_BASE_URL", _ALL, tokens="llama_cpp"),
        Provider("lmstudio", "http://127.0.0.1:1234/v1", None, "LMSTUDIO_BASE_URL", _ALL),
    )
}  # fmt: skip
"""By name. What a server of one's own speaks holds for its newest version."""

TRANSLATED: Final = frozenset(
    "ai21 azure azure_ai bedrock bedrock_converse cloudflare codestral cohere cohere_chat "
    "dashscope databricks deepinfra friendliai github github_copilot gradient_ai huggingface "
    "hyperbolic infinity lambda_ai litellm meta_llama moonshot nebius novita nscale nvidia_nim oci "
    "perplexity predibase replicate sagemaker sagemaker_chat sambanova snowflake vertex_ai voyage watsonx "
    "xinference zai".split()
)
"""Prefixes that litellm knows; `litellm/` before any other name sends that there too."""

_HOSTS_OF_CLAUDE: Final = frozenset({"anthropic", "azure_ai", "bedrock", "vertex_ai"})
"""Where litellm asks Anthropic's models in their own dialect."""


def passed_on(model: str, dialect: str) -> bool:
    """Whether litellm hands requests of this dialect on to this model as they are.

    To any other model it would translate them by itself, through chat. That we do: its adapters leave out what they do
    not know without a word (thoughts, pictures, seeds), give parallel calls one id, and take the cache marks of Claude
    Code for an order to make caches, which providers refuse.
    """
    host, _, name = model.partition("/")
    of_claude = "claude" in name or host == "anthropic"
    if dialect == "messages":
        return of_claude and host in _HOSTS_OF_CLAUDE
    if dialect == "responses":
        return host in ("azure", "openai")
    return dialect == "chat" or (host == "vertex_ai" and not of_claude)


BARE: Final = (
    ("gpt-", "openai"), ("chatgpt-", "openai"), ("o1", "openai"), ("o3", "openai"), ("o4", "openai"),
    ("text-embedding-", "openai"), ("claude-", "anthropic"), ("gemini-", "gemini"),
)  # fmt: skip
"""Names that are known well enough to need no provider before them, by their beginning."""
