"""The `drawbar` command itself: which commands there are, and what a user sees when something goes wrong."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from drawbar import __version__
from drawbar.errors import ConfigurationError, HarnessError, StoreError, ToolServerError, UnknownName

COMMANDS: Final = {
    "run": "Run an environment with a model and report.",
    "serve": "Serve the gateway for agents of your own.",
    "connect": "Connect an agent that you have to a gateway.",
    "config": "Show and check the configuration of the server.",
    "keys": "Make, list and revoke keys for clients of the server.",
    "env": "List, show, make and validate environments.",
    "harness": "List and install harnesses that can run an agent.",
    "runs": "List the runs in a store.",
    "show": "Show a run's report, or a session as a person likes to read it.",
    "watch": "Watch sessions as they work, end and are scored.",
    "sessions": "List sessions that a filter means, live ones and rollouts.",
    "stats": "Count sessions, tokens, cost and rewards, by any columns.",
    "score": "Score recorded sessions with a new or changed rubric.",
    "compare": "Compare two runs, paired by task, or live traffic before and after.",
    "alerts": "List alerts and how they stand; try their webhooks.",
    "feedback": "Say what a session's work was worth.",
    "capture": "Make an environment of recorded sessions.",
    "export": "Write sessions into a file that a trainer loads.",
    "import": "Take sessions out of files, our own and other programs'.",
    "prune": "Delete old sessions, and what only they needed.",
    "cassette": "Make, show and compare cassettes: recorded tool calls.",
    "version": "Print the version.",
}
"""Each is a file beside this one that holds a `typer.Typer` named `app`."""
USER_ERRORS: Final = (ConfigurationError, UnknownName, StoreError, HarnessError, ToolServerError)
"""What a message alone explains; anything else is a fault of ours."""


class _LazyGroup(TyperGroup):
    """Knows its commands by name and help; imports the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, text in COMMANDS.items():
            self.add_command(TyperCommand(name, help=text))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if command is None else _load(str(name)), rest


def _load(name: str) -> Any:
    module = f"{name}_" if iskeyword(name) else name
    command = typer.main.get_command(import_module(f"drawbar.cli.{module}").app)
    command.name = name
    return command


app = typer.Typer(
    name="drawbar", cls=_LazyGroup, no_args_is_help=True, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"drawbar {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Couple any agent and any model to environments; record every trajectory and score it."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command.

    Exit status: 0 done, 1 found wanting or a fault of ours, 2 a mistake of the user's, 130 interrupted.
    """
    try:
        typer.main.get_command(app).main(args=arguments, prog_name="drawbar")
    except Exception as error:
        _explain(error)
    raise AssertionError("A command line ends with an exit status.")


def _explain(error: BaseException) -> NoReturn:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    debugging = bool(os.environ.get("DRAWBAR_DEBUG"))
    if debugging:
        traceback.print_exception(error)
    if isinstance(error, USER_ERRORS):
        _fail(str(error), 2)
    hint = "" if debugging else "\nSee where it happened with DRAWBAR_DEBUG=1, and please report it."
    _fail(f"A fault in drawbar or in an environment's code: {type(error).__name__}: {error}{hint}", 1)


def _fail(message: str, status: int) -> NoReturn:
    typer.echo(f"{typer.style('Error:', fg='red', bold=True)} {message}", err=True)
    sys.exit(status)
