"""The tokens of a conversation in a row, put together from what its calls recorded, never made again from words.

A call tells the ids of its whole prompt and of its reply. Where the next prompt goes on token for token from the prompt
and reply before it, what comes between (tool results, the user's next words) is read and not trained. Where it does
not, a model that is trained on the joined tokens would learn from others than it saw: another row begins there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from drawbar.trajectory import Call
from drawbar.wire.token_view import Tokens

Split: TypeAlias = Literal["retokenized", "without_reasoning", "prompt_changed"]

WHY: Final[dict[Split, str]] = {
    "retokenized": "a reply came back as other tokens than the model had said",
    "without_reasoning": "a reply came back without its reasoning",
    "prompt_changed": "what stood before a reply was other tokens at the next call",
}
"""Why a row does not go on, in words."""


@dataclass(slots=True)
class TokenRow:
    """A prompt, and what came after it."""

    prompt: list[int]
    split: Split | None = None
    """Why it is not one with the row before it; None: it is its branch's first."""
    completion: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    """For each token of the completion: 1, the model said it; 0, it is only read."""
    logprobs: list[float] | None = field(default_factory=list)
    """For each token of the completion, 0 where it is only read; None: not all of the model's were told."""
    calls: list[Call] = field(default_factory=list)
    replied: int = 0
    """How many tokens the last reply has; with them the completion ends."""

    def read(self, ids: Iterable[int]) -> None:
        """Tokens that others said."""
        before = len(self.completion)
        self.completion += ids
        read = len(self.completion) - before
        self.mask += [0] * read
        if self.logprobs is not None:
            self.logprobs += [0.0] * read

    def say(self, call: Call, tokens: Tokens) -> None:
        """A reply."""
        ids, logprobs = tokens.token_ids or (), tokens.logprobs
        self.calls.append(call)
        self.replied = len(ids)
        self.completion += ids
        self.mask += [1] * len(ids)
        if self.logprobs is None or (ids and (logprobs is None or len(logprobs) != len(ids))):
            self.logprobs = None
        else:
            self.logprobs += logprobs or ()

    def split_before(self, call: Call, prompt: tuple[int, ...]) -> Split | None:
        """Why a call with this prompt does not go on from here; None: it does."""
        said = [*self.prompt, *self.completion]
        if list(prompt[: len(said)]) == said:
            return None
        asked = len(said) - self.replied
        if list(prompt[:asked]) != said[:asked]:
            return "prompt_changed"
        return "without_reasoning" if call.edge == "without_reasoning" else "retokenized"


def token_rows(calls: Iterable[Call]) -> Iterator[TokenRow]:
    """The rows of calls that follow each other in one branch. Each must have told its prompt's token ids and its
    reply's."""
    row: TokenRow | None = None
    for call in calls:
        tokens = call.tokens
        assert tokens is not None
        assert tokens.prompt_token_ids is not None
        prompt = tokens.prompt_token_ids
        split = row.split_before(call, prompt) if row is not None else None
        if row is None or split is not None:
            if row is not None:
                yield row
            row = TokenRow(list(prompt), split)
        else:
            row.read(prompt[len(row.prompt) + len(row.completion) :])
        row.say(call, tokens)
    if row is not None:
        yield row
