"""An export in whose rows the same personal value has become the same pseudonym everywhere: `capture.pseudonyms`.

All rows are made twice: first to see which values there are, so that no pseudonym is given that stands in one of them
already, and then to be written. Memory grows with the values that are found, not with the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from drawbar.errors import ConfigurationError
from drawbar.export.engine import Export, Listener
from drawbar.export.format import Format, Row
from drawbar.wire.tolerant import dump, load

if TYPE_CHECKING:
    from drawbar.capture.pseudonyms import Pseudonyms


class RedactedExport:
    """An export whose rows are changed. Blocking; not to be shared between threads."""

    def __init__(self, format: Format, first: Export, second: Export, names: Pseudonyms) -> None:
        """`first` and `second`: the same export, twice.

        Raises:
            ConfigurationError: the format tells what was said in other forms than words.
        """
        if not format.needs.isdisjoint(("token_ids", "rows")):
            raise ConfigurationError(
                f"{format.name} tells what was said as token ids, digests or bytes, in which nothing can be replaced: "
                "export another format with --redact, or redact what is recorded (`[redaction]` in drawbar.toml)."
            )
        self._first: Export | None = first
        self._made = second
        self._names = names
        self.tally = second.tally
        self.sides = second.sides

    @property
    def emptied(self) -> str | None:
        """As of the export itself."""
        return self._made.emptied

    @property
    def redactions(self) -> list[dict[str, Any]]:
        """What was found: `what`, in how many `places`, how many different `values`. Never the values."""
        return self._names.report()

    def pages(self, listen: Listener | None = None, side: str = "") -> Iterator[list[Row]]:
        """The rows of a file, as many at a time as the export makes at once. Raises `StoreError`."""
        first, self._first = self._first, None
        if first is not None:
            for each in first.sides:
                for rows in first.pages(listen, each):
                    self._names.learn(_plain(rows))
        for rows in self._made.pages(listen, side):
            yield self._names.value(_plain(rows))


def _plain(rows: Sequence[Row]) -> Any:
    """The rows as whoever reads the file will see them."""
    return load(dump(rows))
