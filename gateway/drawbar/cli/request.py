"""What a user asked of `drawbar run`, as plain values: stored with the run, so that it can be resumed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from drawbar.errors import ConfigurationError

if TYPE_CHECKING:
    from drawbar.environment import Environment
    from drawbar.proxy.models import Models
    from drawbar.record.rows import RunRow
    from drawbar.rollout.plan import Plan


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides what a run does. No secret is in it: of a key, the name of its variable."""

    environment: str
    """As it is loaded: a name, or a whole path."""
    named: str = ""
    """As the user wrote it."""
    environment_options: dict[str, str] = {}
    model: str | None = None
    base_url: str | None = None
    upstream_dialects: str | None = None
    upstream_tokens: str | None = None
    api_key_env: str | None = None
    fallbacks: list[str] = []
    harness: str = "loop"
    harness_options: dict[str, str] = {}
    tasks: int | None = None
    rollouts: int = 1
    concurrency: int = 32
    upstream_concurrency: int | None = None
    retries: int = 2
    seed: int | None = None
    shuffle: bool = False
    max_turns: int | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    max_seconds: float | None = None
    sampling: dict[str, Any] = {}
    token_ids: bool = False
    withhold: str | None = None
    weights: dict[str, float] = {}
    judge_model: str | None = None
    user_model: str | None = None
    cassette: str | None = None
    """A whole path."""
    cassette_mode: str | None = None
    record_cassette: str | None = None
    """A whole path."""

    @classmethod
    def of(cls, run: RunRow) -> Request:
        """What was asked for when this run was started.

        Raises:
            ConfigurationError: it was not started by `drawbar run`, or by one that wrote something else.
        """
        try:
            return msgspec.json.decode(run.config, type=cls)
        except msgspec.DecodeError as error:
            raise ConfigurationError(
                f"Run {run.id} cannot be resumed: what it was started with is not kept in the store ({error})."
            ) from error


def resolved(reference: str) -> str:
    """The environment's reference as it holds from any working directory."""
    return str(Path(reference).resolve()) if os.path.exists(reference) else reference


def loaded_environment(request: Request) -> Environment:
    """The environment as it was asked for: with its options, weights, judge and cassettes."""
    from drawbar.loading import load_environment

    environment = load_environment(request.environment, request.environment_options)
    if request.weights:
        environment = replace(environment, rubric=environment.scoring.with_weights(request.weights))
    if request.judge_model is not None:
        environment = _judged_by(environment, request.judge_model)
    return _with_cassettes(request, environment)


def _with_cassettes(request: Request, environment: Environment) -> Environment:
    """With recorded answers in place of its servers, and with what its servers answer recorded."""
    from drawbar.errors import nearest
    from drawbar.tools.cassettes.environments import recorded_to, replayed_from
    from drawbar.tools.cassettes.settings import MODES

    mode = next((mode for mode in MODES if mode == request.cassette_mode), None)
    if mode is None and request.cassette_mode is not None:
        known = nearest(request.cassette_mode, MODES)
        raise ConfigurationError(f"--cassette-mode: there is no mode {request.cassette_mode!r}.{known}")
    if request.cassette is not None or mode is not None:
        environment = replayed_from(environment, Path(request.cassette) if request.cassette else None, mode)
    if request.record_cassette is not None:
        environment = recorded_to(environment, Path(request.record_cassette))
    return environment


def _judged_by(environment: Environment, model: str) -> Environment:
    """With another model behind every judge."""
    from drawbar.rubric import Rubric

    scorers = environment.scoring.scorers.values()
    if environment.judge is None and not any(scorer.judge for scorer in scorers):
        raise ConfigurationError(f"Environment {environment.name} has no judge, so there is none for --judge-model.")
    rubric = Rubric(*(replace(s, judge=replace(s.judge, model=model)) if s.judge else s for s in scorers))
    judge = environment.judge and replace(environment.judge, model=model)
    return replace(environment, rubric=rubric, judge=judge)


def planned(request: Request, environment: Environment, run: str | None = None) -> Plan:
    """The plan that was asked for; with `run`, that run again."""
    from drawbar.ids import new_id
    from drawbar.proxy.settings import hosted_tools
    from drawbar.rollout.harnesses import load_harness
    from drawbar.rollout.plan import Plan
    from drawbar.task import Limits

    return Plan(
        environment=environment,
        harness=load_harness(request.harness, request.harness_options),
        model=chosen_model(request, environment),
        tasks=request.tasks,
        rollouts=request.rollouts,
        concurrency=request.concurrency,
        retries=request.retries,
        seed=request.seed,
        shuffle=request.shuffle,
        limits=Limits(
            turns=request.max_turns, tokens=request.max_tokens, cost=request.max_cost, seconds=request.max_seconds
        ),
        sampling=request.sampling,
        token_ids=request.token_ids,
        withhold=hosted_tools((request.withhold or "").split(",")),
        user_model=request.user_model,
        request=msgspec.to_builtins(request),
        run=run or new_id("run"),
    )


def chosen_model(request: Request, environment: Environment) -> str:
    """The model that was named, or the environment's own.

    Raises:
        ConfigurationError: neither is there.
    """
    model = request.model or environment.default_model
    if model is None:
        raise ConfigurationError(
            f"Environment {environment.name} comes with no model of its own. Name one: --model gpt-5-mini "
            "(with OPENAI_API_KEY set), or --model NAME --base-url http://localhost:8000/v1."
        )
    return model


def named_dialects(names: str | None) -> Sequence[str]:
    """The dialects of a list with commas; of none, those that an API of one's own is taken to speak."""
    from drawbar.proxy.models import CUSTOM_DIALECTS

    return CUSTOM_DIALECTS if names is None else [name.strip() for name in names.split(",")]


def models_for(request: Request, environment: Environment) -> Models:
    """How model names are resolved in this run.

    Raises:
        ConfigurationError: the variable that should hold a key is not set, or nothing is known of the model, of a
            judge's or of the user's.
    """
    from drawbar.proxy.models import Models
    from drawbar.proxy.upstream import UpstreamError

    key = None
    if request.api_key_env is not None:
        key = os.environ.get(request.api_key_env)
        if not key:
            raise ConfigurationError(f"{request.api_key_env} is not set, which --api-key-env names.")
    models = Models(
        in_process=environment.models,
        base_url=request.base_url,
        dialects=named_dialects(request.upstream_dialects),
        tokens=request.upstream_tokens,
        api_key=key,
        fallbacks=request.fallbacks,
        concurrency=request.upstream_concurrency,
    )
    user_models = environment.user_models if request.user_model is None else [request.user_model]
    for model in (chosen_model(request, environment), *environment.judge_models, *user_models):
        try:
            models.check(model)
        except UpstreamError as error:
            raise ConfigurationError(f"Model {model} cannot be asked. {error}") from error
    return models
