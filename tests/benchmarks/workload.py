"""The environment that the benchmarks run: one tool that answers at once, and any number of tasks."""

from __future__ import annotations

from collections.abc import Iterator

from drawbar import Environment, Task, Trajectory, reward

TOOL = "search"


async def search(query: str) -> str:
    """Search the pages."""
    return f"Nothing is known of {query}."


@reward
def answered(trajectory: Trajectory) -> float:
    """Whether the agent came to an end."""
    return float(bool(trajectory.nodes))


def environment(tasks: int = 0) -> Environment:
    """With so many tasks."""

    def make() -> Iterator[Task]:
        for n in range(tasks):
            yield Task(prompt=f"Question {n}: what moves the tides?", key=f"task-{n}")

    return Environment(name="benchmark", tools=[search], tasks=make, rubric=[answered])
