"""Logs of Inspect AI (`.eval`): a zip file with a header, and a member for each sample.

Reference: inspect_ai 0.3 (`inspect_ai.log.EvalLog`, `EvalSample`). A sample is a session; its model events are the
calls, but for those of scorers. Where a log has no events, each message that the model generated is one. Messages of
events stand in a pool, long texts and pictures among the attachments.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from drawbar.importing.building import packet
from drawbar.importing.conversation import Conversation, Exchange, Given, OfRun, Outcome
from drawbar.importing.inspect_messages import Messages
from drawbar.importing.opening import Source
from drawbar.importing.packet import Damage, Item
from drawbar.importing.tasks import task_of
from drawbar.importing.times import seconds
from drawbar.importing.zipped import Zipped
from drawbar.wire.dialect import Usage
from drawbar.wire.tolerant import load_whole

_LIMITS: Final = {
    "context": "context_overflow", "time": "limit_time", "working": "limit_time", "message": "limit_turns",
    "turn": "limit_turns", "token": "limit_tokens", "cost": "limit_cost",
}  # fmt: skip
_STATUS: Final = {"success": "finished", "started": "interrupted", "cancelled": "interrupted", "error": "failed"}
_FINISH: Final = {"max_tokens": "length", "model_length": "length"}
_WORDS: Final = {"c": 1.0, "i": 0.0, "p": 0.5, "n": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
"""What Inspect's own metrics take these values for."""
_DAMAGE: Final = (ValueError, TypeError, AttributeError, LookupError)


def recognises(source: Source) -> bool:
    if not source.beginning().startswith(b"PK"):
        return False
    try:
        with Zipped(source.path) as log:
            return "header.json" in log or "_journal/start.json" in log
    except ValueError:
        return source.path.suffix == ".eval"


def read(source: Source) -> Iterator[Item]:
    try:
        with Zipped(source.path) as log:
            yield from _samples(log, source)
    except ValueError as error:
        yield Damage("the file", str(error))


def _samples(log: Zipped, source: Source) -> Iterator[Item]:
    header = load_whole(log.read("header.json" if "header.json" in log else "_journal/start.json"))
    for name, offset in log.names():
        if not name.startswith("samples/") or not name.endswith(".json"):
            continue
        try:
            body = log.read(name)
            yield packet(_conversation(_current(load_whole(body)), header, body), "inspect", name, source)
        except _DAMAGE as error:
            yield Damage(name, f"{error}" if isinstance(error, ValueError) else f"it is no sample: {error!r}")
        source.heard(offset)


def _current(sample: dict[str, Any]) -> dict[str, Any]:
    """A sample as logs have it today; early ones had a transcript, and one score."""
    told = sample.get("transcript") or {}
    old = {"events": told.get("events"), "attachments": told.get("content")} if told else {}
    if sample.get("score") is not None and "scores" not in sample:
        old["scores"] = {"score": sample["score"]}
    return {**sample, **old}


def _conversation(sample: dict[str, Any], header: dict[str, Any], body: bytes) -> Conversation:
    losses: Counter[str] = Counter()
    messages = Messages(sample, losses)
    events = [event for event in sample.get("events") or () if isinstance(event, dict)]
    exchanges = list(_of_events(events, messages)) or list(_of_messages(sample, messages))
    spec, error, limit = header["eval"], sample.get("error"), sample.get("limit")
    if sample.get("store"):
        losses["the state that solvers keep (`store`)"] += 1
    return Conversation(
        content=body,
        exchanges=exchanges,
        outcomes=_outcomes(events),
        scores=list(_scores(sample.get("scores") or {})),
        id=sample.get("uuid"),
        run=_run(spec, header),
        environment=spec.get("task"),
        environment_version=str(spec["task_version"]) if spec.get("task_version") is not None else None,
        task=_task(sample, messages),
        rollout=max(int(sample.get("epoch") or 1) - 1, 0),
        harness=spec.get("solver") or "inspect",
        model=spec.get("model"),
        stop="harness_failed" if error else _LIMITS.get(limit["type"], "agent_failed") if limit else "completed",
        error=error.get("message") if isinstance(error, dict) else None,
        started=seconds(sample.get("started_at")),
        ended=seconds(sample.get("completed_at")),
        metadata=sample.get("metadata") or {},
        origin={"version": (spec.get("packages") or {}).get("inspect_ai"), "sample": sample.get("id")},
        losses=losses,
    )


def _run(spec: Mapping[str, Any], header: Mapping[str, Any]) -> OfRun:
    stats = header.get("stats") or {}
    return OfRun(
        id=str(spec.get("eval_id") or spec.get("run_id")),
        rollouts=int((spec.get("config") or {}).get("epochs") or 1),
        status=_STATUS.get(header.get("status", "started"), "finished"),
        started=seconds(stats.get("started_at")) or seconds(spec.get("created")),
        ended=seconds(stats.get("completed_at")),
    )


def _task(sample: Mapping[str, Any], messages: Messages) -> Any:
    given = sample.get("input")
    choices = {"choices": sample["choices"]} if sample.get("choices") else {}
    return task_of(
        given if isinstance(given, str) else [messages.chat(message) for message in given or ()],
        answer=sample.get("target"),
        key=sample.get("id"),
        info={**(sample.get("metadata") or {}), **choices},
    )


def _of_events(events: list[dict[str, Any]], messages: Messages) -> Iterator[Exchange]:
    scoring = _of_scorers(events)
    for event in events:
        if event.get("event") != "model" or event.get("span_id") in scoring or event.get("pending"):
            continue
        output = event.get("output") or {}
        choice: dict[str, Any] = next(iter(output.get("choices") or ()), {})
        failed = event.get("error") is not None or "message" not in choice
        finish = None if failed else choice.get("stop_reason")
        yield Exchange(
            asked=messages.asked(event),
            reply=None if failed else messages.chat(choice["message"]),
            model=event.get("model"),
            tools=[_tool(tool) for tool in event.get("tools") or ()],
            sampling={name: it for name, it in (event.get("config") or {}).items() if it is not None},
            finish=_FINISH.get(finish or "", finish),
            error=event.get("error"),
            usage=_usage(output.get("usage") or {}),
            started=seconds(event.get("timestamp")),
            ended=seconds(event.get("completed")),
        )


def _of_scorers(events: list[dict[str, Any]]) -> set[str]:
    """The spans in which scorers are at work: what models say there is no part of the sample."""
    found: set[str] = set()
    for event in events:
        if event.get("event") == "span_begin" and (
            event.get("type") in ("scorer", "scorers") or event.get("parent_id") in found
        ):
            found.add(str(event["id"]))
    return found


def _of_messages(sample: Mapping[str, Any], messages: Messages) -> Iterator[Exchange]:
    said: list[dict[str, Any]] = []
    for given in sample.get("messages") or ():
        message = messages.chat(given)
        if message["role"] == "assistant" and given.get("source") in (None, "generate"):
            yield Exchange(asked=list(said), reply=message, model=given.get("model"))
        said.append(message)


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: tool[name] for name in ("name", "description", "parameters") if tool.get(name) is not None}
    return {"type": "function", "function": told}


def _usage(told: Mapping[str, Any]) -> Usage:
    if not told:
        return Usage()
    cached, written = told.get("input_tokens_cache_read"), told.get("input_tokens_cache_write")
    return Usage(
        prompt_tokens=told.get("input_tokens", 0) + (cached or 0) + (written or 0),
        completion_tokens=told.get("output_tokens"),
        cached_tokens=cached,
        reasoning_tokens=told.get("reasoning_tokens"),
        cost=told.get("total_cost"),
    )


def _outcomes(events: list[dict[str, Any]]) -> dict[str, Outcome]:
    return {
        event["id"]: Outcome(
            error=(event.get("error") or {}).get("message"),
            started=seconds(event.get("timestamp")),
            ended=seconds(event.get("completed")),
        )
        for event in events
        if event.get("event") == "tool"
    }


def _scores(scores: Mapping[str, Any]) -> Iterator[Given]:
    """The first scorer's value is the reward, unless it has several; Inspect itself weighs nothing."""
    for number, (scorer, score) in enumerate(scores.items()):
        value, why = score.get("value"), score.get("explanation")
        if isinstance(value, Mapping):
            for name, each in value.items():
                yield Given(name=f"{scorer}/{name}", value=_number(each), explanation=why)
            continue
        told = _number(value)
        error = None if told is not None else f"its value is no number: {str(value)[:200]}"
        weight = 1.0 if number == 0 else 0.0
        yield Given(name=scorer, value=told, weight=weight, explanation=why, error=error)


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = _WORDS[value.lower()] if value.lower() in _WORDS else float(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
