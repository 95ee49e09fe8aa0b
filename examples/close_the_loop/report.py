"""What came of it: a page of Markdown and the curve as a picture."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from examples.close_the_loop.stages import Stage

matplotlib.use("Agg")

_PAGE = """# The loop, closed

Reward on {tasks} held-out tasks, one rollout each, sampled at temperature 1, seed {seed}; {seconds:.0f} s in all.

| model | trained on (rows of the export) | reward | 95 % interval | run |
| --- | --- | --- | --- | --- |
{rows}

![reward after each stage](curve.png)
"""


def write_report(folder: Path, stages: Sequence[Stage], *, tasks: int, seed: int, seconds: float) -> None:
    """`report.md` and `curve.png`."""
    rows = "\n".join(
        f"| {s.name} | {s.trained_on} | {s.reward:.3f} | {s.low:.3f} to {s.high:.3f} | `{s.run}` |" for s in stages
    )
    page = _PAGE.format(tasks=tasks, seed=seed, seconds=seconds, rows=rows)
    (folder / "report.md").write_text(page, encoding="utf-8")
    _draw(folder / "curve.png", stages)


def _draw(path: Path, stages: Sequence[Stage]) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    rewards = [stage.reward for stage in stages]
    below = [stage.reward - stage.low for stage in stages]
    above = [stage.high - stage.reward for stage in stages]
    axes.errorbar([stage.name for stage in stages], rewards, yerr=[below, above], marker="o", capsize=4)
    for number, reward in enumerate(rewards):
        axes.annotate(f"{reward:.0%}", (number, reward), textcoords="offset points", xytext=(8, -4))
    axes.set(ylim=(0, 1.05), ylabel="reward on held-out tasks", title="The same environment is eval and trainer")
    axes.margins(x=0.15)
    axes.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
