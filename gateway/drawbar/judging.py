"""Judges: a model that gives a verdict on what an agent did.

A judge knows a prompt template, a model of its own and how to read the reply. It does not know how models are
reached: `score` binds it to an `Ask`. When it gives no verdict there is no score, never a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import anyio

from drawbar.errors import ConfigurationError, JudgeError
from drawbar.rubric import Scorer
from drawbar.templates import compiled
from drawbar.verdicts import find_verdict

DEFAULT_VERDICTS: Mapping[str, float] = {"yes": 1.0, "no": 0.0}
_SHOWN = 300


class Ask(Protocol):
    """How a judge reaches models: a chat completions body in, a chat completion out."""

    async def __call__(self, model: str, body: Mapping[str, Any], /) -> Mapping[str, Any]: ...


class Verdict(NamedTuple):
    """What a judge said. A scorer may return one as it is."""

    value: float
    explanation: str
    """The judge's whole reply."""


@dataclass(slots=True)
class Usage:
    """What was spent on asking one model. `cost` is None as long as no price is known."""

    model: str
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None

    def add(self, completion: Mapping[str, Any]) -> None:
        """Enter one chat completion: its `usage`, and `usage.cost` where the provider states one."""
        usage = completion.get("usage") or {}
        self.calls += 1
        self.prompt_tokens += usage.get("prompt_tokens") or 0
        self.completion_tokens += usage.get("completion_tokens") or 0
        if isinstance(cost := usage.get("cost"), int | float):
            self.cost = (self.cost or 0.0) + cost


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A prompt template, a model, and how to read its reply.

    The template is jinja2 and sees `question`, `answer`, `completion`, `task`, `info`, `trajectory` (of a group:
    `completions`, `trajectories`), `verdicts` (their names) and whatever else the judge is called with. A name that
    is not there is an error. In a scorer, `await judge()` asks and returns a `Verdict`; it raises `JudgeError` when
    there is none.

    Raises:
        ConfigurationError: a template that jinja2 cannot read, or neither `verdicts` nor `parse`.
    """

    template: str
    model: str
    """Empty: none is named yet, and what asks for this judge has no score and weighs nothing."""
    verdicts: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_VERDICTS))
    """What it may say, and what that is worth. `drawbar.verdicts` says how a reply is read."""
    parse: Callable[[str], float | None] | None = None
    """Reads the reply in the place of `verdicts`; None means that there is no verdict."""
    system: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request: `temperature`, `max_completion_tokens`, ..."""
    timeout: float = 120.0
    """Seconds for one verdict."""
    ask: Ask | None = field(default=None, repr=False, compare=False)
    """Bound by `score`."""
    context: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """What the template sees. Bound by `score`."""
    usage: Usage = field(default_factory=lambda: Usage(""), repr=False, compare=False)
    """What this judge has spent since it was bound."""

    def __post_init__(self) -> None:
        if not self.verdicts and self.parse is None:
            raise ConfigurationError("A judge needs `verdicts={...}` or `parse=`, else nothing that it says counts.")
        compiled(self.template, "A judge's template")

    @property
    def configuration(self) -> dict[str, Any]:
        """All that decides its verdicts: part of a rubric's version."""
        return {
            "template": self.template, "system": self.system, "model": self.model, "verdicts": dict(self.verdicts),
            "sampling": dict(self.sampling), "parse": self.parse,
        }  # fmt: skip

    def bound(self, ask: Ask | None, context: Mapping[str, Any]) -> Judge:
        """This judge, able to ask about one trajectory, with an account of its own."""
        return replace(self, ask=ask, context=context, usage=Usage(self.model))

    def render(self, **extra: Any) -> str:
        """The prompt. Raises `JudgeError` when the template asks for what there is not."""
        try:
            return compiled(self.template).render({"verdicts": list(self.verdicts), **self.context, **extra})
        except Exception as error:
            raise JudgeError(f"The judge's template could not be filled in: {error}") from error

    async def __call__(self, **extra: Any) -> Verdict:
        """Ask for a verdict; `extra` goes to the template."""
        reply = await self._reply(self.render(**extra))
        value = self._read(reply)
        if value is None:
            wanted = "what `parse` reads" if self.parse else " or ".join(map(repr, self.verdicts))
            raise JudgeError(f"Judge {self.model} gave no verdict: wanted {wanted}, it said {_short(reply)!r}.")
        return Verdict(value, reply)

    async def _reply(self, prompt: str) -> str:
        if self.ask is None:
            raise JudgeError(f"Judge {self.model} has no access to models here: `drawbar.score.score(..., ask=...)`.")
        opening = [] if self.system is None else [{"role": "system", "content": self.system}]
        body = {**self.sampling, "messages": [*opening, {"role": "user", "content": prompt}]}
        try:
            with anyio.fail_after(self.timeout):
                completion = await self.ask(self.model, body)
            self.usage.add(completion)
            return words(completion)
        except TimeoutError as error:
            raise JudgeError(f"Judge {self.model} gave no verdict within {self.timeout:g} s.") from error
        except Exception as error:
            raise JudgeError(f"Judge {self.model} could not be asked: {type(error).__name__}: {error}") from error

    def _read(self, reply: str) -> float | None:
        if self.parse is None:
            found = find_verdict(reply, self.verdicts)
            return None if found is None else self.verdicts[found]
        try:
            return self.parse(reply)
        except Exception as error:
            raise JudgeError(
                f"Judge {self.model}: `parse` failed on {_short(reply)!r}: {type(error).__name__}: {error}"
            ) from error


def judge(
    template: str,
    *,
    model: str,
    name: str = "judge",
    weight: float = 1.0,
    verdicts: Mapping[str, float] = DEFAULT_VERDICTS,
    parse: Callable[[str], float | None] | None = None,
    system: str | None = None,
    sampling: Mapping[str, Any] | None = None,
    timeout: float = 120.0,
) -> Scorer:
    """A reward that is a judge's verdict: `judge("Is {{ completion }} polite? yes or no", model="gpt-5-mini")`.

    Weight 0 makes it a metric. The other arguments are those of `Judge`.
    """
    asked = Judge(
        template=template, model=model, verdicts=verdicts, parse=parse, system=system, sampling=sampling or {},
        timeout=timeout,
    )  # fmt: skip
    return Scorer(_verdict, name, "reward" if weight else "metric", weight, asked)


async def _verdict(judge: Judge) -> Verdict:
    return await judge()


def words(completion: Mapping[str, Any]) -> str:
    """What a chat completion says."""
    content = completion["choices"][0]["message"].get("content")
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return content or ""


def _short(reply: str) -> str:
    return reply if len(reply) <= _SHOWN else "..." + reply[-_SHOWN:]
