"""One setting by its name: which there are, of which type, and how its value is read from a text."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Final, TypeAlias, Union, get_args, get_origin, get_type_hints

import msgspec

from drawbar.config.configuration import Configuration
from drawbar.errors import ConfigurationError, nearest

Keys: TypeAlias = tuple[str, ...]
"""A setting's name in parts: `("upstreams", "mine", "base_url")`."""

ANY_NAME: Final = "NAME"
"""What stands for a name of the user's own in the list of all settings."""


def fields(kind: type[msgspec.Struct]) -> Mapping[str, Any]:
    """The types of a table's settings by name."""
    return get_type_hints(kind, include_extras=True)


def table_in(annotation: Any) -> type[msgspec.Struct] | None:
    """The table that this type is, if it is one."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct) else None


def named_tables_in(annotation: Any) -> type[msgspec.Struct] | None:
    """The table of which this type has any number by name, if it does."""
    return table_in(get_args(annotation)[1]) if get_origin(annotation) is dict else None


def type_of(keys: Keys) -> Any:
    """The type of the setting of this name.

    Raises:
        ConfigurationError: there is none; the message names near ones.
    """
    at: type[msgspec.Struct] = Configuration
    rest = list(keys)
    while rest:
        known = fields(at)
        name = rest.pop(0)
        if name not in known:
            raise ConfigurationError(f"There is no setting {'.'.join(keys)}.{nearest(name, known)}")
        annotation = known[name]
        below = table_in(annotation)
        if below is None and (below := named_tables_in(annotation)) is not None and rest:
            rest.pop(0)
        elif below is None:
            return annotation if not rest else _entry_type(annotation, keys, rest)
        if rest:
            at = below
    raise ConfigurationError(f"{'.'.join(keys)} is a table; set what is in it: {', '.join(fields(at))}.")


def _entry_type(annotation: Any, keys: Keys, rest: list[str]) -> Any:
    """The type of one entry of a setting that is a table of plain values."""
    for option in _options(annotation):
        if get_origin(option) is dict and len(rest) == 1:
            return get_args(option)[1]
    raise ConfigurationError(f"There is nothing below {'.'.join(keys[: -len(rest)])}, which is a value.")


def _options(annotation: Any) -> list[Any]:
    """The types that a value may have, without what is said about them."""
    if get_origin(annotation) is Annotated:
        return _options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [option for each in get_args(annotation) for option in _options(each)]
    return [annotation]


def converted(value: Any, annotation: Any, *, strict: bool = True) -> Any:
    """The value as this type. Raises `ValueError`, which says what is wrong with it."""
    try:
        return msgspec.convert(value, annotation, strict=strict)
    except msgspec.ValidationError as error:
        said = str(error).partition(" - at `")[0]
        raise ValueError(said[:1].lower() + said[1:]) from error


def from_text(text: str, annotation: Any) -> Any:
    """The value that a text (a flag's, a variable's) stands for: lists with commas, tables as TOML has them.

    Raises:
        ValueError: it stands for none.
    """
    options = _options(annotation)
    kinds = [get_origin(option) or option for option in options]
    if dict in kinds and text.lstrip().startswith("{"):
        return converted(_toml(text), annotation)
    if list in kinds:
        value = _toml(text) if text.lstrip().startswith("[") else [part.strip() for part in text.split(",")]
        return converted([part for part in value if part != ""], annotation)
    if str in kinds:
        return text
    return converted(text.strip(), annotation, strict=False)


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"it is not TOML: {error}") from error


def all_settings(kind: type[msgspec.Struct] = Configuration, above: Keys = ()) -> dict[Keys, Any]:
    """Every setting there can be, with its type; `NAME` stands for names of the user's own."""
    found: dict[Keys, Any] = {}
    for name, annotation in fields(kind).items():
        if (below := table_in(annotation)) is not None:
            found |= all_settings(below, (*above, name))
        elif (below := named_tables_in(annotation)) is not None:
            found |= all_settings(below, (*above, name, ANY_NAME))
        else:
            found[(*above, name)] = annotation
    return found
