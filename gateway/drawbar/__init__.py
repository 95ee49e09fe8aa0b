"""drawbar: couple any agent harness and any model to environments; record every trajectory and score it.

Importing this package has no side effects and loads nothing heavy: names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drawbar.environment import Environment
    from drawbar.harness import Assignment, Harness, Outcome
    from drawbar.judging import Judge, Verdict, judge
    from drawbar.loading import load_environment
    from drawbar.model import Model
    from drawbar.rubric import Rubric, Scorer, group_reward, metric, reward
    from drawbar.server import CassetteServer, CommandServer, PythonServer, UrlServer
    from drawbar.task import Limits, Task
    from drawbar.taskfile import TaskFile
    from drawbar.tools.cassettes.settings import Cassette
    from drawbar.trajectory import Call, Finding, Node, Score, ToolCall, Trajectory
    from drawbar.user import Conversation, ModelUser, ReplayUser, User

__all__ = [
    "Assignment",
    "Call",
    "Cassette",
    "CassetteServer",
    "CommandServer",
    "Conversation",
    "Environment",
    "Finding",
    "Harness",
    "Judge",
    "Limits",
    "Model",
    "ModelUser",
    "Node",
    "Outcome",
    "PythonServer",
    "ReplayUser",
    "Rubric",
    "Score",
    "Scorer",
    "Task",
    "TaskFile",
    "ToolCall",
    "Trajectory",
    "UrlServer",
    "User",
    "Verdict",
    "group_reward",
    "judge",
    "load_environment",
    "metric",
    "reward",
]

__version__ = "0.1.0"

_HOMES = {
    "environment": ("Environment",),
    "harness": ("Assignment", "Harness", "Outcome"),
    "judging": ("Judge", "Verdict", "judge"),
    "loading": ("load_environment",),
    "model": ("Model",),
    "rubric": ("Rubric", "Scorer", "group_reward", "metric", "reward"),
    "server": ("CassetteServer", "CommandServer", "PythonServer", "UrlServer"),
    "task": ("Limits", "Task"),
    "taskfile": ("TaskFile",),
    "tools.cassettes.settings": ("Cassette",),
    "trajectory": ("Call", "Finding", "Node", "Score", "ToolCall", "Trajectory"),
    "user": ("Conversation", "ModelUser", "ReplayUser", "User"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'drawbar' has no attribute {name!r}")
    return getattr(import_module(f"drawbar.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
