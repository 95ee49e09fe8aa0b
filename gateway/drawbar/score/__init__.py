"""Running a rubric on trajectories: after a rollout, on live traffic, again later. Always the same code, always new
rows."""

from drawbar.score.scoring import Source, score, score_group

__all__ = ["Source", "score", "score_group"]
