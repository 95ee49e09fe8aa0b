"""A task as a text that a person edits, and back. The text is TOML, because its long strings read as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from drawbar.capture.candidate import Candidate
from drawbar.task import ChatMessage, Task
from drawbar.toml import TomlFile
from drawbar.wire.tolerant import whole

_HEAD: Final = """\
# The task of session {session}. Save it and leave the editor; what you take out, the task has no more.
"""
_FIELDS: Final = ("opening", "system", "user_turns", "answer", "answer_source", "tags", "info")
_TUPLES: Final = {"opening", "user_turns", "tags"}


class _Turn(msgspec.Struct, forbid_unknown_fields=True):
    """A message: its role and its text, or all of it as JSON."""

    role: str = "user"
    content: str | None = None
    json: str | None = None


class _Edited(msgspec.Struct):
    system: str | None = None
    prompt: str | None = None
    answer: str | None = None
    answer_json: str | None = None
    tags: list[str] = []
    info_json: str | None = None
    opening: list[_Turn] = []
    user_turns: list[_Turn] = []


def to_text(candidate: Candidate) -> str:
    """The task as TOML."""
    opening = candidate.opening
    alone = len(opening) == 1 and opening[0].keys() == {"role", "content"} and opening[0]["role"] == "user"
    prompt = opening[0]["content"] if alone and isinstance(opening[0]["content"], str) else None
    answer = candidate.answer
    lines = [
        _HEAD.format(session=candidate.session),
        _entry("system", candidate.system),
        _entry("prompt", prompt),
        _entry("answer" if isinstance(answer, str) else "answer_json", answer),
        f"tags = {orjson.dumps([*candidate.tags]).decode()}\n" if candidate.tags else "",
        _entry("info_json", dict(candidate.info) or None),
    ]
    if prompt is None:
        lines += [f"[[opening]]\n{_turn(message)}" for message in opening]
    lines += [f"[[user_turns]]\n{_turn(turn)}" for turn in candidate.user_turns]
    return "\n".join(line for line in lines if line)


def from_text(path: Path, candidate: Candidate) -> Candidate:
    """The candidate as the file at `path` has it. An answer that was changed is a correction.

    Raises:
        ConfigurationError: it is no task; what is wrong, and in which line.
    """
    file = TomlFile(path)
    edited = file.read(file.table, _Edited)
    if edited.prompt is not None and edited.opening:
        raise file.error("a task has either `prompt` or [[opening]]", "prompt")
    if edited.answer is not None and edited.answer_json is not None:
        raise file.error("a task has either `answer` or `answer_json`", "answer")
    opening = [_message(file, "opening", turn) for turn in edited.opening]
    if edited.prompt is not None:
        opening = [{"role": "user", "content": edited.prompt}]
    if not any(message.get("role") == "user" for message in opening):
        raise file.error("the task has no request of a user. Give it a `prompt`", "prompt")
    answer = edited.answer if edited.answer_json is None else _json(file, "answer_json", edited.answer_json)
    info = {} if edited.info_json is None else _json(file, "info_json", edited.info_json)
    if not isinstance(info, dict):
        raise file.error("it is a JSON object", "info_json")
    turns = [_message(file, "user_turns", turn) for turn in edited.user_turns]
    with file.at("prompt" if edited.prompt is not None else "opening"):
        Task(prompt=opening if edited.prompt is None else edited.prompt, answer=answer, system=edited.system, info=info)
    same = answer == candidate.answer
    return replace(
        candidate, opening=tuple(opening), system=edited.system, answer=answer, info=info, tags=tuple(edited.tags),
        answer_source=candidate.answer_source if same else None if answer is None else "correction",
        user_turns=tuple(_as_before(turn, candidate.user_turns) for turn in turns),
    )  # fmt: skip


def edited_fields(candidate: Candidate) -> dict[str, Any]:
    """What an edit can change, for JSON."""
    return {name: getattr(candidate, name) for name in _FIELDS}


def with_fields(candidate: Candidate, fields: Mapping[str, Any]) -> Candidate:
    """The candidate with what `edited_fields` has kept."""
    changes: dict[str, Any] = {name: fields[name] for name in _FIELDS if name in fields}
    for name in _TUPLES & changes.keys():
        changes[name] = tuple(changes[name])
    return replace(candidate, **changes)


def _as_before(turn: dict[str, Any], turns: Sequence[str | ChatMessage]) -> str | ChatMessage:
    """Texts stay texts where all were."""
    plain = turn.keys() == {"role", "content"} and turn["role"] == "user" and isinstance(turn["content"], str)
    return str(turn["content"]) if plain and all(isinstance(each, str) for each in turns) else turn


def _turn(message: str | ChatMessage) -> str:
    if isinstance(message, str):
        return _entry("content", message)
    if message.keys() == {"role", "content"} and all(isinstance(each, str) for each in message.values()):
        role = "" if message["role"] == "user" else _entry("role", message["role"])
        return role + _entry("content", message["content"])
    return _entry("json", dict(message))


def _message(file: TomlFile, key: str, turn: _Turn) -> dict[str, Any]:
    if (turn.content is None) == (turn.json is None):
        raise file.error("each of them has either `content` or `json`", key)
    if turn.json is None:
        return {"role": turn.role, "content": turn.content}
    message = _json(file, key, turn.json)
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise file.error("`json` is an object with a `role`", key)
    return message


def _json(file: TomlFile, key: str, text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise file.error(f"not JSON, at its line {error.lineno}, column {error.colno}: {error.msg}", key) from error


def _entry(key: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        value = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    return f"{key} = {_string(whole(value))}\n"


def _string(text: str) -> str:
    """A TOML string, as it reads best."""
    plain = all(letter >= " " or letter in "\n\t" for letter in text) and "\x7f" not in text
    if plain and "'''" not in text and not text.endswith("'") and ("\n" in text or "\\" in text):
        return f"'''\n{text}'''"
    lines = [orjson.dumps(line).decode()[1:-1].replace("\x7f", "\\u007f") for line in text.split("\n")]
    return f'"{lines[0]}"' if len(lines) == 1 else '"""\n' + "\n".join(lines) + '"""'
