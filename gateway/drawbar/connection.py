"""What an agent that the user has already must be told to work through a gateway: the words of `drawbar connect`.

Which variables, files and commands those are is known beside the harnesses, in objects found by entry point
(`drawbar.connections`). This file knows no agent: it says what such an object is given (`Gate`) and what it answers
(`Setup`). How files are edited is in `drawbar.connecting`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, runtime_checkable

PLACEHOLDER: Final = "drawbar"
"""What stands for a key where the gateway wants none: most agents refuse to start without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Where an agent finds its gateway."""

    base_url: str
    """Without `/v1`; the key of a session is in it where one was opened."""
    mcp_url: str | None = None
    """The tools' endpoint; None: no tools."""
    model: str | None = None
    """As the user said it; None: the agent's own, or the description's example."""
    key_variable: str | None = None
    """The variable that holds the key which the gateway wants of its clients; None: it wants none."""

    @property
    def openai_base_url(self) -> str:
        """What OpenAI SDKs call `base_url`."""
        return self.base_url + "/v1"

    @property
    def key(self) -> str:
        """The key as a shell reads it: `$DRAWBAR_KEY`, or a placeholder."""
        return PLACEHOLDER if self.key_variable is None else f"${self.key_variable}"

    def headers(self, reference: str) -> dict[str, dict[str, str]]:
        """`headers` of an MCP server, for configurations that name a variable by this reference; nothing without a key.

        `reference` holds `NAME` where the variable's name belongs: `${NAME}`, `{env:NAME}`.
        """
        if self.key_variable is None:
            return {}
        return {"headers": {"Authorization": f"Bearer {reference.replace('NAME', self.key_variable)}"}}


Mode = Literal["set", "default", "add"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of a configuration file."""

    path: tuple[str, ...]
    """The keys that lead to it, from the file's root."""
    value: Any
    """What JSON can say."""
    mode: Mode = "set"
    """`set` replaces what stands there; `default` leaves it; `add` adds the value to the list that is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A configuration file and what belongs into it. Its name says its format: `.json`, `.jsonc`, `.toml`, `.env`."""

    settings: Sequence[Setting]
    project: str | None = None
    """Where it lies in a project; None: this agent reads no such file there."""
    user: str | None = None
    """Where it lies in the user's home; None: as above."""
    moved: tuple[str, str] | None = None
    """A variable that names the folder which stands in place of the beginning of `user`, and that beginning."""
    variants: Sequence[str] = ()
    """Other names that the file may have: one that is there is taken for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How an agent is connected, in the order in which a person does it."""

    variables: Mapping[str, str] = field(default_factory=dict)
    """To be set in the shell that starts the agent; values may name others, as `$DRAWBAR_KEY`."""
    kept: Sequence[File] = ()
    """Files that hold those variables for good, in place of the shell."""
    unkept: Sequence[str] = ()
    """Of the variables, those that `kept` cannot hold."""
    files: Sequence[File] = ()
    """Files that are needed beside the variables."""
    once: Sequence[str] = ()
    """Commands that are run once."""
    run: str = ""
    """The command that starts the agent."""
    ask: str = ""
    """The same for one prompt, which stands as `"PROMPT"` in it."""
    code: str = ""
    """A whole program, for what is used from code."""
    program: str = ""
    """The name of a file that would hold it."""
    instead: Mapping[str, str] = field(default_factory=dict)
    """Variables that do the same for the model without a change of code."""
    example: str | None = None
    """The model that was put where one must be named and the user named none."""
    notes: Sequence[str] = ()
    """What is good to know, a sentence each."""


@runtime_checkable
class Connection(Protocol):
    """The description of one agent, framework or SDK: an object at an entry point of `drawbar.connections`."""

    @property
    def title(self) -> str:
        """Its name, as its makers write it."""

    @property
    def kind(self) -> str:
        """What it is, in the plural: `agents`, `frameworks`, `SDKs`."""

    @property
    def dialect(self) -> str: ...

    @property
    def mcp(self) -> str | None:
        """The newest revision of MCP that it speaks; None: it has no MCP."""

    @property
    def needs(self) -> str:
        """What is to be changed, in a few words: `1 variable and 1 file`."""

    def setup(self, gate: Gate, /) -> Setup: ...
