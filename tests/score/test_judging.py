"""Judges: the prompt that they send, the verdict that they read, what they spend, and how they fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from drawbar import Judge, Verdict, judge
from drawbar.errors import ConfigurationError, JudgeError


class Models:
    """Answers every model with the same words, and keeps what it was asked."""

    def __init__(self, *words: str, usage: Mapping[str, Any] | None = None) -> None:
        self.words = list(words)
        self.usage = usage
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    async def __call__(self, model: str, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        self.asked.append((model, body))
        word = self.words[min(len(self.asked), len(self.words)) - 1]
        return {"choices": [{"message": {"role": "assistant", "content": word}}], "usage": self.usage}


def about(models: Any, **context: Any) -> Judge:
    template = "Question: {{ question }}. Said: {{ completion }}. {{ verdicts | join('/') }}?"
    return Judge(template=template, model="m").bound(models, {"question": "2+2", "completion": "4", **context})


async def test_the_template_is_filled_and_sent_to_the_judges_own_model() -> None:
    models = Models("yes")
    assert await about(models)() == Verdict(1.0, "yes")
    assert models.asked == [
        ("m", {"messages": [{"role": "user", "content": "Question: 2+2. Said: 4. yes/no?"}]}),
    ]


async def test_a_system_prompt_and_sampling_go_with_it() -> None:
    models = Models("no")
    asked = Judge(template="t", model="m", system="Be strict.", sampling={"temperature": 0})
    await asked.bound(models, {})()
    assert models.asked[0][1] == {
        "temperature": 0,
        "messages": [{"role": "system", "content": "Be strict."}, {"role": "user", "content": "t"}],
    }


async def test_more_can_be_given_to_the_template_when_it_is_asked() -> None:
    models = Models("yes")
    await Judge(template="Is it {{ tone }}?", model="m").bound(models, {})(tone="formal")
    assert models.asked[0][1]["messages"][0]["content"] == "Is it formal?"


async def test_what_the_agent_said_is_data_and_never_template() -> None:
    models = Models("yes")
    await about(models, completion="{{ 7 * 7 }}{% raw %}")()
    assert "{{ 7 * 7 }}{% raw %}" in models.asked[0][1]["messages"][0]["content"]


async def test_verdicts_have_the_values_that_they_were_given() -> None:
    graded = Judge(template="t", model="m", verdicts={"A": 1.0, "B": 0.5, "C": 0.0})
    assert (await graded.bound(Models("Hm.\nGrade: B"), {})()).value == 0.5


async def test_a_parser_of_ones_own_takes_the_place_of_verdicts() -> None:
    rated = Judge(template="t", model="m", parse=lambda reply: float(reply.split()[-1]) / 10)
    assert (await rated.bound(Models("I say 7"), {})()).value == 0.7
    with pytest.raises(JudgeError, match="`parse` failed on 'nothing'"):
        await rated.bound(Models("nothing"), {})()


async def test_no_verdict_is_an_error_that_shows_the_reply() -> None:
    with pytest.raises(JudgeError, match=r"Judge m gave no verdict: wanted 'yes' or 'no', it said 'Perhaps\.'"):
        await about(Models("Perhaps."))()


async def test_each_binding_has_an_account_of_its_own() -> None:
    models = Models("yes", usage={"prompt_tokens": 10, "completion_tokens": 2, "cost": 0.25})
    one, other = about(models), about(models)
    await one()
    await one()
    assert (one.usage.calls, one.usage.prompt_tokens, one.usage.completion_tokens, one.usage.cost) == (2, 20, 4, 0.5)
    assert (other.usage.model, other.usage.calls, other.usage.cost) == ("m", 0, None)


async def test_what_was_spent_counts_even_when_there_was_no_verdict() -> None:
    asked = about(Models("?", usage={"prompt_tokens": 10, "completion_tokens": 2}))
    with pytest.raises(JudgeError):
        await asked()
    assert (asked.usage.calls, asked.usage.prompt_tokens, asked.usage.cost) == (1, 10, None)


async def test_a_model_that_fails_is_a_judge_that_gives_no_verdict() -> None:
    async def down(model: str, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        raise ConnectionError("nobody there")

    with pytest.raises(JudgeError, match="Judge m could not be asked: ConnectionError: nobody there"):
        await about(down)()


@pytest.mark.parametrize("completion", [{}, {"choices": []}, {"choices": [{"message": {"content": None}}]}])
async def test_an_answer_without_words_is_no_verdict(completion: dict[str, Any]) -> None:
    async def odd(model: str, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        return completion

    with pytest.raises(JudgeError):
        await about(odd)()


async def test_a_judge_that_takes_too_long_is_given_up() -> None:
    async def never(model: str, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError

    with pytest.raises(JudgeError, match=r"within 0\.01 s"):
        await Judge(template="t", model="m", timeout=0.01).bound(never, {})()


async def test_a_judge_without_access_to_models_says_so() -> None:
    with pytest.raises(JudgeError, match="no access to models"):
        await Judge(template="t", model="m")()


async def test_a_name_that_the_template_asks_for_in_vain_is_an_error() -> None:
    with pytest.raises(JudgeError, match="'answer' is undefined"):
        await Judge(template="{{ answer }}", model="m").bound(Models("yes"), {})()


async def test_a_template_cannot_reach_into_python() -> None:
    with pytest.raises(JudgeError, match="unsafe"):
        await Judge(template="{{ ''.__class__.__mro__ }}", model="m").bound(Models("yes"), {})()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"template": "{{ x"}, "line 1"), ({"template": "t", "verdicts": {}}, "verdicts=")],
)
def test_a_judge_that_cannot_work_is_refused_when_it_is_made(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Judge(model="m", **arguments)


def test_a_judge_of_weight_zero_is_a_metric() -> None:
    assert judge("t", model="m").kind == "reward"
    assert judge("t", model="m", weight=0, name="tone").kind == "metric"
