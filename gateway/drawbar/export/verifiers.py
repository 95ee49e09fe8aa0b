"""Traces of Prime Intellect's verifiers (`traces.jsonl`): an episode with one trace for each conversation.

Reference: verifiers 0.4 (`verifiers.v1.episode.Episode`, `trace.Trace`, `graph.MessageNode`). A trained reply is a
`sampled` node; one that another conversation trains is not. Token ids are told where those of a conversation's prompts
each go on from what came before, so that the nodes' tokens, one after the other, are what the model saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from drawbar import __version__
from drawbar.export.around import around, calls_of, scores_of, whole
from drawbar.export.chat_form import ChatForm, ChatMessage, is_picture
from drawbar.export.format import Column, Need, Row
from drawbar.export.losses import Losses
from drawbar.export.sample import Sample
from drawbar.task import Task
from drawbar.trajectory import Call
from drawbar.wire.message import Media

_VERSION: Final = 1
"""Of verifiers' trace schema."""
_FINISH: Final = {
    "stop": "stop", "end_turn": "stop", "stop_sequence": "stop", "completed": "stop", "length": "length",
    "max_tokens": "length", "tool_calls": "tool_calls", "tool_use": "tool_calls", "function_call": "tool_calls",
}  # fmt: skip
_STOPS: Final = {
    "completed": "agent_completed", "limit_turns": "max_turns", "limit_tokens": "max_total_tokens",
    "limit_time": "agent_timeout",
}  # fmt: skip
_ENDPOINTS: Final = {"chat": "/chat/completions", "responses": "/responses", "messages": "/messages"}

Node = dict[str, Any]


def _picture(media: Media) -> dict[str, Any] | None:
    return {"type": "image_url", "image_url": {"url": media.url}} if is_picture(media) else None


_FORM: Final = ChatForm(picture=_picture, reasoning="reasoning_content")


@dataclass(frozen=True)
class Verifiers:
    """`{"id": "...", "env": {...}, "task": {...}, "ok": true, "traces": [{"nodes": [...], "calls": [...], ...}]}`"""

    tokens: bool = True
    """Whether token ids are told, where they were recorded."""
    name = "verifiers"
    needs: frozenset[Need] = frozenset({"trajectory"})
    columns: Mapping[str, Column] | None = None

    def without_tokens(self) -> Verifiers:
        """The same, with nothing but words."""
        return replace(self, tokens=False)

    def rows(self, sample: Sample, losses: Losses) -> Iterator[Row]:
        session, task = whole(sample), _task(sample)
        counted = session.status == "ended" and bool(sample.facts.valid)
        trace = {
            "version": _VERSION,
            "id": sample.name,
            "verifiers": {"version": f"drawbar {__version__}"},
            "task": task,
            "agent": {"config": _agent(sample), "name": sample.thread},
            "tools": _tools(sample),
            **self._graph(sample, losses),
            **_scores(sample),
            "info": {"drawbar": around(sample)},
            "is_completed": session.status == "ended",
            "ok": counted,
            "stop_condition": _STOPS.get(session.stop or "", session.stop),
            "is_timeout": session.stop == "limit_time",
            "errors": [{"type": session.stop or "error", "message": session.error}] if session.error else [],
            "timing": {"start": session.started, "agent": {"start": session.started, "end": session.ended or 0.0}},
        }
        for what in sample.offered.lost:
            losses.note(what)
        episode = {"id": session.id, "env": {"id": session.environment or ""}, "task": task, "ok": counted}
        run = {"run": {"type": "eval", "id": session.run}} if session.run is not None else {}
        yield {**episode, **run, "is_timeout": trace["is_timeout"], "errors": trace["errors"], "traces": [trace]}

    def _graph(self, sample: Sample, losses: Losses) -> dict[str, Any]:
        known, nodes, calls = calls_of(sample), list[Node](), list[dict[str, Any]]()
        made: list[tuple[Node, Call]] = []
        for said, trained, id in zip(_FORM.messages(sample, losses), sample.trained, sample.calls, strict=True):
            call = known.get(id or "")
            for message in said:
                own = call is not None and message["role"] == "assistant"
                node: Node = {"parent": len(nodes) - 1 if nodes else None, "message": _message(message)}
                node |= {
                    "sampled": own and trained,
                    "timestamp": call.ended or call.started if call else sample.facts.started,
                }
                if own and call is not None:
                    made.append((node, call))
                    calls.append(_call(call, len(nodes)))
                nodes.append(node)
        if nodes and (tools := _tools(sample)):
            nodes[0]["tools"] = tools
        if self.tokens and any(call.tokens is not None for _, call in made) and not _with_tokens(nodes, made):
            losses.note("token ids of conversations in which prompts do not go on from what came before")
        return {"nodes": nodes, "calls": calls}


def _with_tokens(nodes: Sequence[Node], made: Sequence[tuple[Node, Call]]) -> bool:
    """Give the nodes their tokens, each prompt's new ones to the reply that it led to; whether they fit together."""
    before: list[int] = []
    found: list[dict[str, Any]] = []
    for node, call in made:
        told = call.tokens
        if told is None or told.prompt_token_ids is None or told.token_ids is None:
            return False
        prompt, reply = list(told.prompt_token_ids), list(told.token_ids)
        if prompt[: len(before)] != before:
            return False
        new, before = prompt[len(before) :], prompt + reply
        own = bool(node["sampled"])
        tokens: dict[str, Any] = {"token_ids": new + reply, "mask": [False] * len(new) + [own] * len(reply)}
        if own and told.logprobs is not None and len(told.logprobs) == len(reply):
            tokens["logprobs"] = list(told.logprobs)
        found.append(tokens)
    for (node, _), tokens in zip(made, found, strict=True):
        node |= tokens
    return True


def _message(said: ChatMessage) -> dict[str, Any]:
    found = {name: it for name, it in said.items() if name != "tool_calls" and it is not None}
    if "tool_calls" in said:
        found["tool_calls"] = [{"id": it["id"], "type": "function", **it["function"]} for it in said["tool_calls"]]
    return found


def _call(call: Call, node: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        "node": node, "model": call.model, "endpoint": _ENDPOINTS.get(call.dialect),
        "finish_reason": _FINISH.get((call.finish or "").lower()), "usage": _usage(call),
        "time": {"start": call.started, "end": call.ended or call.started},
    }  # fmt: skip
    return {name: it for name, it in told.items() if it is not None}


def _usage(call: Call) -> dict[str, Any] | None:
    """Prompt tokens are those that were not read from a cache."""
    if call.prompt_tokens is None or call.completion_tokens is None:
        return None
    told: dict[str, Any] = {
        "prompt_tokens": max(call.prompt_tokens - (call.cached_tokens or 0), 0),
        "completion_tokens": call.completion_tokens, "cached_input_tokens": call.cached_tokens,
        "reasoning_tokens": call.reasoning_tokens, "cost": call.cost,
    }  # fmt: skip
    return {name: it for name, it in told.items() if it is not None}


def _tools(sample: Sample) -> list[dict[str, Any]]:
    return [{"type": "function", **tool["function"]} for tool in sample.tools]


def _task(sample: Sample) -> dict[str, Any]:
    task = sample.task
    if task is None:
        asked = next((message.text for message in sample.messages if message.role == "user"), "")
        return {"type": "Live", "data": {"prompt": asked}}
    data = {**dict(task.info), "name": task.key, "prompt": _prompt(task)}
    if task.system is not None:
        data["system_prompt"] = task.system
    if task.answer is not None:
        data["answer"] = task.answer
    return {"type": sample.facts.environment or "Task", "data": data, "key": task.key, "hash": task.hash}


def _prompt(task: Task) -> Any:
    return task.prompt if isinstance(task.prompt, str) else [_message(dict(message)) for message in task.prompt]


def _agent(sample: Sample) -> dict[str, Any]:
    found: dict[str, Any] = {"harness": {"id": sample.facts.harness}} if sample.facts.harness else {}
    return {**found, "model": sample.facts.model} if sample.facts.model else found


def _scores(sample: Sample) -> dict[str, Any]:
    rewards: dict[str, Any] = {}
    metrics: dict[str, float | None] = {}
    for score in scores_of(sample):
        if score["weight"]:
            value = score.get("value")
            rewards[score["name"]] = None if value is None else {"score": value, "weight": score["weight"]}
        else:
            name = f"feedback/{score['name']}" if score["kind"] == "feedback" else score["name"]
            metrics[name] = score.get("value")
    return {"rewards": rewards, "metrics": metrics}


FORMAT: Final = Verifiers()
