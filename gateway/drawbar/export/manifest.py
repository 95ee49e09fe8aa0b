"""What stands beside an exported file: where its rows come from, and the digest by which it is known again.

`FILE.manifest.json`: {"manifest", "drawbar", "created", "store", "query", "counts", "licenses", "files"}.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from drawbar import __version__
from drawbar.errors import ConfigurationError

VERSION: Final = 1
_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written."""

    path: Path
    rows: int
    size: int
    sha256: str
    within: str | None = None
    """Its name with that of the folder beside the manifest in which it lies."""


def path_of(file: Path) -> Path:
    """Where the manifest of a file lies."""
    return file.with_name(f"{file.name}.manifest.json")


def manifest(
    files: Sequence[Written],
    query: Mapping[str, Any],
    counts: Mapping[str, Any],
    store: str,
    licenses: Mapping[str, str],
    redactions: Sequence[Mapping[str, Any]] | None = None,
) -> bytes:
    """The manifest's text. `licenses`: of models' words, by `upstream/model`, by either of the two, or `*`.
    `redactions`: what was made unrecognisable; None: nothing was to be."""
    return orjson.dumps(
        {
            "manifest": VERSION,
            "drawbar": __version__,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "store": store,
            "query": query,
            "counts": counts,
            **({} if redactions is None else {"redactions": redactions}),
            "licenses": {model: _license(model, licenses) for model in counts.get("models", {})},
            "files": [
                {"name": it.within or it.path.name, "rows": it.rows, "bytes": it.size, "sha256": it.sha256}
                for it in files
            ],
        },
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
    )


def differences(path: Path) -> list[str]:
    """Where the files beside a manifest are not what it says, in words; none: they still match.

    Raises:
        ConfigurationError: it is no manifest.
    """
    said = _read(path)
    found: list[str] = []
    for file in said["files"]:
        beside = path.parent / str(file["name"])
        if not beside.is_file():
            found.append(f"{beside} is not there.")
        elif beside.stat().st_size != file["bytes"]:
            found.append(f"{beside} has {beside.stat().st_size:,} bytes; it had {file['bytes']:,}.")
        elif _sha256(beside) != file["sha256"]:
            found.append(f"{beside} has other content than it had (SHA-256).")
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        value = orjson.loads(path.read_bytes())
        known = value["manifest"] == VERSION and all({"name", "bytes", "sha256"} <= it.keys() for it in value["files"])
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{path} is no manifest of an export: give FILE.manifest.json.") from error
    if not known:
        raise ConfigurationError(f"{path} is no manifest that this version ({__version__}) knows.")
    assert isinstance(value, dict)
    return value


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _license(model: str, licenses: Mapping[str, str]) -> str | None:
    upstream, _, name = model.partition("/")
    return next((licenses[key] for key in (model, name, upstream, "*") if key in licenses), None)
