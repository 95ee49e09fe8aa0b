"""Answers of a provider that speaks chat, whole or in chunks, as answers of another dialect."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from drawbar.ids import new_id
from drawbar.wire.chat_message import normal
from drawbar.wire.chat_writer import objects
from drawbar.wire.dialect import Response, Usage
from drawbar.wire.gemini_speech import GeminiSpeech
from drawbar.wire.message import Block, Message, Reasoning, Text, ToolUse
from drawbar.wire.messages_speech import MessagesSpeech
from drawbar.wire.responses_speech import ResponsesSpeech
from drawbar.wire.route import CHAT
from drawbar.wire.speech import Speech, Spoken
from drawbar.wire.token_view import Tokens, read_tokens
from drawbar.wire.tolerant import dump, load_object
from drawbar.wire.translator import Chat, Said, Translator

_SPEECHES: Final[Mapping[str, Callable[[Mapping[str, Any]], Speech]]] = {
    "messages": MessagesSpeech,
    "responses": ResponsesSpeech,
    "gemini": GeminiSpeech,
}
_REASONING: Final = ("reasoning_content", "reasoning")
_NOBODY: Final = b'{"role":"assistant"}'


class Bridge:
    """One answer on its way from chat to another dialect. What it lacks is noted in `lost`."""

    def __init__(self, dialect: str, translator: Translator, asked: Chat, model: str) -> None:
        self._translator = translator
        self._asked = asked
        self._model = model
        self._id = new_id("answer").partition("_")[2]
        self._created = int(time.time())
        self._chunks = CHAT.assembler()
        self._came: Response | None = None
        """The answer, if it came whole."""
        nothing = Response(_NOBODY, None, Usage(), b"{}")
        self._speech = _SPEECHES[dialect](self._answer(nothing, Message("assistant", ())))
        self._begun = False
        self._spoken: list[tuple[Spoken, list[str]]] = []
        self.lost: list[str] = list(dict.fromkeys((*asked.lost, *asked.unsaid)))

    def whole(self, body: bytes) -> bytes:
        """A whole answer. Raises `BadBody`."""
        response = self._came = CHAT.response(body)
        self._note(response.usage)
        return dump(self._answer(response, self._named(normal(response.message or _NOBODY))))

    def chunk(self, data: bytes) -> list[bytes]:
        """One chunk's payload; those that follow from it. Words are passed on at once, calls once they are whole."""
        spoken = _spoken(data)
        self._chunks.feed(data)
        found: list[bytes] = [] if self._begun else self._speech.begun()
        self._begun = True
        for kind, piece in spoken:
            if not self._spoken or self._spoken[-1][0] is not kind:
                self._spoken.append((kind, []))
            self._spoken[-1][1].append(piece)
            found += self._speech.more(kind, piece)
        return found

    def end(self) -> list[bytes]:
        """The payloads with which the stream ends."""
        response = self._chunks.response()
        self._note(response.usage)
        said = normal(response.message or _NOBODY)
        blocks: list[Block] = [kind("".join(pieces)) for kind, pieces in self._spoken]
        blocks += self._named(said).tool_uses
        return self._speech.ended(self._answer(response, Message("assistant", tuple(blocks))))

    @property
    def tokens(self) -> Tokens | None:
        """What the provider told of the answer's tokens, as far as it came."""
        response = self._came or self._chunks.response()
        return read_tokens(CHAT.name, response.envelope, response.message)

    @property
    def ended(self) -> bool:
        """Whether the chunk that ends the turn was seen."""
        return self._chunks.ended

    @property
    def done(self) -> bool:
        """Whether nothing can come any more."""
        return self._chunks.done

    @property
    def error(self) -> str | None:
        """What the provider said went wrong in the middle of its stream."""
        return self._chunks.error

    def _named(self, message: Message) -> Message:
        """With an id for each call: some servers of open models give none."""
        blocks = (
            replace(it, id=f"call_{self._id}_{at}") if isinstance(it, ToolUse) and not it.id else it
            for at, it in enumerate(message.blocks)
        )
        return Message(message.role, tuple(blocks))

    def _note(self, usage: Usage) -> None:
        if usage.prompt_tokens is None:
            self.lost.append("counts of tokens, which the provider did not give")

    def _answer(self, response: Response, reply: Message) -> dict[str, Any]:
        usage = response.usage
        named = load_object(response.envelope, "the answer").get("model")
        said = Said(
            {}, named if isinstance(named, str) and named else self._model, usage.prompt_tokens,
            usage.completion_tokens, self._id, self._created, response.finish, usage, reply,
        )  # fmt: skip
        return self._translator.answer(said, self._asked)


def _spoken(data: bytes) -> list[tuple[Spoken, str]]:
    """The words and thoughts in a chunk of the first choice."""
    if data.strip() == b"[DONE]":
        return []
    choices = objects(load_object(data, "an event of its stream").get("choices"))
    delta = next((choice.get("delta") for choice in choices if not choice.get("index")), None)
    if not isinstance(delta, dict):
        return []
    thought = next((delta[name] for name in _REASONING if isinstance(delta.get(name), str) and delta[name]), "")
    found: list[tuple[Spoken, str]] = [(Reasoning, thought)] if thought else []
    for name in ("content", "refusal"):
        if isinstance(delta.get(name), str) and delta[name]:
            found.append((Text, delta[name]))
    return found
