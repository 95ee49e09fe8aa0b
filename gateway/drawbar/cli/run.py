"""`drawbar run`: an environment with a model through a harness, recorded, scored and reported."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import typer

from drawbar.cli import run_options as options
from drawbar.cli.output import AsJson, StoreUrl, note, numbers, pairs, print_json, store_url
from drawbar.cli.redacting import Config, redact_by
from drawbar.errors import ConfigurationError

if TYPE_CHECKING:
    from drawbar.cli.request import Request
    from drawbar.rollout.report import Report

app = typer.Typer(add_completion=False)

_CHANGEABLE = ("concurrency", "upstream_concurrency", "retries")
"""What may be said anew when a run is resumed."""
_ELSEWHERE = ("store", "gateway", "gateway_key_env", "resume", "json", "quiet", "config")
"""What is no part of the run; everything else is the run's."""


@app.command()
def run(
    ctx: typer.Context,
    environment: options.Environment = None,
    model: options.Model = None,
    base_url: options.BaseUrl = None,
    upstream_dialects: options.UpstreamDialects = None,
    upstream_tokens: options.UpstreamTokens = None,
    api_key_env: options.ApiKeyEnv = None,
    fallback: options.Fallback = None,
    upstream_concurrency: options.UpstreamConcurrency = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    max_completion_tokens: options.MaxCompletionTokens = None,
    sampling: options.Sampling = None,
    token_ids: options.TokenIds = False,
    withhold: options.Withhold = None,
    harness: options.Harness = "loop",
    harness_option: options.HarnessOption = None,
    env_option: options.EnvOption = None,
    cassette: options.Cassette = None,
    cassette_mode: options.CassetteMode = None,
    record_cassette: options.RecordCassette = None,
    tasks: options.Tasks = None,
    rollouts: options.Rollouts = 1,
    concurrency: options.Concurrency = 32,
    retries: options.Retries = 2,
    seed: options.Seed = None,
    shuffle: options.Shuffle = False,
    resume: options.Resume = None,
    max_turns: options.MaxTurns = None,
    max_tokens: options.MaxTokens = None,
    max_cost: options.MaxCost = None,
    max_seconds: options.MaxSeconds = None,
    weight: options.Weight = None,
    judge_model: options.JudgeModel = None,
    user_model: options.UserModel = None,
    store: StoreUrl = None,
    gateway: options.Gateway = None,
    gateway_key_env: options.GatewayKeyEnv = "DRAWBAR_ADMIN_KEY",
    config: Config = None,
    json: AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Run an environment with a model and report.

    Ctrl-C ends it cleanly: what was done stays recorded, and `drawbar run --resume RUN` does the rest.
    """
    from drawbar.cli.running import Where, resume_run, start_run

    where = Where(store_url(store), gateway, gateway_key_env, quiet, None if gateway else redact_by(config))
    if resume is not None:
        _finish(resume_run(resume, _changes(ctx), where), json)
    else:
        report = start_run(_request(ctx.params), where)
        if record_cassette is not None:
            _note_recorded(environment, record_cassette)
        _finish(report, json)


def _note_recorded(environment: str | None, cassette: str) -> None:
    from pathlib import Path

    with suppress(FileNotFoundError), Path(cassette).open("rb") as file:
        file.readline()  # its header
        if file.readline():
            note(f"Tool calls were recorded. Without the servers: drawbar run {environment} --cassette {cassette}")
            return
    Path(cassette).unlink(missing_ok=True)  # nobody could replay it, and it would be in the way of the next try
    note(f"No tool was called, so there is no {cassette}.")


def _request(given: Mapping[str, Any]) -> Request:
    from drawbar.cli.request import Request, resolved

    if given["environment"] is None:
        raise ConfigurationError("Which environment? `drawbar run ENV`; `drawbar env list` names the installed ones.")
    as_they_are = (
        "model", "base_url", "upstream_dialects", "upstream_tokens", "api_key_env", "token_ids", "withhold",
        "harness", "tasks", "rollouts", "concurrency",
        "upstream_concurrency", "retries", "seed", "shuffle",
        "max_turns", "max_tokens", "max_cost", "max_seconds", "judge_model", "user_model",
    )  # fmt: skip
    return Request(
        environment=resolved(given["environment"]),
        named=given["environment"],
        environment_options=pairs(given["env_option"], "--env-option"),
        fallbacks=list(given["fallback"] or ()),
        harness_options=pairs(given["harness_option"], "--harness-option"),
        sampling=_sampling(given),
        weights=numbers(given["weight"], "--weight"),
        **_cassettes(given),
        **{name: given[name] for name in as_they_are},
    )


def _cassettes(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of cassettes, their paths as they hold from any working directory."""
    from pathlib import Path

    from drawbar.tools.cassettes.recording import check_new

    found = {name: given[name] for name in ("cassette", "cassette_mode", "record_cassette") if given[name] is not None}
    if found and given["gateway"] is not None:
        raise ConfigurationError("A gateway's own environments have their own tools: --cassette is not for --gateway.")
    for name in found.keys() & {"cassette", "record_cassette"}:
        found[name] = str(Path(found[name]).resolve())
    if "record_cassette" in found:
        check_new(Path(found["record_cassette"]))
    return found


def _sampling(given: Mapping[str, Any]) -> dict[str, Any]:
    """Request fields; a value that is no JSON is a text."""
    import orjson

    found: dict[str, Any] = {}
    for key, text in pairs(given["sampling"], "--sampling").items():
        try:
            found[key] = orjson.loads(text)
        except orjson.JSONDecodeError:
            found[key] = text
    named = ("temperature", "top_p", "max_completion_tokens")
    return found | {name: given[name] for name in named if given[name] is not None}


def _changes(ctx: typer.Context) -> dict[str, Any]:
    """What was said beside `--resume`."""
    said = [name for name in ctx.params if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    other = sorted(set(said) - {*_CHANGEABLE, *_ELSEWHERE})
    if other:
        raise ConfigurationError(
            f"--resume takes everything from the run that it resumes. Leave out: {', '.join(other)}."
        )
    return {name: ctx.params[name] for name in said if name in _CHANGEABLE}


def _finish(report: Report, json: bool) -> None:
    """Print the report; the exit status says whether there is anything in it."""
    if json:
        print_json(report.to_json())
    else:
        from rich.console import Console

        from drawbar.cli.report_table import print_report

        print_report(report, Console())
    if report.run.status == "interrupted":
        note(f"\nInterrupted. Go on with: drawbar run --resume {report.run.id}")
        raise typer.Exit(130)
    if report.rollouts and not report.valid:
        note("\nNo rollout is valid, so there is no score.")
        raise typer.Exit(1)
