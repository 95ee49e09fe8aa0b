"""`drawbar serve`: the gateway for agents of your own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drawbar.errors import ConfigurationError

if TYPE_CHECKING:
    from drawbar.environment import Environment
    from drawbar.proxy.settings import Settings

app = typer.Typer()

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@app.command()
def serve(
    environments: Annotated[
        list[str] | None, typer.Argument(help="Environments whose tools to serve: names, folders or files.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8787,
    store: Annotated[
        str, typer.Option(envvar="DRAWBAR_STORE", help="Where to record: a file or a URL.")
    ] = "drawbar.db",
    base_url: Annotated[str | None, typer.Option(help="An API (with /v1) that takes every model's name.")] = None,
    upstream_dialects: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="What that API speaks itself (default: chat,responses,messages). Others are translated to chat.",
        ),
    ] = None,
    upstream_tokens: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="What that API is where token ids are asked for: vllm, sglang, llama_cpp or "
            "logprobs (has only those).",
        ),
    ] = None,
    api_key_env: Annotated[str | None, typer.Option(help="The environment variable that holds that API's key.")] = None,
    fallback: Annotated[
        list[str] | None, typer.Option(help="A model to ask when the one named fails. Repeatable.")
    ] = None,
    best_effort: Annotated[
        bool, typer.Option("--best-effort", help="Answer also when the answer cannot be recorded.")
    ] = False,
    pass_key: Annotated[
        bool, typer.Option("--pass-key", help="Send clients' own API keys on to the provider.")
    ] = False,
    token_ids: Annotated[
        bool, typer.Option("--token-ids", help="Record token ids and log probabilities, where providers tell of them.")
    ] = False,
    withhold: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Tools that providers may not run: web_search, web_fetch, code_interpreter, file_search, "
            "image_generation, maps, mcp, or all.",
        ),
    ] = None,
    allow_host: Annotated[list[str] | None, typer.Option(help="A further host name to answer to. Repeatable.")] = None,
) -> None:
    """Serve the gateway: point an agent's base URL at it and everything that passes is recorded.

    DRAWBAR_ADMIN_KEY is the key of the control API, DRAWBAR_KEYS (comma-separated) the keys that clients must show;
    both are needed to listen beyond this machine.
    """
    import anyio

    from drawbar.cli.request import named_dialects
    from drawbar.proxy.models import Models

    settings = _settings(
        host,
        best_effort=best_effort,
        pass_key=pass_key,
        token_ids=token_ids,
        withhold=(withhold or "").split(","),
        hosts=allow_host or [],
    )
    models = Models(
        base_url=base_url,
        api_key=_key(api_key_env),
        fallbacks=fallback or (),
        dialects=named_dialects(upstream_dialects),
        tokens=upstream_tokens,
    )
    served = _environments(environments or [])
    anyio.run(_serve, store, models, served, settings, host, port, backend_options={"use_uvloop": _has_uvloop()})


def _settings(
    host: str, *, best_effort: bool, pass_key: bool, token_ids: bool, withhold: list[str], hosts: list[str]
) -> Settings:
    from drawbar.proxy.settings import Settings, hosted_tools

    keys = os.environ.get("DRAWBAR_KEYS", "").split(",")
    return Settings(
        recording="best-effort" if best_effort else "required",
        admin_key=os.environ.get("DRAWBAR_ADMIN_KEY") or None,
        keys=frozenset(key.strip() for key in keys if key.strip()),
        loopback=host in _LOOPBACK,
        allowed_hosts=frozenset(name.lower() for name in hosts),
        pass_key=pass_key,
        token_ids=token_ids,
        withhold=hosted_tools(withhold),
    )


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise ConfigurationError(f"--api-key-env names {variable}, which is not set.")
    return key


def _environments(refs: list[str]) -> dict[str, Environment]:
    from drawbar.loading import load_environment

    found: dict[str, Environment] = {}
    for ref in refs:
        environment = load_environment(ref)
        if environment.name in found:
            raise ConfigurationError(f"Two environments are named {environment.name}; {ref} is the second.")
        found[environment.name] = environment
    return found


async def _serve(
    store_url: str, models: Any, environments: dict[str, Environment], settings: Settings, host: str, port: int
) -> None:
    import signal

    import anyio

    from drawbar.collector import settle
    from drawbar.gateway import Gateway
    from drawbar.record.store import Store
    from drawbar.serving import serving

    store = Store.open(store_url)
    try:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with (
                Gateway(store, models, environments=environments, settings=settings) as gateway,
                serving(gateway, host=host, port=port) as url,
            ):
                settle()
                _greet(url, store_url, environments)
                async for _ in signals:
                    break
                typer.echo("Stopping: calls under way have 5 seconds to end.", err=True)
    finally:
        store.close()


def _greet(url: str, store: str, environments: dict[str, Environment]) -> None:
    typer.echo(f"drawbar serves {url}/v1 and records into {store}. Ctrl-C ends it.")
    typer.echo(f"  an OpenAI client:  OPENAI_BASE_URL={url}/v1")
    typer.echo(f"  an Anthropic client:  ANTHROPIC_BASE_URL={url}")
    typer.echo(f"  a Gemini client:  GOOGLE_GEMINI_BASE_URL={url}")
    for name in environments:
        typer.echo(f"  tools of {name}:  {url}/mcp/{name}")


def _has_uvloop() -> bool:
    from importlib.util import find_spec

    return find_spec("uvloop") is not None
