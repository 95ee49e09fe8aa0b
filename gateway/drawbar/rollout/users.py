"""Before a run begins: can its harness talk with the users of its tasks, and can their models be asked at all?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from drawbar.errors import ConfigurationError, UserError
from drawbar.harness import Harness
from drawbar.rollout.harnesses import harness_factory, installed_harnesses
from drawbar.task import Task
from drawbar.user import Conversation, ModelUser, User, spoken


def check_users(harness: Harness, tasks: Iterable[Task], user_of: Callable[[Task], User | None]) -> None:
    """Look at the users of these tasks.

    Raises:
        ConfigurationError: one has more to say and the harness plays one request alone, or a template asks for what a
        task does not have.
    """
    for task in tasks:
        user = user_of(task)
        if user is None:
            continue
        if not getattr(harness, "asks_user", False):
            raise ConfigurationError(
                f"Task {task.key!r} has a user who has more to say after the agent's first answer, and harness "
                f"{harness.name} can play one request alone. These go on: {', '.join(_asking())}. (A harness of your "
                "own: ask at Assignment.user_url, and give it `asks_user = True`.)"
            )
        if isinstance(user, ModelUser):
            try:
                user.render(Conversation(task=task, messages=spoken(task), played=0))
            except UserError as error:
                raise ConfigurationError(f"Task {task.key!r}: {error}") from error


def _asking() -> list[str]:
    """The installed harnesses that can."""
    found = []
    for name in installed_harnesses():
        with suppress(ConfigurationError):
            if getattr(harness_factory(name), "asks_user", False):
                found.append(name)
    return found
