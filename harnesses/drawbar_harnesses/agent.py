"""What all command-line agents share: a home and a working directory for each rollout, and how they are run in them.

A harness of one agent is a subclass that says what to install, and writes the agent's configuration in `start`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import ClassVar

from drawbar.harness import Assignment, Outcome
from drawbar_harnesses.connection import Stopped, connected, next_from_user
from drawbar_harnesses.connections import SERVER as SERVER
from drawbar_harnesses.desk import Desk, laid
from drawbar_harnesses.installs import NpmProgram
from drawbar_harnesses.launch import Programs, Start

LONG = 86_400
"""Seconds, in place of an agent's own patience with a model or a tool: the rollout's limit is kept outside."""


class CommandLineAgent(ABC):
    """Options of each:

    `timeout`: seconds; the task's limit of wall time holds as well.
    `own_tools`: let the agent use its own tools (shell, files, web) beside those of the environment. They are not
    confined to the rollout's directories: say so only where the whole run is in a sandbox.

    Raises:
        ConfigurationError: the agent is not installed.
    """

    install: ClassVar[NpmProgram]
    dialect: ClassVar[str]
    mcp: ClassVar[str | None]
    """The newest revision of MCP that it speaks."""
    asks_user: ClassVar[bool] = False
    """Whether, started at a desk where the user has replied, it goes on with the conversation that it had there."""

    def __init__(self, *, timeout: float | None = None, own_tools: bool = False) -> None:
        self.name = self.install.label
        self.own_tools = own_tools
        self._program, self._node = self.install.need()
        self._programs = Programs(timeout)

    async def __aenter__(self) -> CommandLineAgent:
        await self._programs.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._programs.__aexit__(*exception)

    async def run(self, assignment: Assignment, /) -> Outcome:
        async with laid(assignment) as desk:
            return await self.work(desk)

    async def work(self, desk: Desk) -> Outcome:
        """The prompt, answered, and what the user says to that: for each the agent is started anew."""
        while True:
            outcome = await self._programs.run(self.start(desk), desk.assignment)
            if outcome.stop != "completed" or desk.assignment.user_url is None:
                return outcome
            try:
                async with connected() as client:
                    said = await next_from_user(client, desk.assignment, desk.replied)
            except Stopped as stop:
                return Outcome(stop.cause, stop.error, outcome.output)
            if said is None:
                return outcome
            desk = desk.after(said)

    @abstractmethod
    def start(self, desk: Desk) -> Start:
        """Write the agent's configuration below the desk's home; how to start it then."""

    def started(self, desk: Desk, *arguments: str, **variables: str) -> Start:
        """The agent with these arguments and variables, in an environment that keeps it at its desk.

        The prompt is its standard input: prompts may be longer than arguments can be, and may look like options.
        """
        command, env = [str(self._program), *arguments], self._environment(desk) | variables
        return Start(command, env, desk.workdir, self.name, stdin=desk.write("prompt.txt", desk.prompt))

    def _environment(self, desk: Desk) -> dict[str, str]:
        environment = desk.environment
        return environment | {"PATH": os.pathsep.join([str(self._node), environment.get("PATH", os.defpath)])}
