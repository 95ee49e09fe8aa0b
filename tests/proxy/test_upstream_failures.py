"""Upstreams that fail: what is tried again, what is passed on, and what the record says."""

from __future__ import annotations

import email.utils
import time
from typing import TYPE_CHECKING, Any

import openai
import pytest
from aiohttp import web

from drawbar.causes import CAUSES
from drawbar.proxy.failures import Decision, RetryPolicy, decide, refusal, retry_after
from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings
from drawbar.proxy.upstream import UpstreamError

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam
    from tests.proxy.conftest import House, MakeHouse, Provider

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
ASK = {"model": "m", "messages": HI}
POLICY = RetryPolicy(attempts=3, first_wait=1.0, longest_wait=3.0, longest_retry_after=10.0)


def failing(provider: Provider, times: int, status: int, headers: dict[str, str] | None = None) -> None:
    """The provider refuses so many requests, then answers."""

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if len(provider.raw) <= times:
            return web.json_response({"error": {"message": f"bad day {status}"}}, status=status, headers=headers)
        return web.json_response(provider.completion())

    provider.answer = answer


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
async def test_a_failure_that_goes_away_is_not_seen_by_the_client(
    house: House, provider: Provider, status: int
) -> None:
    failing(provider, 2, status)
    session = await house.session()
    assert (await house.post(session, ASK)).status == 200
    (call,) = (await house.trajectory(session)).calls
    assert (call.status, call.attempts) == ("answered", 3)


@pytest.mark.parametrize(
    ("status", "requests", "cause"),
    [
        (429, 3, "upstream_rate_limited"),
        (500, 3, "upstream_unavailable"),
        (503, 3, "upstream_unavailable"),
        (400, 1, "upstream_rejected"),
        (401, 1, "upstream_rejected"),
        (404, 1, "upstream_rejected"),
        (422, 1, "upstream_rejected"),
    ],
)
async def test_a_failure_that_stays_is_passed_on_as_it_is(
    house: House, provider: Provider, status: int, requests: int, cause: str
) -> None:
    failing(provider, 99, status, {"x-request-id": "req-7"})
    session = await house.session()
    response = await house.post(session, ASK)
    assert (response.status, await response.json()) == (status, {"error": {"message": f"bad day {status}"}})
    assert (response.headers["x-request-id"], response.headers["x-should-retry"]) == ("req-7", "false")
    assert len(provider.raw) == requests
    trajectory = await house.trajectory(session)
    (call,) = trajectory.calls
    assert (call.status, call.cause, call.http_status, call.attempts) == ("failed", cause, status, requests)
    assert call.error == f"bad day {status}"
    assert cause in CAUSES
    assert trajectory.turns == 0


async def test_what_the_provider_asks_to_wait_is_passed_on_when_it_is_too_long(
    house: House, provider: Provider
) -> None:
    failing(provider, 99, 429, {"retry-after": "7"})
    response = await house.post(await house.session(), ASK)
    assert (response.status, response.headers["retry-after"], len(provider.raw)) == (429, "7", 1)
    assert "x-should-retry" not in response.headers


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"message": "This model's maximum context length is 8192 tokens.", "code": "context_length_exceeded"}),
        (400, {"message": "prompt is too long: 210000 tokens > 200000 maximum"}),
        (400, {"message": "The input token count (5000) exceeds the maximum number of tokens allowed (4096)."}),
        (413, {"message": "Request too large: reduce the length of the messages"}),
        (422, {"message": "Input is too long for requested model."}),
    ],
)
async def test_a_conversation_that_outgrew_the_model_is_recognised(
    house: House, provider: Provider, status: int, error: dict[str, str]
) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": error}, status=status)

    provider.answer = answer
    session = await house.session()
    assert (await house.post(session, ASK)).status == status
    (call,) = (await house.trajectory(session)).calls
    assert (call.cause, len(provider.raw)) == ("context_overflow", 1)
    await house.gateway.end(session.id, stop="agent_failed")
    assert (await house.trajectory(session)).stop == "context_overflow"


async def test_an_upstream_that_is_not_there_is_told_without_a_traceback(serve: MakeHouse) -> None:
    async with serve(models=Models(base_url="http://127.0.0.1:9/v1", api_key="k")) as house:
        session = await house.session()
        async with house.openai(session) as client:
            with pytest.raises(
                openai.InternalServerError,
                match=r"custom at http://127.0.0.1:9/v1 could not be reached: nothing listens there",
            ):
                await client.chat.completions.create(model="m", messages=HI)
        (call,) = (await house.trajectory(session)).calls
        assert (call.status, call.cause, call.http_status, call.attempts) == ("failed", "upstream_unavailable", 502, 3)


@pytest.mark.parametrize("body", [b"<html>busy</html>", b'{"no":"choices"}', b""])
async def test_an_answer_that_cannot_be_read_is_asked_for_again_and_kept(
    house: House, provider: Provider, body: bytes
) -> None:
    async def answer(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    provider.answer = answer
    session = await house.session()
    response = await house.post(session, ASK)
    assert (response.status, (await response.json())["error"]["code"]) == (502, "upstream_broken")
    (call,) = (await house.trajectory(session)).calls
    assert (call.cause, call.attempts, call.response_envelope) == ("upstream_broken", 3, body)


async def test_an_answer_that_breaks_off_is_asked_for_again(house: House, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if len(provider.raw) > 1:
            return web.json_response(provider.completion())
        response = web.StreamResponse(headers={"content-type": "application/json", "content-length": "1000"})
        await response.prepare(request)
        await response.write(b'{"id"')
        assert request.transport is not None
        request.transport.close()
        return response

    provider.answer = answer
    session = await house.session()
    assert (await house.post(session, ASK)).status == 200
    assert (await house.trajectory(session)).calls[0].attempts == 2


async def test_an_error_that_hides_in_a_200_is_an_error(house: House, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"code": 402, "message": "out of credits"}})

    provider.answer = answer
    session = await house.session()
    response = await house.post(session, ASK)
    assert (response.status, (await response.json())["error"]["message"]) == (402, "out of credits")
    assert (await house.trajectory(session)).calls[0].cause == "upstream_rejected"


async def test_the_next_model_is_asked_when_the_one_that_was_named_fails(serve: MakeHouse, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if body["model"] != "third":
            return web.json_response(
                {"error": {"message": "down"}}, status={"first": 503, "second": 404}[body["model"]]
            )
        return web.json_response(provider.completion())

    provider.answer = answer
    models = Models(base_url=provider.url + "/v1", fallbacks=["second", "third"])
    async with serve(models=models) as house:
        session = await house.session()
        assert (await house.post(session, {**ASK, "model": "first"})).status == 200
        (call,) = (await house.trajectory(session)).calls
        assert (call.model, call.upstream, call.attempts) == ("first", "custom/third", 5)
        assert [body["model"] for body in provider.bodies] == ["first", "first", "first", "second", "third"]


async def test_a_judge_is_retried_too_and_learns_the_cause(provider: Provider) -> None:
    failing(provider, 1, 500)
    models = Models(base_url=provider.url + "/v1", retries=RetryPolicy(first_wait=0.001))
    try:
        completion = await models.chat("judge", {"messages": HI, "temperature": 0})
        assert completion["choices"][0]["message"]["content"] == "hello"
        assert provider.bodies[-1] == {"messages": HI, "temperature": 0, "model": "judge", "stream": False}
        failing(provider, 99, 403)
        with pytest.raises(UpstreamError, match="bad day 403") as caught:
            await models.chat("judge", {"messages": HI})
        assert caught.value.cause == "upstream_rejected"
    finally:
        await models.aclose()


def error(status: int, *headers: tuple[bytes, bytes], body: bytes = b"") -> UpstreamError:
    return refusal(status, headers, body, "")


@pytest.mark.parametrize(
    ("failure", "attempt", "fallbacks", "decision"),
    [
        (error(500), 1, 0, Decision("retry", 1.0)),
        (error(500), 2, 0, Decision("retry", 2.0)),
        (error(500), 3, 0, Decision("give up")),
        (error(500), 3, 1, Decision("fallback")),
        (error(429, (b"retry-after", b"9")), 1, 0, Decision("retry", 9.0)),
        (error(429, (b"retry-after", b"11")), 1, 0, Decision("give up")),
        (error(429, (b"retry-after", b"11")), 1, 1, Decision("fallback")),
        (error(429, (b"retry-after-ms", b"250")), 1, 0, Decision("retry", 0.25)),
        (error(429, body=b'{"error":{"code":"insufficient_quota"}}'), 1, 0, Decision("give up")),
        (error(429, body=b'{"error":{"code":"insufficient_quota"}}'), 1, 1, Decision("fallback")),
        (error(404), 1, 1, Decision("fallback")),
        (error(401), 1, 0, Decision("give up")),
        (error(400), 1, 1, Decision("give up")),
        (error(400, body=b"maximum context length"), 1, 1, Decision("give up")),
        (error(302), 1, 0, Decision("give up")),
    ],
)
def test_what_follows_from_a_failure(failure: UpstreamError, attempt: int, fallbacks: int, decision: Decision) -> None:
    assert decide(failure, attempt=attempt, fallbacks=fallbacks, policy=POLICY) == decision


def test_waits_grow_to_a_bound_and_jitter_shortens_them() -> None:
    waits = [
        decide(error(500), attempt=n, fallbacks=0, policy=RetryPolicy(attempts=9), jitter=1.0).wait for n in range(1, 9)
    ]
    assert waits == [0.375, 0.75, 1.5, 3.0, 6.0, 6.0, 6.0, 6.0]


@pytest.mark.parametrize(
    ("value", "seconds"), [(b"1.5", 1.5), (b"0", 0.0), (b"-3", None), (b"soon", None), (b"inf", None), (b"nan", None)]
)
def test_a_time_to_wait_is_read_or_left_alone(value: bytes, seconds: float | None) -> None:
    assert retry_after([(b"retry-after", value)]) == seconds


def test_a_time_to_wait_may_be_a_date() -> None:
    date = email.utils.formatdate(time.time() + 60, usegmt=True).encode()
    found = retry_after([(b"retry-after", date)])
    assert found is not None
    assert 55 < found <= 60


async def test_only_a_session_that_was_opened_is_told_not_to_ask_again(
    house: House, serve: MakeHouse, provider: Provider
) -> None:
    failing(provider, 99, 500)
    assert "x-should-retry" not in (await house.post(None, ASK)).headers  # a live agent is as patient as it was
    async with serve(settings=Settings(retries=RetryPolicy(attempts=1))) as once:
        assert "x-should-retry" not in (await once.post(await once.session(), ASK)).headers
