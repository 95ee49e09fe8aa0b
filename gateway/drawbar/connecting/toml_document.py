"""TOML as a document: by tomlkit, which keeps comments, order and blanks."""

from __future__ import annotations

from typing import Any

import tomlkit
from tomlkit.exceptions import ParseError

from drawbar.connecting.documents import MISSING


class TomlDocument:
    """TOML, as `drawbar.connecting.documents` asks for it."""

    def __init__(self, text: str) -> None:
        try:
            self._root = tomlkit.parse(text)
        except ParseError as error:
            raise ValueError(f"it is not TOML ({error})") from error

    @property
    def text(self) -> str:
        return tomlkit.dumps(self._root)

    def value(self, path: tuple[str, ...], /) -> Any:
        found: Any = self._root.unwrap()
        for key in path:
            if not isinstance(found, dict) or key not in found:
                return MISSING
            found = found[key]
        return found

    def put(self, path: tuple[str, ...], value: Any, /) -> None:
        table: Any = self._root
        for depth, key in enumerate(path[:-1]):
            if key not in table:
                table[key] = tomlkit.table(is_super_table=True)
            table = table[key]
            if not isinstance(table, dict):
                raise ValueError(f"{'.'.join(path[: depth + 1])} is no table there")
        table[path[-1]] = _item(value)

    def drop(self, path: tuple[str, ...], /) -> None:
        if self.value(path) is MISSING:
            return
        chain: list[Any] = [self._root]
        for key in path[:-1]:
            chain.append(chain[-1][key])
        depth = len(path) - 1
        while depth and len(chain[depth]) == 1:
            depth -= 1
        del chain[depth][path[depth]]


def _item(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    table = tomlkit.table()
    for key, inner in value.items():
        table[key] = _item(inner)
    return table
