"""An export from a store into a file: all of it or nothing, with its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from drawbar.export import manifest
from drawbar.export.draft import Draft
from drawbar.export.engine import Listener, Wanted, begin
from drawbar.export.manifest import Written
from drawbar.export.tally import Tally
from drawbar.export.writing import Target, sink
from drawbar.record.store import Store


def export(
    store: Store, wanted: Wanted, target: Target, *, licenses: Mapping[str, str], listen: Listener | None = None
) -> tuple[Tally, Path | None]:
    """Write a file and its manifest; what it came to, and where the manifest is. Without any row nothing is written.

    Raises:
        OSError: a file could not be written; what had these names before is as it was.
        StoreError: the store could not be read.
    """
    made = begin(store, wanted)
    tally, losses = made.tally, made.tally.losses
    with ExitStack() as stack:
        draft = stack.enter_context(Draft(target.path))
        rows = sink(target, draft, wanted.format, losses)
        for page in made.pages(listen):
            rows.write(page)
        rows.finish()
        losses.keep()
        if not tally.rows:
            return tally, None
        draft.finish()
        written = Written(target.path, tally.rows, draft.size, draft.sha256)
        text = manifest.manifest([written], wanted.to_json(), tally.to_json(), store.url, licenses)
        beside = stack.enter_context(Draft(manifest.path_of(target.path)))
        beside.write(text)
        beside.finish()
        draft.publish()
        beside.publish()
    return tally, beside.path
