"""The folder of a captured environment. It appears under its name only when all of it is written; what fails before
that leaves nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

import msgspec
import orjson

from drawbar import __version__
from drawbar.capture.candidate import Candidate
from drawbar.capture.catalogue import Homes
from drawbar.capture.statistics import Captured
from drawbar.errors import ConfigurationError
from drawbar.record.schema import VERSION as STORE_VERSION
from drawbar.tools.cassettes.format import Header, Recording, write

MANIFEST: Final = "manifest.json"
EDITED: Final = ("rubric.py", "judge.md")
"""What people edit: capturing again into the same folder leaves their changes."""
_TEMPLATES: Final = ("environment.toml", "rubric.py", "judge.md", "README.md")
_MARK: Final = "drawbar_capture"
_FORMAT: Final = 1


def check_output(folder: Path, *, force: bool) -> None:
    """Raises `ConfigurationError`: it is there already; or `force` is to replace what no capture has written."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file. Name a folder with -o.")
    if not force:
        raise ConfigurationError(f"{folder} is there already, and is not empty. Take another name, or --force.")
    if _manifest(folder) is None:
        raise ConfigurationError(f"{folder} is no captured environment: --force replaces only those. Move it away.")


@contextmanager
def staged(folder: Path, *, force: bool) -> Iterator[Path]:
    """A folder beside it to write into; on leaving it takes the name, and on an error it is gone.

    Raises:
        ConfigurationError: as `check_output`; or it cannot be written.
    """
    check_output(folder, force=force)
    staging = folder.parent / f".{folder.name}.{token_hex(4)}"
    try:
        staging.mkdir(parents=True)
        yield staging
        for made in (staging, *(inner for inner in staging.iterdir() if inner.is_dir())):
            _keep_edited(folder / made.relative_to(staging), made)
        _put(staging, folder)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be written: {error.strerror or error}. Nothing is left of it."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write_environment(folder: Path, captured: Captured, shown_as: str) -> None:
    """Write every file into a folder that is there. `shown_as`: how people name it. Raises `OSError`."""
    with (folder / "tasks.jsonl").open("wb") as file:
        file.writelines(orjson.dumps(task_row(each)) + b"\n" for each in captured.candidates)
    recorded = max((candidate.started for candidate in captured.candidates), default=0.0)
    moment = datetime.fromtimestamp(recorded, UTC).isoformat(timespec="seconds")
    header = Header(captured.kept(captured.homes.header()), 1, moment, captured.settings.name, {"captured": True})
    write(folder / "cassette.jsonl", header, recordings_of(captured))
    (folder / "tools.json").write_bytes(_json(captured.kept(captured.homes.to_json())))
    for name in _TEMPLATES:
        (folder / name).write_text(_filled(name, {**captured.shown(), "folder": shown_as}), "utf-8")
    (folder / MANIFEST).write_bytes(_json(manifest(folder, captured)))


def write_sides(folder: Path, sides: Sequence[Captured], shown_as: str) -> None:
    """An environment for each side of a split, in a folder of its name. Raises `OSError`."""
    told: dict[str, Any] = {_MARK: _FORMAT, "drawbar": __version__, "sides": {}}
    for captured in sides:
        side = str(captured.side)
        (folder / side).mkdir()
        write_environment(folder / side, captured, f"{shown_as}/{side}")
        told["sides"][side] = {"manifest": _digest(folder / side / MANIFEST), "sessions": captured.sessions}
    (folder / MANIFEST).write_bytes(_json(told))


def task_row(candidate: Candidate) -> dict[str, Any]:
    """A line of `tasks.jsonl`."""
    opening = candidate.opening
    alone = len(opening) == 1 and opening[0].get("role") == "user" and isinstance(opening[0].get("content"), str)
    row = {
        "key": candidate.key,
        "system": candidate.system,
        "prompt": opening[0]["content"] if alone else list(opening),
        "user_turns": list(candidate.user_turns) or None,
        "answer": candidate.answer,
        "info": {**candidate.info, **_info(candidate)},
    }
    return {name: value for name, value in row.items() if value is not None}


def _info(candidate: Candidate) -> dict[str, Any]:
    named = ("user", "release", "environment", "model", "harness", "reward", "answer_source", "cost", "seconds")
    return {
        "session": candidate.session,
        "recorded": candidate.recorded,
        "turns": candidate.turns,
        "tools": dict(candidate.tools),
        "tool_errors": candidate.tool_errors,
        "tokens": candidate.tokens,
        "started": datetime.fromtimestamp(candidate.started, UTC).isoformat(timespec="seconds"),
        "family": candidate.family,
        **{name: value for name in named if (value := getattr(candidate, name)) is not None},
        **({"tags": list(candidate.tags)} if candidate.tags else {}),
        **({"labels": dict(candidate.labels)} if candidate.labels else {}),
        **({"feedback": dict(candidate.feedback)} if candidate.feedback else {}),
        **({"count": candidate.count, "sessions": list(candidate.sessions)} if candidate.merged else {}),
    }


def recordings_of(captured: Captured) -> Iterator[Recording]:
    """The calls of all sessions. A task's own session answers it first; those of its near duplicates are there for
    whoever asks for the same."""
    for candidate in captured.candidates:
        yield from _placed(candidate, candidate.key, captured.homes)
        for other in candidate.merged:
            yield from _placed(other, None, captured.homes)


def _placed(candidate: Candidate, task: str | None, homes: Homes) -> Iterator[Recording]:
    for recording in candidate.recordings:
        server, tool = homes.placed(recording)
        yield msgspec.structs.replace(recording, server=server, tool=tool, task=task, rollout=0, attempt=0)


def manifest(folder: Path, captured: Captured) -> dict[str, Any]:
    """What the folder was made of, and digests of its files."""
    settings = captured.settings
    return {
        _MARK: _FORMAT,
        "name": settings.name,
        "drawbar": __version__,
        "store_schema": STORE_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "query": settings.query,
        "seed": settings.seed,
        **({"side": captured.side} if captured.side else {}),
        "counts": captured.counts(),
        "left_out": {why: left.examples for why, left in captured.left.items()},
        "redactions": list(captured.redactions),
        "sessions": captured.sessions,
        "files": {path.name: _digest(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST},
    }


def _digest(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        found = sha256()
        while block := file.read(1 << 20):
            found.update(block)
    return {"sha256": found.hexdigest(), "bytes": path.stat().st_size}


def _manifest(folder: Path) -> dict[str, Any] | None:
    """Of a folder that a capture has written."""
    try:
        value = orjson.loads((folder / MANIFEST).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return value if isinstance(value, dict) and _MARK in value else None


def _keep_edited(before: Path, staging: Path) -> None:
    """Take over what somebody has edited since the folder was last written."""
    known = (_manifest(before) or {}).get("files", {}) if before.is_dir() else {}
    for name in EDITED:
        old, new = before / name, staging / name
        if name in known and old.is_file() and new.exists() and _digest(old) != known[name]:
            shutil.copyfile(old, new)


def _put(staging: Path, folder: Path) -> None:
    """Give the staged folder its name; what had it before is gone only then."""
    old = folder.parent / f"{staging.name}.old"
    if folder.exists():
        folder.rename(old)
    try:
        staging.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n"


def _filled(name: str, values: dict[str, Any]) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"toml": _toml, "day": _day, "counted": _counted}
    template = (files("drawbar.capture") / "templates" / f"{name}.jinja").read_text("utf-8")
    return environment.from_string(template).render(values)


def _toml(value: Any) -> str:
    """A text or a list of texts; JSON's spelling of both is TOML's, but for one character."""
    return orjson.dumps(value if isinstance(value, str) else list(value)).decode().replace("\x7f", "\\u007f")


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")


def _counted(number: int, one: str) -> str:
    return f"{number} {one if number == 1 else one + 's'}"
