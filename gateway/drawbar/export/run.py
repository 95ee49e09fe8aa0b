"""An export from a store into files: all of it or nothing, with its manifest."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from drawbar.export import manifest
from drawbar.export.draft import Draft
from drawbar.export.engine import Exporting, Listener, Wanted, begin
from drawbar.export.folder import FolderDraft
from drawbar.export.manifest import Written
from drawbar.export.sides import SIDES
from drawbar.export.tally import Tally
from drawbar.export.writing import Target, sink
from drawbar.record.store import Store

_ALIVE: Final = 100_000
"""More objects than those of a page."""


def export(
    store: Store, wanted: Wanted, target: Target, *, licenses: Mapping[str, str], listen: Listener | None = None
) -> tuple[Tally, Path | None]:
    """Write the files of an export and their manifest; what it came to, and where the manifest is. Without any row
    nothing is written.

    Raises:
        ConfigurationError: the choice is none, or the format does not go with it.
        OSError: a file could not be written; what had these names before is as it was.
        StoreError: the store could not be read.
    """
    return write(begin(store, wanted), store, wanted, target, licenses, listen)


def write(
    made: Exporting,
    store: Store,
    wanted: Wanted,
    target: Target,
    licenses: Mapping[str, str],
    listen: Listener | None = None,
) -> tuple[Tally, Path | None]:
    """As `export`, of an export that was begun."""
    tally = made.tally
    with ExitStack() as stack:
        stack.enter_context(_collecting_seldom())
        drafts: list[Draft | FolderDraft] = []
        files: list[Written] = []
        for side in made.sides:
            before = tally.rows
            path = _of_side(target.path, side)
            draft: Draft | FolderDraft = FolderDraft(path) if target.kind == "folder" else Draft(path)
            stack.enter_context(draft)
            rows = sink(replace(target, path=draft.path), draft, wanted.format, tally.losses)
            for page in made.pages(listen, side):
                rows.write(page)
            rows.finish()
            tally.losses.keep()
            draft.finish()
            drafts.append(draft)
            files += draft.written(tally.rows - before)
        if not tally.rows:
            return tally, None
        text = manifest.manifest(files, wanted.to_json(), tally.to_json(), store.url, licenses, made.redactions)
        beside = stack.enter_context(Draft(manifest.path_of(target.path)))
        beside.write(text)
        beside.finish()
        for each in (*drafts, beside):
            each.publish()
    return tally, beside.path


def files_of(path: Path, wanted: Wanted) -> list[Path]:
    """The files that will be written."""
    return [_of_side(path, side) for side in (SIDES if wanted.choice.split is not None else ("",))]


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """A page is many objects without a circle among them: to look for circles again and again costs a tenth of all."""
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], _ALIVE), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _of_side(path: Path, side: str) -> Path:
    """The file of one side of a split: `data.train.jsonl.gz` beside `data.jsonl.gz`."""
    if not side:
        return path
    known = {".jsonl", ".ndjson", ".parquet", ".gz", ".zst", ".zstd"}
    name, ends = path.name, ""
    while (suffix := Path(name).suffix).lower() in known:
        name, ends = name.removesuffix(suffix), suffix + ends
    return path.with_name(f"{name}.{side}{ends}")
