"""`drawbar serve`: the gateway for agents of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from drawbar.cli.serving import Reading

app = typer.Typer()


@app.command()
def serve(
    environments: Annotated[
        list[str] | None, typer.Argument(help="Environments whose tools to serve: names, folders or files.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(envvar="DRAWBAR_CONFIG", help="A drawbar.toml; SIGHUP has it read again.", dir_okay=False),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (default: 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one (default: 8787).")] = None,
    store: Annotated[str | None, typer.Option(help="Where to record: a file or a URL (default: drawbar.db).")] = None,
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
    spool: Annotated[
        str | None, typer.Option(help="A file on another disk for what --best-effort cannot record meanwhile.")
    ] = None,
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
    idle: Annotated[
        float | None, typer.Option(help="Seconds without a request after which a live session ends (default: 1800).")
    ] = None,
    drain: Annotated[
        float | None, typer.Option(help="Seconds for which calls under way may end at the stop (default: 30).")
    ] = None,
    score_live: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ENV[:RATE][,...]",
            help="Score live sessions with this environment's rubric: those that work in it, or with `all`, "
            "`model=gpt-5*`, `agent=codex`, `key=NAME`, `tag=beta`, `metadata.team=blue` those. `judge_cost=2` "
            "dollars, `judge_calls=100` are spent in an hour at most. Repeatable.",
        ),
    ] = None,
    otel: Annotated[
        bool, typer.Option("--otel", help="Send OpenTelemetry traces to where OTEL_EXPORTER_OTLP_ENDPOINT leads.")
    ] = False,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting of drawbar.toml by its name. Repeatable."),
    ] = None,
) -> None:
    """Serve the gateway: point an agent's base URL at it and everything that passes is recorded.

    Every setting of drawbar.toml can also be an environment variable: DRAWBAR_PORT, DRAWBAR_UPSTREAMS__MINE__BASE_URL.
    A flag comes before a variable, that before the file. `drawbar config show` says what holds, and why.

    DRAWBAR_ADMIN_KEY is the key of the control API; clients show keys of `drawbar keys`, or of DRAWBAR_KEYS
    (comma-separated). Both are needed to listen beyond this machine.
    """
    import anyio

    from drawbar.cli.serving import Reading, run

    flags = {
        "environments": ("the command line", environments or None),
        "host": ("--host", host),
        "port": ("--port", port),
        "store": ("--store", store),
        "base_url": ("--base-url", base_url),
        "upstream_dialects": ("--upstream-dialects", _listed(upstream_dialects)),
        "upstream_tokens": ("--upstream-tokens", upstream_tokens),
        "api_key_env": ("--api-key-env", api_key_env),
        "fallbacks": ("--fallback", fallback or None),
        "recording": ("--best-effort", "best-effort" if best_effort else None),
        "spool": ("--spool", spool),
        "pass_key": ("--pass-key", pass_key or None),
        "token_ids": ("--token-ids", token_ids or None),
        "withhold": ("--withhold", _listed(withhold)),
        "allowed_hosts": ("--allow-host", allow_host or None),
        "idle": ("--idle", idle),
        "drain": ("--drain", drain),
        "score_live": ("--score-live", score_live or None),
        "otel": ("--otel", otel or None),
    }
    reading: Reading = Reading(config, flags, setting or [])
    anyio.run(run, reading, reading.read(), backend_options={"use_uvloop": _has_uvloop()})


def _listed(names: str | None) -> list[str] | None:
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


def _has_uvloop() -> bool:
    from importlib.util import find_spec

    return find_spec("uvloop") is not None
