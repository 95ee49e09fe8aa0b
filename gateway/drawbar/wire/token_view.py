"""Token ids and log probabilities as they were recorded, read out of the answers of every kind of server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from drawbar.wire.dialect import BadBody
from drawbar.wire.gemini_names import get
from drawbar.wire.notes import notes_in
from drawbar.wire.tolerant import load


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a provider told of the tokens of one exchange; None: it did not say."""

    prompt_token_ids: tuple[int, ...] | None = None
    """Of the whole prompt, its chat template applied."""
    token_ids: tuple[int, ...] | None = None
    """Of the reply, in the order in which they were sampled."""
    logprobs: tuple[float, ...] | None = None
    """Natural logarithms of the probabilities of the reply's tokens, one for each that the provider tells of."""


def read_tokens(dialect: str, envelope: bytes | None, reply: bytes | None) -> Tokens | None:
    """The tokens of an answer: of its first choice, where it has several. None where nothing is told of them.

    Args:
        envelope: the answer without its reply (`Response.envelope`).
        reply: the reply (`Response.message`).
    """
    if (told := notes_in(envelope).get("told")) is not None:
        return _noted(_mapping(told))
    try:
        if dialect == "chat":
            found = _of_chat(_object(envelope))
        elif dialect == "gemini":
            found = _of_gemini(_object(envelope))
        elif dialect == "responses":
            found = Tokens(logprobs=_logprobs(list(_of_items(load(reply) if reply is not None else None))))
        else:
            return None
    except BadBody:
        return None
    return found if found != Tokens() else None


def _noted(told: Mapping[str, Any]) -> Tokens:
    """What was said in chat, of an answer that was translated."""
    prompt, reply = _ids(told.get("prompt_token_ids")), _ids(told.get("token_ids"))
    return Tokens(prompt, reply, _numbers(_list(told.get("logprobs"))))


def _of_chat(answer: Mapping[str, Any]) -> Tokens:
    choice = _first(answer.get("choices"))
    more = _mapping(answer.get("sglext"))
    entries = _list(_mapping(choice.get("logprobs")).get("content"))
    of_choices = _list(more.get("output_ids"))
    return Tokens(
        _ids(answer.get("prompt_token_ids"), more.get("input_ids"), choice.get("prompt_token_ids")),
        _ids(
            choice.get("token_ids"),
            of_choices[0] if of_choices else None,
            choice.get("response_token_ids"),
            [_mapping(entry).get("id") for entry in entries] or None,
        ),
        _logprobs(entries),
    )


def _of_gemini(answer: Mapping[str, Any]) -> Tokens:
    result = _mapping(get(_first(answer.get("candidates")), "logprobsResult"))
    chosen = [_mapping(entry) for entry in _list(get(result, "chosenCandidates"))]
    said = [get(entry, "logProbability") for entry in chosen]
    return Tokens(token_ids=_ids([get(entry, "tokenId") for entry in chosen] or None), logprobs=_numbers(said))


def _of_items(items: Any) -> Iterator[Any]:
    """The entries of all texts of a `responses` turn, in order."""
    for item in _list(items):
        for part in _list(_mapping(item).get("content")):
            yield from _list(_mapping(part).get("logprobs"))


def _logprobs(entries: list[Any]) -> tuple[float, ...] | None:
    return _numbers([_mapping(entry).get("logprob") for entry in entries])


def _numbers(values: list[Any]) -> tuple[float, ...] | None:
    known = values and all(isinstance(value, int | float) for value in values)
    return tuple(float(value) for value in values) if known else None


def _ids(*places: Any) -> tuple[int, ...] | None:
    """The first of these that is a list of whole numbers."""
    for values in places:
        if isinstance(values, list) and all(type(value) is int for value in values):
            return tuple(values)
    return None


def _first(choices: Any) -> Mapping[str, Any]:
    found = [_mapping(choice) for choice in _list(choices)]
    return next((choice for choice in found if choice.get("index") in (0, None)), {})


def _object(text: bytes | None) -> Mapping[str, Any]:
    return _mapping(load(text)) if text is not None else {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
