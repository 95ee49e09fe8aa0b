"""What a source is: a dump, a table, or a folder of tables, told by the names of the files."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from drawbar.errors import ConfigurationError
from drawbar_wiki_search.indexing.dumps import dump_items
from drawbar_wiki_search.indexing.reading import Reading
from drawbar_wiki_search.indexing.tables import table_items
from drawbar_wiki_search.pages import Page, Redirect

_KNOWN: Final = (
    "a Wikipedia dump (.xml, .xml.bz2, .xml.gz), JSONL (.jsonl, .jsonl.gz, .jsonl.bz2) or Parquet (.parquet)"
)


@dataclass(frozen=True, slots=True)
class Source:
    """Files that pages can be read from."""

    files: tuple[Path, ...]
    kind: Literal["dump", "table"]

    @classmethod
    def at(cls, path: Path) -> Source:
        """What lies at this path.

        Raises:
            ConfigurationError: nothing, or nothing that is known.
        """
        if path.is_dir():
            files = tuple(file for file in sorted(path.rglob("*")) if file.is_file() and _kind(file) == "table")
            if not files:
                raise ConfigurationError(f"The folder {path} holds no .parquet and no .jsonl file.")
            return cls(files, "table")
        if not path.exists():
            raise ConfigurationError(f"There is no file or folder {path}.")
        if (kind := _kind(path)) is None:
            raise ConfigurationError(f"{path} has a suffix that says nothing known. A source is {_KNOWN}.")
        return cls((path,), kind)

    def reading(self) -> Reading:
        """An empty account of reading it."""
        return Reading(total_bytes=sum(file.stat().st_size for file in self.files))

    def items(self, reading: Reading, *, jobs: int) -> Generator[Page | Redirect]:
        """Its pages and redirects, in order; `jobs` processes turn markup into text where there is markup.

        Raises:
            ConfigurationError: a file cannot be read or is damaged; says where.
        """
        return (
            dump_items(self.files[0], reading, jobs=jobs) if self.kind == "dump" else table_items(self.files, reading)
        )


def _kind(path: Path) -> Literal["dump", "table"] | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".bz2", ".gz"):
        suffixes.pop()
    elif suffixes and suffixes[-1] == ".parquet":
        return "table"
    match suffixes[-1:]:
        case [".jsonl" | ".ndjson"]:
            return "table"
        case [".xml"]:
            return "dump"
        case _:
            return None
