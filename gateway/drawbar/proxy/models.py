"""Where a model's name leads: an in-process model, an API that speaks the asker's dialect or chat, or litellm."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from drawbar.errors import ConfigurationError, UnknownName
from drawbar.proxy.asking import Answered, ask
from drawbar.proxy.failures import RetryPolicy
from drawbar.proxy.in_process import InProcessUpstream
from drawbar.proxy.limited import LimitedUpstream
from drawbar.proxy.providers import BARE, PROVIDERS, TRANSLATED, Provider, passed_on
from drawbar.proxy.routes import ModelRoute
from drawbar.proxy.upstream import Exchange, Upstream, UpstreamError
from drawbar.wire import CHAT, DIALECTS
from drawbar.wire.dialect import BadBody, Usage
from drawbar.wire.route import CHAT_TURN
from drawbar.wire.tolerant import dump, load, load_object

if TYPE_CHECKING:
    from drawbar.model import Model

CUSTOM_DIALECTS: Final = ("chat", "responses", "messages")
"""What an API at a base URL of one's own is taken to speak: today's servers of open models do."""
LITELLM_NAMES: Final = {"messages": "anthropic/", "responses": "openai/responses/", "gemini": "gemini/"}
"""What litellm calls an API at an address of one's own, by the dialect that it speaks."""


@dataclass(frozen=True, slots=True)
class Target:
    """One place that can answer: an upstream, and the model's name there."""

    upstream: Upstream
    model: str

    @property
    def label(self) -> str:
        """What the record calls it."""
        return f"{self.upstream.name}/{self.model}" if self.upstream.name != self.model else self.model


class Models:
    """Resolves model names. Clients of providers are made when they are first needed and kept."""

    def __init__(
        self,
        *,
        in_process: Mapping[str, Model] | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        fallbacks: Sequence[str] = (),
        retries: RetryPolicy | None = None,
        timeout: float = 600.0,
        concurrency: int | None = None,
        dialects: Sequence[str] = CUSTOM_DIALECTS,
        tokens: str | None = None,
        providers: Mapping[str, Provider] | None = None,
        routes: Mapping[str, ModelRoute] | None = None,
    ) -> None:
        """
        Args:
            base_url: an API (`/v1` included) that takes every name that is not an in-process model's.
            api_key: its key. Providers' keys come from variables of their own, so that none is sent to another.
            fallbacks: models that are asked, in order, when the one that was named fails.
            timeout: seconds without a byte after which an upstream counts as dead.
            concurrency: how many requests each upstream is sent at a time; later ones wait. None: any number.
            dialects: what the API at `base_url` is asked in as it is. For agents that speak another one, requests are
                translated: to chat, where that is among them.
            tokens: what kind of server is at `base_url` (`wire.tokens.TOKEN_SERVERS`), where sessions want token ids.
            providers: further providers by name, or others in place of those that are known.
            routes: names that lead to other models.

        Raises:
            ConfigurationError: a base URL that is none, or a key without one.
        """
        if api_key is not None and base_url is None:
            raise ConfigurationError(
                "An API key goes with a base URL. The key of a provider that is known by name is read from its own "
                "environment variable (OPENAI_API_KEY, ANTHROPIC_API_KEY, ...)."
            )
        self._in_process = dict(in_process or {})
        self._base_url = base_url
        self._api_key = api_key
        self._fallbacks = tuple(fallbacks)
        self._timeout = timeout
        self.retries = retries or RetryPolicy()
        self._concurrency = concurrency
        self._dialects = frozenset(dialects)
        self._tokens = tokens
        self._own_providers = dict(providers or {})
        self._providers = {**PROVIDERS, **self._own_providers}
        self._routes = dict(routes or {})
        self._places: dict[str, asyncio.Semaphore] = {}
        self._upstreams: dict[str, Upstream] = {}
        if not self._dialects:
            raise ConfigurationError(f"An API speaks at least one dialect of {', '.join(DIALECTS)}.")
        if unknown := sorted(self._dialects - set(DIALECTS)):
            raise ConfigurationError(f"There is no dialect {', '.join(unknown)}; there are {', '.join(DIALECTS)}.")
        if tokens is not None and base_url is None:
            raise ConfigurationError(
                "The kind of server that is asked for token ids goes with a base URL; of a provider that is known by "
                "name, it is known."
            )
        if base_url is not None:
            if not _is_url(base_url):
                raise ConfigurationError(f"A base URL looks like https://host/v1, not {base_url!r}.")
            if api_key is not None and "@" in urlsplit(base_url).netloc:
                raise ConfigurationError("A base URL with a user and a password takes no API key beside them.")
            self._custom()  # now, so that no request waits for its client to be imported

    def targets(
        self, model: str, own: Mapping[str, Model] | None = None, dialect: str = "chat", session: str = ""
    ) -> list[Target]:
        """Where a request for this model in this dialect goes, first choice first.

        `own`: in-process models of the session's environment, which come before all others. `session`: by this id
        (`Session.line`), a split of a route is decided.

        Raises:
            UpstreamError: no provider is known for it (404).
        """
        found = [self._target(name, own or {}, dialect) for name in self._led(model, own or {}, session)]
        return found if self._concurrency is None else [self._limited(target, self._concurrency) for target in found]

    def check(self, model: str) -> None:
        """See to it that a model and the fallbacks can be asked, as far as that is known beforehand.

        Raises:
            UpstreamError: no provider is known for one of them, or the provider's key is not set.
        """
        route = self._routes.get(model)
        for name in (*(route.to if route is not None else (model,)), *self._after(route)):
            self._target(name, {})
            provider = self._provider_for(name)
            if provider is not None and name not in self._in_process:
                _key(provider)

    def names(self) -> list[str]:
        """The models that are known by name."""
        return sorted({*self._in_process, *self._fallbacks, *self._routes})

    def _led(self, model: str, own: Mapping[str, Model], session: str) -> tuple[str, ...]:
        """The models that a name leads to, the first choice first."""
        route = self._routes.get(model) if model not in own and model not in self._in_process else None
        first = route.chosen(model, session) if route is not None else model
        return tuple(dict.fromkeys((first, *self._after(route))))

    def _after(self, route: ModelRoute | None) -> Sequence[str]:
        return self._fallbacks if route is None or route.fallbacks is None else route.fallbacks

    def _provider_for(self, model: str) -> Provider | None:
        """The provider that a model's name names; with an API for all names, of those that were configured alone."""
        known = self._providers if self._base_url is None else self._own_providers
        return known.get(_provider_of(model)[0])

    async def listed(self) -> list[dict[str, Any]]:
        """Known models as `GET /v1/models` has them, those of `base_url` included."""
        found = {name: {"id": name, "object": "model", "created": 0, "owned_by": "drawbar"} for name in self.names()}
        if self._base_url is not None and (body := await self._custom().models()) is not None:
            for entry in _entries(body):
                found.setdefault(entry["id"], entry)
        return list(found.values())

    async def chat(self, model: str, body: Mapping[str, Any], own: Mapping[str, Model] | None = None) -> dict[str, Any]:
        """One chat completion outside any session (judges, users), retried like any other; `body` needs no `model`.
        `own` as in `targets`.

        Its `usage.cost` is in US dollars: what the provider named, or what our price table says (None: not known).

        Raises:
            UpstreamError: no usable answer came; its `cause` says why.
        """
        sent = dump({**body, "model": model, "stream": False})

        def exchange(target: Target) -> Exchange:
            return Exchange(route=CHAT_TURN, model=target.model, body=CHAT.patch(sent, {"model": target.model}))

        answered = await ask(self.targets(model, own), exchange, CHAT, self.retries)
        if not isinstance(answered, Answered):
            await answered.reply.aclose()
            raise UpstreamError("upstream_broken", f"{model} sent a stream, for which it was not asked.")
        completion = load_object(answered.body, "the answer")
        if answered.response is not None and isinstance(completion.get("usage"), dict):
            completion["usage"]["cost"] = _cost(answered.target, answered.response.usage)
        return completion

    async def aclose(self) -> None:
        """Close all clients; they are made anew when they are needed again."""
        upstreams, self._upstreams = self._upstreams, {}
        for upstream in upstreams.values():
            await upstream.aclose()

    def _limited(self, target: Target, concurrency: int) -> Target:
        name = target.upstream.name.removeprefix("chat/")
        places = self._places.setdefault(name, asyncio.Semaphore(concurrency))
        return Target(LimitedUpstream(target.upstream, places), target.model)

    def _target(self, model: str, own: Mapping[str, Model], dialect: str = "chat") -> Target:
        for models in (own, self._in_process):
            if model in models:
                return Target(InProcessUpstream(model, models[model]), model)
        prefix, rest = _provider_of(model)
        if (provider := self._provider_for(model)) is not None:
            return Target(self._provider_in(provider, dialect), rest)
        if self._base_url is not None:
            return self._custom_target(model, dialect)
        if prefix in TRANSLATED:
            name = rest if prefix == "litellm" else f"{prefix}/{rest}"
            return Target(self._through(self._translated("litellm"), name, dialect), name)
        known = {*own, *self._in_process, *self._routes, *(f"{name}/..." for name in self._providers)}
        hint = "Name a model as provider/model, or give the base URL of an OpenAI-compatible API."
        said = str(UnknownName("model", model, known, hint))
        raise UpstreamError("upstream_rejected", said, status=404, code="model_not_found")

    def _custom(self) -> Any:
        assert self._base_url is not None
        return self._http("custom", self._base_url, lambda: self._api_key, None, any_key=True, tokens=self._tokens)

    def _custom_target(self, model: str, dialect: str) -> Target:
        if dialect in self._dialects:
            return Target(self._custom(), model)
        if "chat" in self._dialects:
            return Target(self._as_chat(self._custom()), model)
        assert self._base_url is not None
        spoken = next(name for name in LITELLM_NAMES if name in self._dialects)
        address = self._base_url.removesuffix("/v1") if spoken == "messages" else self._base_url
        translated = self._translated(
            "litellm/custom", prefix=LITELLM_NAMES[spoken], address=address, key=lambda: self._api_key or "none"
        )
        return Target(self._through(translated, LITELLM_NAMES[spoken], dialect), model)

    def _provider_in(self, provider: Provider, dialect: str) -> Upstream:
        """A provider for agents of this dialect."""
        if dialect in provider.dialects:
            return self._provider(provider)
        if "chat" in provider.dialects:
            return self._as_chat(self._provider(provider), limit=provider.limit, reasoning=provider.thoughts)
        return self._through(self._bridge(provider), provider.litellm, dialect)

    def _as_chat(self, upstream: Upstream, **options: Any) -> Upstream:
        from drawbar.proxy.bridged import BridgedUpstream

        return BridgedUpstream(upstream, **options)

    def _through(self, litellm: Upstream, model: str, dialect: str) -> Upstream:
        """litellm for agents of this dialect: asked in it where the model's provider is, else in chat."""
        return litellm if passed_on(model, dialect) else self._as_chat(litellm, reasoning=False)

    def _provider(self, provider: Provider) -> Upstream:
        address = _address(provider)
        upstream: Upstream = self._http(
            provider.name, address or provider.base_url, lambda: _key(provider), provider.prices,
            streams_usage=provider.streams_usage, any_key=address is not None, tokens=provider.tokens,
            timeout=provider.timeout,
        )  # fmt: skip
        return upstream

    def _bridge(self, provider: Provider) -> Upstream:
        """The provider for agents that speak a dialect which it does not, where it speaks no chat either."""
        address = _address(provider)
        if address is not None and provider.litellm == "anthropic/":  # there, litellm adds the version by itself
            address = address.removesuffix(provider.version or "/v1")
        return self._translated(
            f"litellm/{provider.name}",
            prefix=provider.litellm,
            address=address,
            key=lambda: _key(provider) or "none",
            prices=provider.prices,
        )

    def _http(
        self,
        name: str,
        url: str,
        key: Callable[[], str | None],
        prices: str | None,
        *,
        streams_usage: bool = True,
        any_key: bool = False,
        tokens: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        if name not in self._upstreams:
            from drawbar.proxy.http import HttpUpstream

            self._upstreams[name] = HttpUpstream(
                name,
                url,
                key=key,
                prices=prices,
                streams_usage=streams_usage,
                timeout=timeout or self._timeout,
                any_key=any_key,
                tokens=tokens,
            )
        return self._upstreams[name]

    def _translated(self, name: str, **options: Any) -> Upstream:
        if name not in self._upstreams:
            from drawbar.proxy.translated import LiteLLMUpstream

            self._upstreams[name] = LiteLLMUpstream(name, timeout=self._timeout, **options)
        return self._upstreams[name]


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _entries(body: bytes) -> list[dict[str, Any]]:
    """The models in a provider's list; none if it cannot be read."""
    try:
        value = load(body)
    except BadBody:
        return []
    listed = value.get("data") if isinstance(value, dict) else None
    entries = listed if isinstance(listed, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


def _provider_of(model: str) -> tuple[str, str]:
    """The provider that a model's name names (empty: none), and the model's name there."""
    prefix, slash, rest = model.partition("/")
    if slash:
        return prefix, rest
    return next((provider for start, provider in BARE if model.startswith(start)), ""), model


def _key(provider: Provider) -> str | None:
    if provider.key is None:
        return None
    variables = provider.key.split("|")
    key = next((key for variable in variables if (key := os.environ.get(variable))), None)
    if key is None:
        raise UpstreamError(
            "upstream_rejected",
            f"No key for {provider.name}: set {' or '.join(variables)} where the gateway runs.",
            status=403,
            code="provider_key_missing",
        )
    return key


def _address(provider: Provider) -> str | None:
    """Where the user, or a variable, says that the provider is, its version included."""
    if provider.own:
        return provider.base_url
    address = os.environ.get(provider.address) if provider.address else None
    if not address:
        return None
    address = address.rstrip("/")
    return address if address.endswith(provider.version) else address + provider.version


def _cost(target: Target, usage: Usage) -> float | None:
    if usage.cost is not None or usage.prompt_tokens is None:
        return usage.cost
    return target.upstream.cost(
        target.model, usage.prompt_tokens, usage.cached_tokens or 0, usage.completion_tokens or 0
    )
