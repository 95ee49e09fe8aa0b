"""The kinds of file that can be imported, by name, and which of them a file is."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final, cast

from drawbar.errors import ConfigurationError, UnknownName
from drawbar.importing.opening import Source
from drawbar.importing.packet import Format

FORMATS: Final[Mapping[str, str]] = {
    "raw": "drawbar's own, of `drawbar export raw`",
    "inspect": "a log of Inspect AI (.eval)",
    "verifiers": "traces of Prime Intellect's verifiers (traces.jsonl)",
    "atif": "Agent Trajectory Interchange Format (Harbor), one JSON file each or one to a line",
    "chat": "OpenAI chat messages: fine-tuning files, and plain `messages`, a conversation on each line",
}
"""Every format by name, in the order in which a file is tried; each is the module of that name beside this one."""


def format_named(name: str) -> Format:
    """The format of this name.

    Raises:
        UnknownName: there is none; the message names near ones.
    """
    if name not in FORMATS:
        raise UnknownName("format to import", name, FORMATS)
    return cast(Format, import_module(f"drawbar.importing.{name}"))


def format_of(source: Source) -> str:
    """The name of a file's format.

    Raises:
        ConfigurationError: it is of none that is known.
    """
    for name in FORMATS:
        if format_named(name).recognises(source):
            return name
    known = ", ".join(FORMATS)
    raise ConfigurationError(
        f"{source.path} is of no format that can be imported ({known}), or is damaged from its beginning. "
        "If you know better, name it with --format."
    )
