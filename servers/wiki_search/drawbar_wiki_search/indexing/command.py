"""The command `drawbar-wiki-index`: a source in, an index out, and what is wrong said in one sentence."""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from drawbar.errors import ConfigurationError
from drawbar_wiki_search.building import build_index
from drawbar_wiki_search.indexing.progress import counted, shown
from drawbar_wiki_search.indexing.reading import Reading
from drawbar_wiki_search.indexing.sources import Source

_MISUSE, _INTERRUPTED = 2, 130

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def build(
    source: Annotated[Path, typer.Argument(help="A Wikipedia XML dump (.xml, .xml.bz2, .xml.gz), JSONL or Parquet.")],
    index_dir: Annotated[
        Path, typer.Argument(help="Where the index goes; an older index there is replaced at the end.")
    ],
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many pages.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes that read wiki markup.")] = os.cpu_count()
    or 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Build the search index of a wiki.

    A table has the columns id, title and text (or content), and optionally aliases; a folder of them is one table.
    """
    started = time.monotonic()
    try:
        found = Source.at(source)
        reading = found.reading()
        with (
            closing(found.items(reading, jobs=jobs)) as items,
            closing(shown(counted(items, reading, limit), reading, quiet=quiet)) as visible,
        ):
            build_index(visible, index_dir, source=str(source))
    except KeyboardInterrupt:
        _fail("Interrupted. What stood at the index's place is as it was.", _INTERRUPTED)
    except (ConfigurationError, FileExistsError, NotADirectoryError) as error:
        _fail(str(error), _MISUSE)
    except OSError as error:
        _fail(_trouble(error, index_dir), _MISUSE)
    if not quiet:
        _summarise(reading, index_dir, time.monotonic() - started)


def main() -> None:
    """The entry point."""
    app(prog_name="drawbar-wiki-index")


def _summarise(reading: Reading, index_dir: Path, seconds: float) -> None:
    size = sum(file.stat().st_size for file in index_dir.iterdir())
    lines = [
        f"{reading.pages:,} pages and {reading.redirects:,} redirects in {seconds:,.1f} s "
        f"({reading.pages / max(seconds, 1e-9):,.0f} pages/s); {size / 1e6:,.1f} MB at {index_dir}"
    ]
    lines += [f"  left out: {count:,} {reason}" for reason, count in reading.skipped.most_common()]
    lines += [f"  read roughly: {count:,} pages whose markup {why}" for why, count in reading.rough.most_common()]
    Console(highlight=False, soft_wrap=True).print("\n".join(lines), markup=False)


def _trouble(error: OSError, index_dir: Path) -> str:
    said = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        said += "; make room or name a folder on another disk"
    return f"The index at {index_dir} cannot be written: {said}. What stood there is as it was."


def _fail(message: str, code: int) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"drawbar-wiki-index: {message}", markup=False)
    sys.exit(code)
