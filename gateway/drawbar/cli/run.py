"""`drawbar run`: an environment with a model through a harness, recorded, scored and reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from drawbar.cli.output import AsJson, StoreUrl, note, numbers, pairs, print_json, store_url
from drawbar.errors import ConfigurationError

if TYPE_CHECKING:
    from drawbar.cli.request import Request
    from drawbar.rollout.report import Report

app = typer.Typer()

_MODEL, _AGENT, _RUN, _BOUNDS, _SCORES, _WHERE = (
    "The model", "The agent", "The run", "Bounds of a rollout", "Scores", "Where it is recorded",
)  # fmt: skip
_LATER = ("store", "gateway", "gateway_key_env", "resume", "json", "concurrency", "retries", "quiet")
"""What may be said again when a run is resumed; everything else is the run's."""


def _option(*names: str, panel: str, **attributes: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **attributes)


@app.command()
def run(
    ctx: typer.Context,
    environment: Annotated[
        str | None, typer.Argument(metavar="ENV", help="An installed environment, a folder or a .py file.")
    ] = None,
    model: Annotated[
        str | None, _option("--model", "-m", panel=_MODEL, envvar="DRAWBAR_MODEL",
                            help="Its name; an in-process model of the environment, too.  [default: the environment's]"),
    ] = None,
    base_url: Annotated[
        str | None, _option("--base-url", panel=_MODEL, metavar="URL", help="An OpenAI-compatible API, `/v1` included.")
    ] = None,
    api_key_env: Annotated[
        str | None, _option("--api-key-env", panel=_MODEL, metavar="NAME", help="The variable that holds its key.")
    ] = None,
    fallback: Annotated[
        list[str] | None, _option("--fallback", panel=_MODEL, metavar="MODEL", help="Asked when it fails. Repeatable.")
    ] = None,
    temperature: Annotated[float | None, _option("--temperature", panel=_MODEL)] = None,
    top_p: Annotated[float | None, _option("--top-p", panel=_MODEL)] = None,
    max_completion_tokens: Annotated[
        int | None, _option("--max-completion-tokens", panel=_MODEL, min=1, help="Of one reply.")
    ] = None,
    sampling: Annotated[
        list[str] | None,
        _option("--sampling", panel=_MODEL, metavar="KEY=JSON", help="Any other field of the request. Repeatable."),
    ] = None,
    harness: Annotated[
        str, _option("--harness", "-H", panel=_AGENT, help="Its name (`drawbar harness list`), or `module:Class`.")
    ] = "loop",
    harness_option: Annotated[
        list[str] | None, _option("--harness-option", panel=_AGENT, metavar="KEY=VALUE", help="Repeatable.")
    ] = None,
    env_option: Annotated[
        list[str] | None,
        _option("--env-option", panel=_AGENT, metavar="KEY=VALUE", help="Passed to the environment. Repeatable."),
    ] = None,
    tasks: Annotated[int | None, _option("-n", "--tasks", panel=_RUN, min=1, help="At most so many.")] = None,
    rollouts: Annotated[int, _option("-r", "--rollouts", panel=_RUN, min=1, help="Per task.")] = 1,
    concurrency: Annotated[int, _option("-c", "--concurrency", panel=_RUN, min=1, help="Rollouts at a time.")] = 32,
    retries: Annotated[
        int, _option("--retries", panel=_RUN, min=0, help="Of a rollout that ended for a cause that may go away.")
    ] = 2,
    seed: Annotated[int | None, _option("--seed", panel=_RUN, help="Rollout i gets SEED + i.")] = None,
    shuffle: Annotated[bool, _option("--shuffle", panel=_RUN, help="Take the tasks in an order made of the seed.")] = False,
    resume: Annotated[
        str | None, _option("--resume", panel=_RUN, metavar="RUN", help="Go on with a run: only what is missing is done.")
    ] = None,
    max_turns: Annotated[int | None, _option("--max-turns", panel=_BOUNDS, min=1)] = None,
    max_tokens: Annotated[
        int | None, _option("--max-tokens", panel=_BOUNDS, min=1, help="Prompt and completion, over all turns.")
    ] = None,
    max_cost: Annotated[float | None, _option("--max-cost", panel=_BOUNDS, help="US dollars.")] = None,
    max_seconds: Annotated[float | None, _option("--max-seconds", panel=_BOUNDS, help="Wall time.")] = None,
    weight: Annotated[
        list[str] | None, _option("--weight", panel=_SCORES, metavar="NAME=NUMBER", help="Of a reward or metric. Repeatable.")
    ] = None,
    judge_model: Annotated[
        str | None, _option("--judge-model", panel=_SCORES, metavar="MODEL", help="Behind the environment's judges.")
    ] = None,
    store: StoreUrl = None,
    gateway: Annotated[
        str | None, _option("--gateway", panel=_WHERE, metavar="URL", help="Use a gateway that `drawbar serve` runs.")
    ] = None,
    gateway_key_env: Annotated[
        str, _option("--gateway-key-env", panel=_WHERE, metavar="NAME", help="The variable that holds its admin key.")
    ] = "DRAWBAR_ADMIN_KEY",
    json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:  # fmt: skip
    """Run an environment with a model and report.

    Ctrl-C ends it cleanly: what was done stays recorded, and `drawbar run --resume RUN` does the rest.
    """
    from drawbar.cli.request import Request, resolved
    from drawbar.cli.running import Where, resume_run, start_run

    where = Where(store_url(store), gateway, gateway_key_env, quiet)
    if resume is not None:
        _refuse_other_options(ctx)
        given = {name: ctx.params[name] for name in ("concurrency", "retries") if _is_given(ctx, name)}
        _finish(resume_run(resume, given, where), json)
        return
    if environment is None:
        raise ConfigurationError("Which environment? `drawbar run ENV`; `drawbar env list` names the installed ones.")
    request = Request(
        environment=resolved(environment),
        named=environment,
        environment_options=pairs(env_option, "--env-option"),
        model=model,
        base_url=base_url,
        api_key_env=api_key_env,
        fallbacks=list(fallback or ()),
        harness=harness,
        harness_options=pairs(harness_option, "--harness-option"),
        tasks=tasks,
        rollouts=rollouts,
        concurrency=concurrency,
        retries=retries,
        seed=seed,
        shuffle=shuffle,
        max_turns=max_turns,
        max_tokens=max_tokens,
        max_cost=max_cost,
        max_seconds=max_seconds,
        sampling=_sampling(sampling, temperature=temperature, top_p=top_p, max_completion_tokens=max_completion_tokens),
        weights=numbers(weight, "--weight"),
        judge_model=judge_model,
    )
    _finish(start_run(request, where), json)


def _sampling(given: list[str] | None, **named: float | None) -> dict[str, Any]:
    """Request fields; a value that is no JSON is a text."""
    import orjson

    found: dict[str, Any] = {}
    for key, text in pairs(given, "--sampling").items():
        try:
            found[key] = orjson.loads(text)
        except orjson.JSONDecodeError:
            found[key] = text
    return found | {name: value for name, value in named.items() if value is not None}


def _is_given(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _refuse_other_options(ctx: typer.Context) -> None:
    other = [name for name in ctx.params if name not in _LATER and _is_given(ctx, name)]
    if other:
        raise ConfigurationError(
            f"--resume takes everything from the run it resumes, so leave out: {', '.join(sorted(other))}."
        )


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
