"""An upstream behind litellm, for providers that are not asked over HTTP in a dialect of ours.

It is asked in chat, or in the dialect of the provider itself. Its import costs seconds: only when needed."""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, cast

from drawbar.hiding import hidden, secret_values
from drawbar.proxy.counting import count_tokens
from drawbar.proxy.in_process import MadeReply, streamed
from drawbar.proxy.litellm_library import hush, library
from drawbar.proxy.prices import cost
from drawbar.proxy.token_server import TokenServer
from drawbar.proxy.upstream import Exchange, Headers, UpstreamError, UpstreamReply
from drawbar.wire import TRANSLATORS
from drawbar.wire.dialect import BadBody, Dialect
from drawbar.wire.framing import Framing
from drawbar.wire.gemini_names import camel
from drawbar.wire.tolerant import dump, load_object

_NOT_THE_CLIENTS: Final = frozenset(
    "api_base base_url api_key api_version client custom_llm_provider deployment_id drop_params extra_body "
    "extra_headers extra_query fallbacks headers litellm_params max_retries mock_response model_list num_retries "
    "organization proxy_server_request shared_session ssl_verify timeout".split()
)
"""Arguments by which litellm is steered: in a request's body they could send a provider's key anywhere."""


_MORE_OF_CHAT: Final = frozenset(
    "cache_control chat_template_kwargs enable_thinking metadata min_p prompt_cache_retention reasoning "
    "repetition_penalty safety_settings top_k".split()
)
"""Fields of requests that litellm passes on to providers although its function does not name them."""

RESPONSES: Final = "openai/responses/"
"""What litellm calls a provider that speaks OpenAI Responses alone."""

_MATTERS: Final = frozenset(
    "audio frequency_penalty logit_bias logprobs modalities n parallel_tool_calls prediction presence_penalty "
    "reasoning_effort response_format seed stop temperature tool_choice tools top_logprobs top_p verbosity".split()
)
"""Fields of chat that change the answer, and that not every provider takes."""
_NOT_IN_RESPONSES: Final = frozenset(
    "audio frequency_penalty logit_bias modalities n prediction presence_penalty seed stop".split()
)

_GEMINI: Final = frozenset({"contents", "tools", "systemInstruction", "generationConfig", "toolConfig"})


class LiteLLMUpstream:
    """All of litellm's providers, in chat and in the dialects that they speak themselves. Fields that a provider does
    not know are left out of what it is sent."""

    streams_usage = True
    tokens: TokenServer | None = None
    remembers = False

    def __init__(
        self,
        name: str = "litellm",
        *,
        timeout: float = 600.0,
        prefix: str = "",
        address: str | None = None,
        key: Callable[[], str | None] = lambda: None,
        prices: str = "",
    ) -> None:
        """`prefix` is what litellm calls the provider, before every model's name; `address` and `key` replace those
        that litellm finds by itself; `key` is asked for at each request and may raise `UpstreamError`."""
        self.name = name
        self._timeout = timeout
        self._prefix = prefix
        self._address = address
        self._key = key
        self._prices = prices
        self._litellm: Any = None

    async def send(self, exchange: Exchange) -> UpstreamReply:
        dialect, route = exchange.route.dialect, exchange.route
        if route.kind not in ("turn", "count"):
            said = f"{route.path} is not translated to {exchange.model}."
            raise UpstreamError("upstream_rejected", said, status=404, code="not_found", retry=False)
        translator = TRANSLATORS[dialect.name]
        try:
            chat = translator.chat(exchange.body)
            asked = load_object(exchange.body, "the request")
        except BadBody as error:
            raise UpstreamError("upstream_rejected", f"This request cannot be read: {error}.", status=400) from error
        if route.kind == "count":
            return MadeReply([translator.count(await count_tokens(self._prefix + exchange.model, chat))])
        key = exchange.key or self._key()
        litellm = self._litellm = await library()
        hush()
        if self._prefix == RESPONSES:
            _known_to_stream(litellm, exchange.model)
        settings: dict[str, Any] = {"drop_params": True, "num_retries": 0, "max_retries": 0, "timeout": self._timeout}
        settings |= {name: value for name, value in (("api_base", self._address), ("api_key", key)) if value}
        call = _call_for(dialect.name, litellm)
        fields, lost = _taken(dialect.name, call, asked)
        fields["model"] = self._prefix + exchange.model
        if dialect.name == "chat":
            lost += self._dropped(litellm, fields)
        if dialect.name != "gemini":
            fields["stream"] = exchange.stream
        try:
            answer = await call(**fields, **settings)
        except Exception as error:
            return _refused(error, dialect)
        if exchange.stream and dialect.name == "gemini":
            return streamed(TRANSLATORS["gemini"].events(_plain(answer), exchange.body), route.framing, lost)
        if exchange.stream:
            return _Stream(answer, route.framing, dialect.name, lost)
        return MadeReply([dump(_plain(answer))], lost=lost)

    def _dropped(self, litellm: Any, fields: Mapping[str, Any]) -> list[str]:
        """What of a chat request the provider does not take, so that litellm leaves it out."""
        if self._prefix == RESPONSES:
            taken = _MATTERS - _NOT_IN_RESPONSES
        else:
            taken = litellm.get_supported_openai_params(model=fields["model"]) or _MATTERS
        return [
            f"`{name}`"
            for name, value in fields.items()
            if name in _MATTERS and value is not None and name not in taken
        ]

    def cost(self, model: str, prompt: int, cached: int, completion: int) -> float | None:
        return cost((self._prices + model, model, model.partition("/")[2]), prompt, cached, completion)

    async def aclose(self) -> None:
        if self._litellm is not None:
            await self._litellm.close_litellm_async_clients()


def _known_to_stream(litellm: Any, model: str) -> None:
    """Of a model that it does not know, litellm would ask for a whole answer, and cut that wrongly into pieces."""
    if model not in litellm.model_cost:
        litellm.register_model({model: {"litellm_provider": "openai", "mode": "responses"}})


def _call_for(dialect: str, litellm: Any) -> Callable[..., Any]:
    """The function that takes this dialect's requests. Of a `gemini` stream the whole answer is asked for, and streamed
    from here: litellm's own streams of that dialect say that they took no tokens."""
    if dialect == "messages":
        call = litellm.anthropic.messages.acreate
    elif dialect == "responses":
        call = litellm.aresponses
    elif dialect == "gemini":
        from litellm.google_genai import agenerate_content as call
    else:
        call = litellm.acompletion
    return cast(Callable[..., Any], call)


def _taken(dialect: str, call: Callable[..., Any], fields: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The fields that this function takes; and the names of the others, which it would pass on to who knows them not.

    What litellm is steered by has more names than anybody can list: only what is known to be the client's is taken.
    """
    kept = {name: value for name, value in fields.items() if name not in _NOT_THE_CLIENTS}
    if dialect == "gemini":
        fields = kept = {camel(name): value for name, value in kept.items()}
    known = _GEMINI if dialect == "gemini" else inspect.signature(call).parameters.keys() | _MORE_OF_CHAT
    return {k: v for k, v in kept.items() if k in known}, [f"`{name}`" for name in fields if name not in known]


class _Stream:
    """litellm's chunks as events."""

    status = 200

    def __init__(self, answer: Any, framing: Framing, dialect: str, lost: Sequence[str]) -> None:
        self._answer = answer
        self._framing = framing
        self._dialect = dialect
        self.lost = lost
        self.headers: Headers = ((b"content-type", framing.media_type),)

    async def chunks(self) -> AsyncIterator[bytes]:
        first = True
        try:
            async for chunk in self._answer:
                if isinstance(chunk, bytes):
                    yield chunk
                    continue
                yield self._framing.written([dump(_plain(chunk))], first=first, last=False)
                first = False
        except Exception as error:
            said = _without_keys(str(error))
            raise UpstreamError("upstream_broken", f"the provider broke off its answer: {said}") from error
        end = [b"[DONE]"] if self._dialect == "chat" else []
        yield self._framing.written(end, first=first, last=True)

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def aclose(self) -> None:
        close = getattr(self._answer, "aclose", None)
        if close is not None:
            await close()


def _plain(answer: Any) -> Any:
    return answer if isinstance(answer, dict) else answer.model_dump(exclude_none=True)


def _without_keys(said: str) -> str:
    """Some providers quote the key that they refuse; litellm finds it in the environment by itself."""
    return hidden(said, secret_values(os.environ))


def _refused(error: Exception, dialect: Dialect) -> MadeReply:
    """litellm's exceptions carry the provider's status; an error of litellm's own is a 500."""
    status = getattr(error, "status_code", None)
    status = status if isinstance(status, int) and 400 <= status < 600 else 500
    response = getattr(error, "response", None)
    asked = getattr(response, "headers", {}).get("retry-after") if response is not None else None
    headers = [(b"retry-after", str(asked).encode("latin-1"))] if asked else []
    said = _without_keys(getattr(error, "message", None) or str(error))
    return MadeReply([dialect.error(status, said, type(error).__name__)], status=status, headers=headers)
