"""Rows of an export, without a file."""

from __future__ import annotations

from typing import Any

from drawbar.export.branches import Extent
from drawbar.export.engine import Export, Wanted
from drawbar.export.format import Row, format_named
from drawbar.export.tally import Tally
from drawbar.record.filter import where
from drawbar.record.store import Store


def export(store: Store, format: str = "openai", filter: str = "", **wanted: Any) -> tuple[list[Row], Tally]:
    """All rows, and what they come to."""
    extent = Extent(wanted.pop("all_threads", False), wanted.pop("branches", False))
    made = Export(store, Wanted(format=format_named(format), filter=where(filter), extent=extent, **wanted))
    return [row for page in made.pages() for row in page], made.tally
