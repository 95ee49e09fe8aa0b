"""Trajectories in the Agent Trajectory Interchange Format: one JSON file each, or one to a line.

Reference: Harbor's RFC 0001 and its models (`harbor.models.trajectories`), ATIF-v1.0 to v1.8. A step of the agent is a
model call that was asked with all before it, and its observation what its tools answered. Sub-agents that are embedded
are threads of the same session. Pictures in files beside the trajectory are taken in.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from drawbar.importing.building import packet
from drawbar.importing.conversation import ChatMessage, Conversation, Exchange, Given
from drawbar.importing.opening import Source
from drawbar.importing.packet import Damage, Item
from drawbar.importing.tasks import task_of
from drawbar.importing.times import seconds
from drawbar.wire.dialect import Usage
from drawbar.wire.tolerant import dump

_VERSION: Final = "ATIF-v1."
_LARGEST: Final = 20 << 20
"""Bytes of a picture that is taken in."""
_TOKENS: Final = {
    "prompt_token_ids": "prompt_token_ids", "completion_token_ids": "token_ids", "logprobs": "logprobs",
}  # fmt: skip
_DAMAGE: Final = (ValueError, TypeError, AttributeError, LookupError)


def recognises(source: Source) -> bool:
    return any(_is_trajectory(value) for value in source.first_values())


def read(source: Source) -> Iterator[Item]:
    for place, value, why in _values(source):
        try:
            if why is not None:
                raise ValueError(why)
            if not _is_trajectory(value):
                raise ValueError(f"it is no trajectory of a version that is known ({_VERSION}x)")
            yield packet(_Reader(value, source.path.parent).conversation(), "atif", place, source)
        except _DAMAGE as error:
            yield Damage(place, str(error) if isinstance(error, ValueError) else f"it is no trajectory: {error!r}")


def _values(source: Source) -> Iterator[tuple[str, Any, str | None]]:
    """The trajectories of a file, which is one, or has one on each line; where one cannot be read, why."""
    first = next(iter(source.lines(1)), None)
    if first is None or first.why is None or _has_trajectory(source):
        yield from ((line.place, line.value, line.why) for line in source.lines())
        return
    try:
        yield "the file", source.whole(), None
    except ValueError as error:
        yield "the file", None, str(error)


def _has_trajectory(source: Source) -> bool:
    return any(_is_trajectory(line.value) for line in source.lines(20))


def _is_trajectory(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("schema_version")).startswith(_VERSION) and "steps" in value


class _Reader:
    """One trajectory, with those of its sub-agents."""

    def __init__(self, value: dict[str, Any], folder: Path) -> None:
        self._value = value
        self._folder = folder
        self._losses: Counter[str] = Counter()

    def conversation(self) -> Conversation:
        value = self._value
        agent, extra = value.get("agent") or {}, value.get("extra") or {}
        ours = extra.get("drawbar") or {}
        exchanges = list(self._exchanges(value, None))
        for sub in value.get("subagent_trajectories") or ():
            exchanges += self._exchanges(sub, str(sub.get("trajectory_id")))
        if value.get("continued_trajectory_ref"):
            self._losses["the link to the trajectory that goes on from it"] += 1
        task = ours.get("task") or {}
        return Conversation(
            content=dump(value, sort=True),
            exchanges=_in_time(exchanges),
            scores=list(_scores(ours)),
            id=value.get("trajectory_id") or value.get("session_id"),
            environment=ours.get("environment"),
            task=task_of(task.get("prompt"), answer=task.get("answer"), key=task.get("key"), system=task.get("system"),
                         info=task.get("info")),
            harness=agent.get("name"),
            model=agent.get("model_name"),
            stop=ours.get("stop") or "completed",
            error=ours.get("error"),
            started=seconds(ours.get("started")),
            ended=seconds(ours.get("ended")),
            metadata={**(ours.get("metadata") or {}), **{name: it for name, it in extra.items() if name != "drawbar"}},
            origin={
                "version": value["schema_version"], "session": value.get("session_id"), "notes": value.get("notes"),
                "agent_version": agent.get("version"),
            },
            losses=self._losses,
        )  # fmt: skip

    def _exchanges(self, value: Mapping[str, Any], thread: str | None) -> Iterator[Exchange]:
        agent = value.get("agent") or {}
        said: list[ChatMessage] = []
        for step in value["steps"]:
            message = self._message(step)
            if message["role"] == "assistant" and not step.get("is_copied_context") and step.get("llm_call_count") != 0:
                yield self._exchange(step, message, list(said), agent, thread)
            if message["content"] or len(message) > 2:
                said.append(message)
            said += self._observed(step)

    def _exchange(
        self, step: Mapping[str, Any], message: ChatMessage, asked: list[ChatMessage], agent: Mapping[str, Any],
        thread: str | None,
    ) -> Exchange:  # fmt: skip
        metrics = step.get("metrics") or {}
        if (step.get("llm_call_count") or 1) > 1:
            self._losses["the borders between model calls that are told as one step"] += 1
        more = {"reasoning_effort": step["reasoning_effort"]} if step.get("reasoning_effort") is not None else {}
        return Exchange(
            asked=asked,
            reply=message,
            model=step.get("model_name") or agent.get("model_name"),
            tools=agent.get("tool_definitions") or (),
            sampling=more,
            finish="tool_calls" if message.get("tool_calls") else "stop",
            usage=Usage(
                prompt_tokens=metrics.get("prompt_tokens"),
                completion_tokens=metrics.get("completion_tokens"),
                cached_tokens=metrics.get("cached_tokens"),
                reasoning_tokens=(metrics.get("extra") or {}).get("reasoning_tokens"),
                cost=metrics.get("cost_usd"),
            ),
            tokens={ours: metrics[name] for name, ours in _TOKENS.items() if metrics.get(name) is not None},
            started=seconds(step.get("timestamp")),
            thread=thread,
            purpose="sub_agent" if thread is not None else None,
        )

    def _message(self, step: Mapping[str, Any]) -> ChatMessage:
        content = self._content(step.get("message"))
        if step["source"] != "agent":
            return {"role": step["source"], "content": content}
        said: ChatMessage = {"role": "assistant", "content": _words(content) or None}
        if step.get("reasoning_content"):
            said["reasoning_content"] = step["reasoning_content"]
        if calls := step.get("tool_calls"):
            said["tool_calls"] = [
                {"id": call["tool_call_id"], "type": "function",
                 "function": {"name": call["function_name"],
                              "arguments": dump(call.get("arguments") or {}).decode("utf-8", "replace")}}
                for call in calls
            ]  # fmt: skip
        return said

    def _observed(self, step: Mapping[str, Any]) -> Iterator[ChatMessage]:
        """What the tools answered; what came of itself is told as the user's."""
        for result in (step.get("observation") or {}).get("results") or ():
            content = self._content(result.get("content")) or ""
            for _ in result.get("subagent_trajectory_ref") or ():
                self._losses["links from tool results to sub-agents"] += 1
            if result.get("source_call_id") is not None:
                yield {"role": "tool", "tool_call_id": result["source_call_id"], "content": content}
            elif content:
                yield {"role": "user", "content": content}

    def _content(self, content: Any) -> Any:
        if not isinstance(content, list):
            return content
        return [told for part in content if (told := self._part(part)) is not None]

    def _part(self, part: Mapping[str, Any]) -> dict[str, Any] | None:
        if part["type"] == "text":
            return {"type": "text", "text": part["text"]}
        url = self._url(part["source"])
        if url is None:
            self._losses["pictures and sounds whose files are not there"] += 1
        elif part["type"] == "image":
            return {"type": "image_url", "image_url": {"url": url}}
        elif url.startswith("data:"):
            kind, _, data = url.removeprefix("data:audio/").partition(";base64,")
            return {"type": "input_audio", "input_audio": {"data": data, "format": {"mpeg": "mp3"}.get(kind, kind)}}
        else:
            self._losses["sounds at addresses"] += 1
        return None

    def _url(self, source: Mapping[str, Any]) -> str | None:
        """The address of a picture or sound; of one in a file beside the trajectory its content."""
        path = str(source["path"])
        if "://" in path or path.startswith("data:"):
            return path
        file = (self._folder / path).resolve()
        if not file.is_relative_to(self._folder.resolve()) or not file.is_file() or file.stat().st_size > _LARGEST:
            return None
        return f"data:{source['media_type']};base64,{base64.b64encode(file.read_bytes()).decode()}"


def _words(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if part["type"] == "text")
    return content or ""


def _in_time(exchanges: list[Exchange]) -> list[Exchange]:
    """As they came, where all their times are told."""
    times = [exchange.started for exchange in exchanges]
    return exchanges if None in times else sorted(exchanges, key=lambda exchange: exchange.started or 0.0)


def _scores(ours: Mapping[str, Any]) -> Iterator[Given]:
    """The format has no place for scores; our own exports put them among what is free."""
    for score in ours.get("scores") or ():
        yield Given(name=score["name"], value=score.get("value"), weight=score.get("weight") or 0.0,
                    explanation=score.get("explanation"), error=score.get("error"))  # fmt: skip
