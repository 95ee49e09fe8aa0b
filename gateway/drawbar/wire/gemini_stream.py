"""Streams of the `gemini` dialect: chunks put together again into the response that they are pieces of.

Every chunk is a whole response with the parts that are new. The rules:

- Parts are strung together. A text continues the text before it, as the same reply would have it without streaming,
  unless only one of them is a thought, or one of them holds something else as well, or a signature has closed the one
  before. A signature that comes with an empty text, as Gemini sends it at the end, signs the text before it.
- Log probabilities are of a chunk's own tokens and grow. Counts are of everything so far: the newest are right, as is
  the newest value of every other field.
- Nothing in the format ends a stream: the connection does. A turn has ended when each of its candidates has a finish
  reason, or when the prompt was refused. Whatever still comes is read too.
"""

from __future__ import annotations

from typing import Any, Final, TypeGuard

from drawbar.wire.dialect import BadBody, Response
from drawbar.wire.gemini_names import get, spelled
from drawbar.wire.gemini_usage import usage
from drawbar.wire.growing import Growing, Pieces
from drawbar.wire.tolerant import dump, load_message

_TEXT: Final = frozenset({"text", "thought", "thoughtSignature", "thought_signature"})
_COUNTS: Final = frozenset({"usageMetadata", "usage_metadata", "modelVersion", "responseId"})
_SIGNATURE: Final = "thoughtSignature"
_LITTLE: Final = frozenset({"index"})
"""What a candidate says beside its content that need not be kept again."""


class GeminiAssembler:
    """Puts a response together from its chunks."""

    def __init__(self) -> None:
        self._top: dict[str, Any] = {}
        self._candidates: dict[int, dict[str, Any]] = {}
        self._open: set[int] = set()
        """The candidates that have not ended."""
        self._growing = Growing()
        self._error: str | None = None
        self._done = False

    def feed(self, data: bytes) -> bool:
        if data.strip() == b"[DONE]":  # not Google's: proxies that translate from other dialects send it
            self._done = True
            return False
        try:
            chunk = load_message(data)
        except BadBody as error:
            self._error = f"an event of the stream cannot be read: {error}"
            return False
        if not isinstance(chunk, dict):
            return False
        candidates = chunk.pop("candidates", None)
        _update(self._top, chunk, merged=("usageMetadata", "promptFeedback"))
        if chunk.get("error") is not None:
            self._error = _said(chunk["error"])
        for candidate in candidates if isinstance(candidates, list) else ():
            if isinstance(candidate, dict):
                self._candidate(candidate)
        return not candidates and isinstance(get(chunk, "usageMetadata"), dict) and chunk.keys() <= _COUNTS

    def _candidate(self, new: dict[str, Any]) -> None:
        index = new.get("index")
        index = index if isinstance(index, int) else 0
        known = self._candidates.get(index)
        if known is None:
            known = self._candidates[index] = {}
            self._open.add(index)
        content = new.pop("content", None)
        if isinstance(content, dict) and content:
            self._content(known.setdefault("content", {}), content)
        if new.keys() <= _LITTLE and (not new or "index" in known):
            return  # as in most chunks
        tokens = get(new, "logprobsResult")
        if isinstance(tokens, dict) and isinstance(so_far := get(known, "logprobsResult"), dict):
            _grow(so_far, tokens)
            new[spelled(known, "logprobsResult")] = so_far
        _update(known, new)
        if get(known, "finishReason"):
            self._open.discard(index)

    def _content(self, known: dict[str, Any], new: dict[str, Any]) -> None:
        parts = new.pop("parts", None)
        if parts is not None:
            so_far = known.setdefault("parts", [])
            for part in parts if isinstance(parts, list) else [parts]:
                self._add(so_far, part)
        _update(known, new)

    def _add(self, parts: list[Any], new: Any) -> None:
        last = parts[-1] if parts else None
        if _is_text(new):
            if _is_text(last) and _goes_on(last, new):
                self._growing.add(last, "text", new.pop("text"))
                last |= new
                return
            if not new["text"] and not get(new, _SIGNATURE):
                return
        parts.append(new)

    @property
    def ended(self) -> bool:
        if self._candidates and not self._open:
            return True
        return self._done or _refusal(self._top) is not None

    @property
    def done(self) -> bool:
        return self._done

    @property
    def error(self) -> str | None:
        return self._error

    def response(self) -> Response:
        self._growing.settle()
        candidates = [self._candidates[index] for index in sorted(self._candidates)]
        return read({**self._top, **({"candidates": candidates} if candidates else {})})


def read(value: dict[str, Any]) -> Response:
    """A whole response."""
    candidates = [item for item in _list(value.get("candidates")) if isinstance(item, dict)]
    first = next((item for item in candidates if item.get("index") in (0, None)), None)
    content = first.get("content") if first is not None else None
    rest = [{k: v for k, v in item.items() if k != "content"} if item is first else item for item in candidates]
    finish = get(first, "finishReason") if first is not None else _refusal(value)
    return Response(
        message=dump({"role": "model", **content}) if isinstance(content, dict) and content else None,
        finish=finish if isinstance(finish, str) else None,
        usage=usage(get(value, "usageMetadata")),
        envelope=dump({**value, "candidates": rest} if "candidates" in value else value),
    )


def _refusal(value: dict[str, Any]) -> str | None:
    """Why the prompt was refused, if it was: then there are no candidates."""
    feedback = get(value, "promptFeedback")
    reason = get(feedback, "blockReason") if isinstance(feedback, dict) else None
    return reason if isinstance(reason, str) and reason else None


def _update(known: dict[str, Any], new: dict[str, Any], *, merged: tuple[str, ...] = ()) -> None:
    for key, value in new.items():
        before = known.get(key)
        if key in merged and isinstance(before, dict) and isinstance(value, dict):
            before |= value
        elif value is not None or key not in known:
            known[key] = value


def _is_text(part: Any) -> TypeGuard[dict[str, Any]]:
    return (
        isinstance(part, dict)
        and isinstance(part.get("text"), str | Pieces)
        and (len(part) == 1 or part.keys() <= _TEXT)
    )


def _goes_on(last: dict[str, Any], new: dict[str, Any]) -> bool:
    plain = len(last) == 1 and len(new) == 1
    return plain or (bool(last.get("thought")) == bool(new.get("thought")) and not get(last, _SIGNATURE))


def _grow(known: dict[str, Any], new: dict[str, Any]) -> None:
    """Lists go on; anything else is the newest."""
    for key, value in new.items():
        before = known.get(key)
        if isinstance(before, list) and isinstance(value, list):
            before += value
        else:
            known[key] = value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _said(error: Any) -> str:
    said = error.get("message") if isinstance(error, dict) else error
    return said if isinstance(said, str) else dump(error).decode("utf-8", "replace")
