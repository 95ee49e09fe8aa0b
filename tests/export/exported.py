"""Rows of an export, without a file."""

from __future__ import annotations

from typing import Any

from drawbar.export.branches import Extent
from drawbar.export.engine import Exporting, Wanted, begin
from drawbar.export.format import Row, format_named
from drawbar.export.tally import Tally
from drawbar.record.filter import where
from drawbar.record.store import Store


def begun(store: Store, format: str = "openai", filter: str = "", **wanted: Any) -> Exporting:
    """An export, not yet under way."""
    extent = Extent(wanted.pop("all_threads", False), wanted.pop("branches", False))
    return begin(store, Wanted(format=format_named(format), filter=where(filter), extent=extent, **wanted))


def export(store: Store, format: str = "openai", filter: str = "", **wanted: Any) -> tuple[list[Row], Tally]:
    """All rows, and what they come to."""
    made = begun(store, format, filter, **wanted)
    return [row for side in made.sides for page in made.pages(side=side) for row in page], made.tally


def fallen(tally: Tally) -> dict[str, int]:
    """How many sessions fell to which rule."""
    return {rule: count for rule, count in tally.by_rule().items() if count}
