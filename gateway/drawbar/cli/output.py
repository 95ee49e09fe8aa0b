"""What commands share: options that mean the same everywhere, and how results and notes are printed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from drawbar.errors import ConfigurationError, UnknownName

if TYPE_CHECKING:
    from drawbar.record.store import Store

DEFAULT_STORE = "drawbar.db"

SHORT = len("run_") + 10
"""Of an id: its time in milliseconds, which tells runs apart as a rule."""

RubricVersion = Annotated[
    str | None,
    typer.Option(
        "--rubric",
        metavar="VERSION",
        help="Whose scores count, of a run that was scored again. Default: the version "
        "that most sessions have, the newest of several.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="URL", help=f"A file or a postgresql:// URL. Default: $DRAWBAR_STORE, or {DEFAULT_STORE}."
    ),
]


def print_json(value: Any) -> None:
    """The value, and nothing else, on standard output."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
    sys.stdout.flush()


def note(message: str) -> None:
    """A line for the person who watches; never on standard output."""
    typer.echo(message, err=True)


def store_url(given: str | None) -> str:
    """Where the store is."""
    return given or os.environ.get("DRAWBAR_STORE") or DEFAULT_STORE


@contextmanager
def reading(given: str | None) -> Iterator[Store]:
    """The store, to read from. It is not made when it is not there.

    Raises:
        ConfigurationError: no such file.
        StoreError: it cannot be read.
    """
    from drawbar.record.store import Store

    url = store_url(given)
    path = url.removeprefix("sqlite:///")
    if "://" not in path and not os.path.exists(path):
        raise ConfigurationError(
            f"There is no store at {path}. `drawbar run` makes one; name another with --store or DRAWBAR_STORE."
        )
    store = Store.open(url, read_only=True)
    try:
        yield store
    finally:
        store.close()


def rubric_of(store: Store, run: str, wanted: str | None) -> tuple[str | None, dict[str, int]]:
    """The rubric version whose scores of a run are shown, and all that there are, with how many sessions have each.

    Raises:
        UnknownName: none has the version that is wanted.
    """
    found = store.rubrics(run)
    if wanted is None:
        return next(iter(found), None), found
    known = [version for version in found if version.startswith(wanted)]
    if len(known) != 1:
        raise UnknownName(f"rubric version in {run}", wanted, found)
    return known[0], found


def counted(number: int, one: str, more: str | None = None) -> str:
    """`1 task`, `2 tasks`; `more` where an `s` does not do."""
    return f"{number} {one if number == 1 else more or one + 's'}"


def ago(seconds: float, when: float) -> str:
    """How long ago; of what is older than a month, the day."""
    if seconds >= 30 * 86400:
        return time.strftime("%Y-%m-%d", time.localtime(when))
    if seconds >= 86400:
        return f"{counted(int(seconds // 86400), 'day')} ago"
    if seconds >= 3600:
        return f"{int(seconds // 3600)} h ago"
    return f"{int(seconds // 60)} min ago" if seconds >= 60 else "just now"


def short_ids(ids: Sequence[str]) -> dict[str, str]:
    """The beginnings by which these ids are told apart; other commands take them for the whole."""
    length = SHORT
    while len({id[:length] for id in ids}) < len(set(ids)):
        length += 1
    return {id: id[:length] for id in ids}


def pairs(given: Sequence[str] | None, option: str) -> dict[str, str]:
    """What `key=value` options say.

    Raises:
        ConfigurationError: one has no `=`.
    """
    found = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigurationError(f"{option} is written key=value: not {text!r}.")
        found[key.strip()] = value
    return found


def numbers(given: Sequence[str] | None, option: str) -> dict[str, float]:
    """As `pairs`, with numbers for values."""
    found = {}
    for key, value in pairs(given, option).items():
        try:
            found[key] = float(value)
        except ValueError:
            raise ConfigurationError(f"{option} {key}=... is a number: not {value!r}.") from None
    return found
