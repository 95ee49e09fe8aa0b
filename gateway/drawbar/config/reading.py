"""Reading the configuration: flags before variables before the file before defaults, and where each value came from."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from drawbar.config.configuration import Configuration
from drawbar.config.settings import Keys, converted, fields, from_text, named_tables_in, table_in, type_of
from drawbar.errors import ConfigurationError, nearest
from drawbar.toml import TomlFile

PREFIX: Final = "DRAWBAR_"
_OTHERS: Final = frozenset({"CONFIG", "DEBUG", "HARNESS_HOME", "MODEL", "GATEWAY", "NO_COLOR"})
"""Variables of ours that are no settings of the server."""
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Effective:
    """A configuration, and where each of its settings comes from."""

    configuration: Configuration
    sources: Mapping[Keys, str]
    """Of all that is not a default: a file with its line, a variable, a flag."""
    folder: Path = field(default_factory=Path)
    """What paths in the file start from."""
    path: Path | None = None
    ignored: tuple[str, ...] = ()
    """What is amiss, but in nobody's way: variables that name no setting."""

    def source(self, *keys: str) -> str:
        """Where a setting (or most of what is in it) comes from."""
        if keys in self.sources:
            return self.sources[keys]
        return next((said for at, said in self.sources.items() if at[: len(keys)] == keys), "default")


def read_configuration(
    path: Path | None = None,
    flags: Mapping[str, tuple[str, Any]] | None = None,
    settings: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
) -> Effective:
    """The effective configuration.

    Args:
        path: a `drawbar.toml`, if there is one.
        flags: by a setting's name, the flag that sets it and its value; None where it was not given.
        settings: what `--set` was given: `NAME=VALUE`.
        variables: the environment variables; left out, the process's own.
        only: the settings that are wanted; of the others nothing is read, and so nothing can be wrong or missing.

    Raises:
        ConfigurationError: a name or a value that means nothing; the message says where it stands.
    """
    variables = os.environ if variables is None else variables
    values: dict[Keys, Any] = {}
    sources: dict[Keys, str] = {}

    def put(keys: Keys, value: Any, source: str) -> None:
        for known in [known for known in values if known[: len(keys)] == keys or keys[: len(known)] == known]:
            if known != keys and keys[: len(known)] == known and isinstance(values[known], dict):
                values.update({(*known, name): each for name, each in values[known].items()})
                sources.update({(*known, name): sources[known] for name in values[known]})
            del values[known], sources[known]
        values[keys], sources[keys] = value, source

    file = TomlFile(path) if path is not None else None
    if file is not None:
        for keys, value in _of_file(file, variables, only):
            put(keys, value, file.place(*keys))
    ignored: list[str] = []
    for name in sorted(variables):
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in _OTHERS and _is_wanted(name, only):
            _of_variable(name, variables[name], put, ignored)
    for name, (flag, value) in (flags or {}).items():
        if value is not None:
            put((name,), _checked((name,), value, flag), flag)
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ConfigurationError(f"--set takes NAME=VALUE, not {setting!r}.")
        keys = tuple(part.strip() for part in name.split("."))
        put(keys, _read(keys, text, f"--set {name}"), f"--set {name}")
    folder = path.resolve().parent if path is not None else Path.cwd()
    return Effective(_whole(values, sources), sources, folder, path, tuple(ignored))


def variable_of(keys: Keys) -> str:
    """The environment variable that sets this."""
    return PREFIX + "__".join(key.upper() for key in keys)


def _is_wanted(variable: str, only: Collection[str] | None) -> bool:
    return only is None or variable.removeprefix(PREFIX).lower().split("__")[0] in only


def _of_file(file: TomlFile, variables: Mapping[str, str], only: Collection[str] | None) -> Iterator[tuple[Keys, Any]]:
    """Each setting that the file has. Raises `ConfigurationError` with the line."""
    table = file.table if only is None else {name: value for name, value in file.table.items() if name in only}
    yield from _of_table(file, table, Configuration, (), variables)


def _of_table(
    file: TomlFile, table: Any, kind: type[msgspec.Struct], above: Keys, variables: Mapping[str, str]
) -> Iterator[tuple[Keys, Any]]:
    known = fields(kind)
    for name, value in _items(file, table, above):
        keys = (*above, name)
        if name not in known:
            raise file.error(f"there is no such setting.{nearest(name, known)}", *keys)
        annotation = known[name]
        if (below := table_in(annotation)) is not None:
            yield from _of_table(file, value, below, keys, variables)
        elif (below := named_tables_in(annotation)) is not None:
            for own, each in _items(file, value, keys):
                yield from _of_table(file, each, below, (*keys, own), variables)
        else:
            try:
                yield keys, converted(_filled(value, variables), annotation)
            except (ValueError, ConfigurationError) as error:
                raise file.error(str(error), *keys) from error


def _items(file: TomlFile, table: Any, keys: Keys) -> list[tuple[str, Any]]:
    if not isinstance(table, Mapping):
        raise file.error(f"it is a table, not {table!r}", *keys)
    return list(table.items())


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    """The value with each `${NAME}` in its texts replaced by that variable."""
    if isinstance(value, dict):
        return {name: _filled(each, variables) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, variables) for each in value]
    if not isinstance(value, str):
        return value
    for name in _VARIABLE.findall(value):
        if name not in variables:
            raise ConfigurationError(f"the environment variable {name} is not set")
    return _VARIABLE.sub(lambda found: variables[found[1]], value)


def _of_variable(name: str, text: str, put: Any, ignored: list[str]) -> None:
    keys = tuple(part.lower() for part in name.removeprefix(PREFIX).split("__"))
    try:
        type_of(keys)
    except ConfigurationError as error:
        ignored.append(f"{name} sets nothing: {error}")
        return
    put(keys, _read(keys, text, name), name)


def _read(keys: Keys, text: str, source: str) -> Any:
    try:
        return from_text(text, type_of(keys))
    except ConfigurationError as error:
        raise ConfigurationError(f"{source}: {error}") from error
    except ValueError as error:
        raise ConfigurationError(f"{source}: {error}.") from error


def _checked(keys: Keys, value: Any, source: str) -> Any:
    try:
        return converted(value, type_of(keys))
    except ConfigurationError:
        raise
    except ValueError as error:
        raise ConfigurationError(f"{source}: {error}.") from error


def _whole(values: Mapping[Keys, Any], sources: Mapping[Keys, str]) -> Configuration:
    nested: dict[str, Any] = {}
    for keys, value in values.items():
        at = nested
        for key in keys[:-1]:
            at = at.setdefault(key, {})
        at[keys[-1]] = value
    try:
        return msgspec.convert(nested, Configuration)
    except msgspec.ValidationError as error:  # of single values nothing is wrong: one is missing
        what, _, place = str(error).partition(" - at `$")
        table = tuple(part for part in re.split(r"[.\[\]`]+", place) if part)
        near = next((said for at, said in sources.items() if at[:1] == table[:1]), "the configuration")
        raise ConfigurationError(f"{near}: {what[:1].lower() + what[1:]} in [{'.'.join(table[:2])}].") from error
