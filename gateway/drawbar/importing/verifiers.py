"""Traces of Prime Intellect's verifiers: `traces.jsonl`, an episode on each line with the traces of its agents.

Reference: verifiers 0.4 (`verifiers.v1.episode.Episode`, `trace.Trace`, `graph.MessageNode`). A trace is a session: a
graph of messages, of which those that are `sampled` are replies. Lines of `results.jsonl` as earlier versions wrote
them (`prompt`, `completion`, `reward`) are read too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from drawbar.importing.building import packet
from drawbar.importing.conversation import ChatMessage, Conversation, Exchange, Given, OfRun
from drawbar.importing.opening import Source
from drawbar.importing.packet import Damage, Item
from drawbar.importing.tasks import task_of
from drawbar.importing.times import seconds
from drawbar.wire.dialect import Usage
from drawbar.wire.tolerant import dump

_STOPS: Final = {
    "max_turns": "limit_turns", "max_input_tokens": "limit_tokens", "max_output_tokens": "limit_tokens",
    "max_total_tokens": "limit_tokens", "context_length": "context_overflow", "prompt_too_long": "context_overflow",
}  # fmt: skip
_OF_TASK: Final = frozenset({"prompt", "system_prompt", "answer", "idx"})
_DAMAGE: Final = (ValueError, TypeError, AttributeError, LookupError)


def recognises(source: Source) -> bool:
    return any(_is_episode(value) or _is_trace(value) or _is_result(value) for value in source.first_values())


def read(source: Source) -> Iterator[Item]:
    seen: Counter[tuple[str, str]] = Counter()
    for line in source.lines():
        if line.why is not None:
            yield Damage(line.place, line.why)
            continue
        try:
            found = list(_of_line(line.value))
        except _DAMAGE as error:
            yield Damage(line.place, str(error) if isinstance(error, ValueError) else f"it is no trace: {error!r}")
            continue
        for said in found:
            if said.task is not None:
                of = (said.run.id if said.run is not None else "", said.task.hash)
                said.rollout, seen[of] = seen[of], seen[of] + 1
            try:
                yield packet(said, "verifiers", line.place, source)
            except ValueError as error:
                yield Damage(line.place, str(error))


def _is_episode(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("traces"), list) and isinstance(value.get("task"), dict)


def _is_trace(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("nodes"), list) and isinstance(value.get("task"), dict) and "agent" in value


def _is_result(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("completion"), list) and "prompt" in value and "reward" in value


def _of_line(value: Any) -> Iterator[Conversation]:
    if not isinstance(value, dict):
        raise ValueError("it is no trace of verifiers")
    if _is_episode(value):
        for trace in value["traces"]:
            yield _of_trace(trace, value)
    elif _is_trace(value):
        yield _of_trace(value, {})
    elif _is_result(value):
        yield _of_result(value)
    else:
        raise ValueError("it is no trace of verifiers")


def _of_trace(trace: dict[str, Any], episode: Mapping[str, Any]) -> Conversation:
    losses: Counter[str] = Counter()
    agent, task, run = trace.get("agent") or {}, trace.get("task") or {}, episode.get("run") or {}
    config = agent.get("config") or {}
    harness = config.get("harness") or {}
    timing = trace.get("timing") or {}
    exchanges = list(_exchanges(trace, losses))
    errors = [*(trace.get("errors") or ()), *(episode.get("errors") or ())]
    model = config.get("model") or next((it.model for it in exchanges if it.model), None)
    return Conversation(
        content=dump(trace, sort=True),
        exchanges=exchanges,
        scores=list(_scores(trace.get("rewards") or {}, trace.get("metrics") or {})),
        id=trace.get("id"),
        run=OfRun(id=str(run["id"])) if run.get("id") else None,
        environment=(episode.get("env") or {}).get("id") or task.get("type"),
        task=_task(task),
        harness=harness.get("id") if isinstance(harness, dict) else str(harness),
        model=model if isinstance(model, str) else None,
        stop=_stop(trace),
        error=errors[-1].get("message") if errors and not trace.get("ok") else None,
        started=seconds(timing.get("start")),
        ended=seconds((timing.get("scoring") or {}).get("end")) or seconds((timing.get("agent") or {}).get("end")),
        metadata=trace.get("info") or {},
        origin={
            "version": (trace.get("verifiers") or {}).get("version"), "episode": episode.get("id"),
            "agent": agent.get("name"), "stop_condition": trace.get("stop_condition"),
        },
        losses=losses,
    )  # fmt: skip


def _stop(trace: Mapping[str, Any]) -> str:
    said = trace.get("stop_condition") or ""
    if said in _STOPS:
        return _STOPS[said]
    if trace.get("is_timeout") or said.endswith("timeout"):
        return "limit_time"
    return "completed" if trace.get("ok", True) and not said.endswith("error") else "harness_failed"


def _task(task: Mapping[str, Any]) -> Any:
    data = task.get("data") or {}
    prompt = data.get("prompt")
    return task_of(
        prompt if isinstance(prompt, str) else [_chat(message, Counter()) for message in prompt or ()],
        answer=data.get("answer"),
        key=data.get("id") or data.get("name") or (task.get("key") or "")[:12],
        system=data.get("system_prompt"),
        info={name: it for name, it in data.items() if name not in _OF_TASK and it not in (None, [], {})},
    )


def _exchanges(trace: Mapping[str, Any], losses: Counter[str]) -> Iterator[Exchange]:
    nodes = trace.get("nodes") or []
    calls = {call["node"]: call for call in trace.get("calls") or () if call.get("node") is not None}
    if failed := len(trace.get("calls") or ()) - len(calls):
        losses["model calls without a message"] += failed
    said = [_chat(node["message"], losses) for node in nodes]
    for number, node in enumerate(nodes):
        if node.get("semantic_parents"):
            losses["links between conversations (`semantic_parents`)"] += len(node["semantic_parents"])
        if not node.get("sampled"):
            continue
        call, path = calls.get(number) or {}, _path(nodes, node.get("parent"))
        tools = (nodes[path[0]].get("tools") if path else None) or trace.get("tools") or ()
        time = call.get("time") or {}
        yield Exchange(
            asked=[said[at] for at in path],
            reply=said[number],
            model=call.get("model"),
            tools=[_tool(tool) for tool in tools],
            sampling={name: it for name, it in (call.get("sampling") or {}).items() if it is not None},
            finish=call.get("finish_reason"),
            usage=_usage(call.get("usage") or {}),
            tokens=_tokens(node, [nodes[at] for at in path]),
            started=seconds(time.get("start")) or seconds(node.get("timestamp")),
            ended=seconds(time.get("end")),
        )


def _path(nodes: list[Mapping[str, Any]], leaf: int | None) -> list[int]:
    """From the root to this node."""
    found: list[int] = []
    while leaf is not None:
        if len(found) > len(nodes):
            raise ValueError("its messages follow each other in a circle")
        found.append(leaf)
        leaf = nodes[leaf].get("parent")
    return found[::-1]


def _tokens(node: Mapping[str, Any], before: list[Mapping[str, Any]]) -> dict[str, Any]:
    """What the model was given, and what it sampled."""
    ids, mask = node.get("token_ids") or [], node.get("mask") or []
    if not ids or len(ids) != len(mask) or not any(mask):
        return {}
    sampled = [id for id, own in zip(ids, mask, strict=True) if own]
    prompt = [id for each in before for id in each.get("token_ids") or ()]
    prompt += [id for id, own in zip(ids, mask, strict=True) if not own]
    logprobs = node.get("logprobs") or []
    told: dict[str, Any] = {"prompt_token_ids": prompt, "token_ids": sampled}
    return {**told, "logprobs": logprobs} if len(logprobs) == len(sampled) else told


def _chat(message: Mapping[str, Any], losses: Counter[str]) -> ChatMessage:
    role = message["role"]
    if role == "tool":
        return {"role": "tool", "tool_call_id": message.get("tool_call_id"), "content": message.get("content")}
    if role != "assistant":
        return {"role": role, "content": message.get("content")}
    said: ChatMessage = {"role": "assistant", "content": message.get("content")}
    if message.get("reasoning_content"):
        said["reasoning_content"] = message["reasoning_content"]
    if message.get("tool_calls"):
        said["tool_calls"] = [_call(call) for call in message["tool_calls"]]
    if message.get("provider_state"):
        losses["what providers keep of reasoning (`provider_state`)"] += 1
    return said


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(call.get("function"), dict):  # as earlier versions wrote them
        return {"id": call.get("id"), "type": "function", "function": call["function"]}
    name = f"{call['namespace']}.{call['name']}" if call.get("namespace") else call["name"]
    if call.get("type") == "custom":
        return {"id": call["id"], "type": "custom", "custom": {"name": name, "input": call.get("arguments", "")}}
    return {"id": call["id"], "type": "function", "function": {"name": name, "arguments": call.get("arguments", "")}}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(tool.get("function"), dict):
        return dict(tool)
    told = {name: tool[name] for name in ("name", "description", "parameters", "strict") if tool.get(name) is not None}
    return {"type": "function", "function": told}


def _usage(told: Mapping[str, Any]) -> Usage:
    if not told:
        return Usage()
    cached = told.get("cached_input_tokens")
    return Usage(
        prompt_tokens=told.get("prompt_tokens", 0) + (cached or 0),
        completion_tokens=told.get("completion_tokens"),
        cached_tokens=cached,
        reasoning_tokens=told.get("reasoning_tokens"),
        cost=told.get("cost"),
    )


def _scores(rewards: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[Given]:
    for name, reward in rewards.items():
        if reward is None:
            yield Given(name=name, value=None, weight=1.0, error="scoring did not run")
        else:
            yield Given(name=name, value=reward["score"], weight=reward.get("weight", 1.0))
    for name, value in metrics.items():
        yield Given(name=name, value=value, error=None if value is not None else "scoring did not run")


def _of_result(value: dict[str, Any]) -> Conversation:
    """A line of an earlier `results.jsonl`: what was said in a row, and what it was worth."""
    losses: Counter[str] = Counter()
    prompt = value["prompt"]
    asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    before = [_chat(message, losses) for message in asked]
    exchanges: list[Exchange] = []
    tools = [_tool(tool) for tool in value.get("tool_defs") or value.get("oai_tools") or ()]
    for given in value["completion"]:
        message = _chat(given, losses)
        if message["role"] == "assistant":
            exchanges.append(Exchange(asked=list(before), reply=message, tools=tools))
        before.append(message)
    metrics = {name: it for name, it in (value.get("metrics") or {}).items() if isinstance(it, int | float)}
    info = value.get("info")
    return Conversation(
        content=dump(value, sort=True),
        exchanges=exchanges,
        scores=list(_scores({"reward": {"score": value["reward"]}} if value["reward"] is not None else {}, metrics)),
        environment=value.get("env_id") or value.get("task"),
        task=task_of(
            prompt, answer=value.get("answer"), key=value.get("example_id"), info=info if isinstance(info, dict) else {}
        ),
        stop=_stop(value),
        losses=losses,
    )
