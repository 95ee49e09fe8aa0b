"""Token ids and log probabilities: what a server is asked for them, and how the answer reads to a client that did not
ask.

Field names are those of vLLM 0.33 (`entrypoints/openai/chat_completion/protocol.py`), SGLang 0.5.23
(`entrypoints/openai/protocol.py`) and llama.cpp's server (`tools/server/server-task.cpp`). Servers of these kinds take
no notice of fields that their version does not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from drawbar.wire.cutting import EACH, Cut, Cuts
from drawbar.wire.dialect import BadBody, Request
from drawbar.wire.gemini_names import get, snake, spelled
from drawbar.wire.tolerant import dump, load

TOKEN_SERVERS: Final[Mapping[str, str]] = {
    "vllm": "ids of the prompt and of the reply, log probabilities",
    "sglang": "ids of the prompt and of the reply, log probabilities",
    "llama_cpp": "ids of the reply, log probabilities",
    "logprobs": "log probabilities, as the dialect itself has them",
}
"""Kinds of servers that can be asked, and what they have."""

_INCLUDE: Final = "message.output_text.logprobs"
_HEAD: Final = frozenset({"id", "object", "created", "model", "choices", "system_fingerprint", "service_tier"})
"""Fields of a chunk that are the same in each."""


@dataclass(frozen=True, slots=True)
class TokenWish:
    """What is added to one request, and taken out of its answer again."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    """Empty where the client asks for all of it itself."""
    cuts: Cuts = field(default_factory=lambda: Cuts(()), compare=False)

    def added(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """These changes of a request and the wish's own."""
        both = {**changes, **self.changes}
        for name in changes.keys() & self.changes.keys():
            if isinstance(changes[name], Mapping):
                both[name] = {**changes[name], **self.changes[name]}
        return both

    def whole(self, body: bytes) -> bytes:
        """A whole answer as the client gets it."""
        try:
            return self.cuts(body)
        except BadBody:
            return self._whole_slowly(body)

    def _whole_slowly(self, body: bytes) -> bytes:
        """Of one that only the slow parser reads; what that does not read is no answer."""
        try:
            return self.cuts(dump(load(body)))
        except BadBody:
            return body

    def event(self, data: bytes) -> bytes | None:
        """What an event of a stream says to the client; None where nothing of it is left to say."""
        rest = self.whole(data)
        return None if rest is not data and _may_be_bare(rest) and _is_bare(rest) else rest


@dataclass(frozen=True, slots=True)
class _Ask:
    """One field of a request, and what it adds to answers."""

    name: str
    value: Any
    cuts: tuple[Cut, ...]
    same: tuple[str, ...] = ()
    """Other names by which a client may ask for it."""


_LOGPROBS: Final = ("choices", EACH, "logprobs")
_STANDARD: Final = _Ask("logprobs", True, (Cut(_LOGPROBS, b"null"),))
_CHAT: Final[Mapping[str, tuple[_Ask, ...]]] = {
    "vllm": (
        _STANDARD,
        _Ask("return_token_ids", True, (Cut(("prompt_token_ids",)), Cut(("choices", EACH, "token_ids")))),
    ),
    "sglang": (
        _STANDARD,
        _Ask("return_input_ids_in_sglext", True, (Cut(("sglext", "input_ids")),)),
        _Ask("return_output_ids_in_sglext", True, (Cut(("sglext", "output_ids")),)),
    ),
    # Its `logprobs` is refused for streams with tools; what that is turned into is not, and gives the same.
    "llama_cpp": (_Ask("n_probs", 1, (Cut(_LOGPROBS),), same=("logprobs",)),),
    "logprobs": (_STANDARD,),
}
_RESPONSES: Final = Cuts(
    Cut((*before, "logprobs"), b"[]")
    for before in (
        (),
        ("part",),
        ("item", "content", EACH),
        ("output", EACH, "content", EACH),
        ("response", "output", EACH, "content", EACH),
    )
)
_GEMINI: Final = Cuts(Cut(("candidates", EACH, name)) for name in ("logprobsResult", snake("logprobsResult")))


def token_wish(dialect: str, server: str | None, request: Request) -> TokenWish | None:
    """What a server of this kind is asked beside the client's own request; None where there is nothing to ask for."""
    if server is None:
        return None
    if dialect == "chat" and server in _CHAT:
        return _of_chat(_CHAT[server], load(request.envelope))
    if dialect == "responses" and (server in ("vllm", "logprobs") or (server == "sglang" and not request.stream)):
        return _of_responses(load(request.envelope))
    if dialect == "gemini" and server == "logprobs":
        return _of_gemini(load(request.envelope))
    return None


def is_refusal(body: bytes | None) -> bool:
    """Whether an error says that tokens are not told of: some models, and some kinds of requests, have none."""
    said = (body or b"").lower()
    return any(mark in said for mark in (b"logprob", b"token_ids", b"n_probs", b"sglext"))


def _of_chat(asks: Sequence[_Ask], asked: Mapping[str, Any]) -> TokenWish:
    new = [ask for ask in asks if not any(asked.get(name) for name in (ask.name, *ask.same))]
    return TokenWish({ask.name: ask.value for ask in new}, Cuts(cut for ask in new for cut in ask.cuts))


def _of_responses(asked: Mapping[str, Any]) -> TokenWish:
    include = asked.get("include")
    include = include if isinstance(include, list) else []
    return TokenWish() if _INCLUDE in include else TokenWish({"include": [*include, _INCLUDE]}, _RESPONSES)


def _of_gemini(asked: Mapping[str, Any]) -> TokenWish:
    name = spelled(asked, "generationConfig")
    config = asked.get(name)
    config = config if isinstance(config, Mapping) else {}
    if get(config, "responseLogprobs"):
        return TokenWish()
    return TokenWish({name: {spelled(config, "responseLogprobs"): True}}, _GEMINI)


def _may_be_bare(data: bytes) -> bool:
    return b'"delta":{}' in data or b'"choices":[]' in data


def _is_bare(data: bytes) -> bool:
    """Whether a chunk of the `chat` dialect, its token ids taken out, says nothing: it would not have come without."""
    chunk = load(data)
    if not isinstance(chunk, dict) or not isinstance(choices := chunk.get("choices"), list):
        return False
    return all(value is None for name, value in chunk.items() if name not in _HEAD) and all(
        isinstance(choice, dict)
        and not choice.get("delta")
        and all(value is None for name, value in choice.items() if name not in ("index", "delta"))
        for choice in choices
    )
