"""Rollouts that TRL plays: each a session of one run, its tools called through a gateway, scored by the rubric.

Which tokens the model was shown and said stays with TRL; the record has the messages, the tool calls and the scores.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import msgspec

from drawbar.causes import CAUSES
from drawbar.cli.output import store_url
from drawbar.environment import Environment
from drawbar.errors import ToolServerError
from drawbar.gateway import Gateway
from drawbar.ids import new_id
from drawbar.record.rows import RunRow
from drawbar.rollout.result import RolloutResult, cause_of, with_scores
from drawbar.score import score, score_group
from drawbar.sessions import Session, SessionSpec
from drawbar.task import Limits, Task
from drawbar.tools.protocol import Json
from drawbar.trajectory import Trajectory
from drawbar.trl.conversation import Told, rows_of
from drawbar.trl.inside import Inside

HARNESS = "trl"


@dataclass(eq=False)
class Rollout:
    """One rollout under way."""

    session: Session
    task: Task
    began: float
    called: list[tuple[float, float]] = field(default_factory=list)
    """From when to when each tool call went."""
    trouble: str | None = None
    """Why its tools could not be had."""


@dataclass(frozen=True, slots=True)
class Said:
    """A rollout that is over, and what was said in it, as TRL has it."""

    rollout: Rollout
    prompt: list[Mapping[str, Any]]
    completion: list[Mapping[str, Any]]
    policy_version: str | None
    ended: float = field(default_factory=time.time)


class Playing:
    """One run. Its methods are called from TRL's thread and wait for the gateway's."""

    def __init__(self, environment: Environment, *, store: str | None, model: str) -> None:
        self.environment = environment
        self._model = model
        self._inside = Inside(environment, store_url(store))
        try:
            self.tools = self._inside.ask(self._tools())
        except BaseException:
            self._inside.close()
            raise
        self._row = RunRow(
            id=new_id("run"), environment=environment.name, environment_version=environment.version,
            rubric_version=environment.rubric_version, harness=HARNESS, model=model, rollouts=1, started=time.time(),
        )  # fmt: skip
        self._played: Counter[str] = Counter()
        self._open: set[Rollout] = set()
        self._inside.before_end(self._end)

    @property
    def run(self) -> str:
        """The run's id. It is in the store from its first rollout on."""
        return self._row.id

    def begin(self, task: Task) -> Rollout:
        """Raises `StoreError`. Where the environment's tools cannot be had, the rollout is invalid, and goes on."""
        return self._inside.ask(self._begin(task))

    def call(self, rollout: Rollout, tool: str, arguments: dict[str, Any]) -> str:
        """The words of a tool's result. Raises `StoreError`."""
        return self._inside.ask(self._call(rollout, tool, arguments))

    def finish(self, said: Sequence[Said]) -> list[RolloutResult]:
        """Record what was said, end the rollouts and score them; those of one task are a group. Raises `StoreError`."""
        return self._inside.ask(self._finish(said))

    def abandon(self, rollout: Rollout) -> None:
        """A rollout that nobody asks the reward of."""
        self._inside.ask(self._abandon(self._inside.gateway, rollout))

    def close(self) -> None:
        """End the run. A second time does nothing."""
        self._inside.close()

    async def _tools(self) -> list[Json]:
        if not self.environment.tools and not self.environment.servers:
            return []
        return await (await self._inside.gateway.tool_side()).tools_of(self.environment)

    async def _begin(self, task: Task) -> Rollout:
        gateway, number = self._inside.gateway, self._played[task.hash]
        self._played[task.hash] += 1
        if self._played.total() == 1 or number + 1 > self._row.rollouts:
            self._row = msgspec.structs.replace(self._row, rollouts=number + 1)
            await gateway.record(self._row)
        spec = SessionSpec(
            environment=self.environment.name, task=task, run=self.run, rollout=number, harness=HARNESS,
            model=self._model, limits=Limits(),
        )  # fmt: skip
        trouble = None
        try:
            session = await gateway.open(spec)
        except ToolServerError as error:
            session, trouble = await gateway.sessions.open(spec), str(error)
        rollout = Rollout(session, task, time.time(), trouble=trouble)
        self._open.add(rollout)
        return rollout

    async def _call(self, rollout: Rollout, tool: str, arguments: dict[str, Any]) -> str:
        began = time.time()
        try:
            result = await (await self._inside.gateway.tool_side()).call(rollout.session, tool, arguments)
        except ToolServerError as error:
            rollout.trouble = str(error)
            return f"Error: {error}"
        finally:
            rollout.called.append((began, time.time()))
        return _words(result)

    async def _finish(self, said: Sequence[Said]) -> list[RolloutResult]:
        found: dict[int, Trajectory] = {}

        async def one(number: int) -> None:
            found[number] = await self._scored(said[number])

        async with anyio.create_task_group() as group:
            for number in range(len(said)):
                group.start_soon(one, number)
        groups: dict[str, list[int]] = defaultdict(list)
        for number, each in enumerate(said):
            if CAUSES[cause_of(found[number])].count:
                groups[each.rollout.task.hash].append(number)
        for numbers in groups.values():
            together = [found[number] for number in numbers]
            gateway, judge = self._inside.gateway, self.environment.judge
            rows = await score_group(self.environment.scoring, together, judge=judge, ask=gateway.chat)
            await gateway.record(*rows)
            for number in numbers:
                found[number] = with_scores(found[number], [row for row in rows if row.session == found[number].id])
        return [RolloutResult.of(found[number]) for number in range(len(said))]

    async def _scored(self, said: Said) -> Trajectory:
        gateway, rollout = self._inside.gateway, said.rollout
        self._open.discard(rollout)
        told = Told(said.prompt, said.completion, self.tools, self._model, said.policy_version)
        await gateway.record(*rows_of(rollout.session, told, rollout.began, rollout.called, said.ended))
        stop = "tool_server_failed" if rollout.trouble is not None else _stop(said.completion)
        await gateway.end(rollout.session.id, stop=stop, error=rollout.trouble)
        trajectory = await gateway.checkups.trajectory(rollout.session.id)
        if not CAUSES[cause_of(trajectory)].score:
            return trajectory
        rows = await score(self.environment.scoring, trajectory, judge=self.environment.judge, ask=gateway.chat)
        await gateway.record(*rows)
        return with_scores(trajectory, rows)

    async def _abandon(self, gateway: Gateway, rollout: Rollout) -> None:
        self._open.discard(rollout)
        await gateway.end(rollout.session.id, stop="cancelled")

    async def _end(self, gateway: Gateway) -> None:
        for rollout in list(self._open):
            await self._abandon(gateway, rollout)
        if self._played:
            await gateway.record(msgspec.structs.replace(self._row, status="finished", ended=time.time()))


def _stop(completion: Sequence[Mapping[str, Any]]) -> str:
    """TRL goes on until the model calls no tool, unless a limit of turns or length comes first."""
    last = completion[-1] if completion else {}
    return "completed" if last.get("role") == "assistant" and not last.get("tool_calls") else "limit_turns"


def _words(result: Json) -> str:
    """A tool's result as the model is to see it: its words, as `drawbar run` shows them too."""
    return "\n".join(_of_block(block) for block in result.get("content") or ())


def _of_block(block: Mapping[str, Any]) -> str:
    match block.get("type"):
        case "text":
            return str(block.get("text", ""))
        case "resource" if "text" in block.get("resource", {}):
            return str(block["resource"]["text"])
        case "resource_link":
            return f"[resource: {block.get('uri')}]"
        case kind:
            return f"[{kind}: {block.get('mimeType', 'of unknown type')}]"
