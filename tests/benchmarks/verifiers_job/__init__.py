"""The job of three model calls and two tool calls as a verifiers 0.4 taskset; all share one tool server."""

from __future__ import annotations

import verifiers.v1 as vf

from verifiers_job.search import SearchToolset


class JobData(vf.TaskData):  # type: ignore[misc]
    """Nothing beside the prompt."""


class JobTask(vf.Task[JobData, vf.State, vf.TaskConfig]):  # type: ignore[misc]
    @vf.reward(weight=1.0)  # type: ignore[untyped-decorator]
    async def reward(self, trace: vf.Trace) -> float:
        return 1.0


class JobConfig(vf.TasksetConfig):  # type: ignore[misc]
    num_tasks: int = 5
    tools: vf.SharedToolsetConfig = vf.SharedToolsetConfig()


class JobTaskset(vf.Taskset[JobTask, JobConfig]):  # type: ignore[misc]
    @classmethod
    def toolsets(cls, config: JobConfig) -> list[vf.Toolset]:
        return [SearchToolset(config.tools)]

    def load(self) -> list[JobTask]:
        return [JobTask(JobData(prompt=f"Question {n}?"), self.config.task) for n in range(self.config.num_tasks)]


__all__ = ["JobTaskset"]
