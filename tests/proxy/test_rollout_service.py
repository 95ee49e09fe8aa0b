"""The rollout service: a trainer asks for rollouts, steers them, and gets tokens, rewards and advantages back."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from aiohttp import web

from drawbar.environment import Environment
from drawbar.proxy.settings import Settings
from drawbar.record.store import Store
from drawbar.rollout.service import jobs
from drawbar.task import Task

if TYPE_CHECKING:
    from tests.proxy.conftest import Answer, House, MakeHouse, Provider

SECRET = "sk-trainers-own-endpoint-key"
TASKS = [Task(key="a", prompt="Which letter?", answer="even"), Task(key="b", prompt="Which other?", answer="even")]


def right(completion: str, answer: str) -> bool:
    return completion == answer


def letters() -> dict[str, Environment]:
    return {"letters": Environment(name="letters", tasks=TASKS, rubric=[right])}


def _answer(said: str) -> web.Response:
    choice = {
        "index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop", "token_ids": [7, 8],
        "logprobs": {"content": [{"token": "x", "logprob": -0.5, "bytes": [], "top_logprobs": []}] * 2},
    }  # fmt: skip
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return web.json_response({**answer, "prompt_token_ids": [1, 2, 3]})


async def parity(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Answers rightly where the seed is even."""
    return _answer("odd" if (body.get("seed") or 0) % 2 else "even")


@pytest.fixture
def endpoint(provider: Provider) -> dict[str, Any]:
    provider.answer = parity
    return {"base_url": provider.url + "/v1", "api_key": SECRET}


@pytest.fixture
def wanted(endpoint: dict[str, Any]) -> dict[str, Any]:
    return {"id": "step 1", "task": "a", "count": 4, "model": "policy", "endpoint": endpoint, "seed": 0}


async def call(house: House, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    async with house.http.request(method, house.url + path, data=data, headers=headers) as response:
        return response.status, await response.json()


class Held:
    """Answers of an endpoint that come when they are let."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = asyncio.Event()
        self._come = asyncio.Condition()

    async def __call__(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        async with self._come:
            self.asked += 1
            self._come.notify_all()
        await self.go.wait()
        return await parity(request, body)

    async def until(self, asked: int) -> None:
        """Wait until so many requests have come."""
        with anyio.fail_after(10):
            async with self._come:
                await self._come.wait_for(lambda: self.asked >= asked)


def but_for_others(held: Held) -> Answer:
    """Task b's answers come when they are let, the others at once."""

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await (held if "other" in json.dumps(body) else parity)(request, body)

    return answer


async def test_rollouts_come_back_with_tokens_rewards_and_advantages(serve: MakeHouse, wanted: dict[str, Any]) -> None:
    async with serve(environments=letters()) as house:
        status, job = await call(house, "POST", "/api/rollouts", {**wanted, "policy_version": "step-1"})
    assert (status, job["status"], job["total"], job["ended"], job["id"]) == (200, "finished", 4, 4, "step 1")
    rollouts = sorted(job["rollouts"], key=lambda rollout: rollout["rollout"])
    assert [rollout["reward"] for rollout in rollouts] == [1.0, 0.0, 1.0, 0.0]
    assert [rollout["policy_versions"] for rollout in rollouts] == [["step-1"]] * 4
    [row] = rollouts[0]["rows"]
    assert (row["prompt_ids"], row["completion_ids"], row["loss_mask"]) == ([1, 2, 3], [7, 8], [1, 1])
    assert (row["logprobs"], row["group_size"], row["advantage_centered"]) == ([-0.5, -0.5], 4, 0.5)
    assert row["session"] == rollouts[0]["session"]


async def test_the_endpoint_is_asked_with_its_key_which_is_nowhere_else(
    serve: MakeHouse, wanted: dict[str, Any], provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(environments=letters()) as house:
        _, job = await call(house, "POST", "/api/rollouts", wanted)
        assert {request.headers["authorization"] for request in provider.requests} == {f"Bearer {SECRET}"}
        assert provider.bodies[0]["model"] == "policy"
        await house.gateway.recorder.commit()
        assert not [file for file in house.store_files() if SECRET.encode() in file.read_bytes()]
    assert SECRET not in json.dumps(job) + caplog.text


async def test_the_same_id_is_the_same_job_and_plays_nothing_twice(
    serve: MakeHouse, wanted: dict[str, Any], provider: Provider, tmp_path: Path
) -> None:
    async with serve(environments=letters()) as house:
        _, first = await call(house, "POST", "/api/rollouts", wanted)
        _, again = await call(house, "POST", "/api/rollouts", wanted)
    async with serve(environments=letters(), store=Store.open(tmp_path / "test.db")) as house:
        _, later = await call(house, "POST", "/api/rollouts", wanted)
        _, shown = await call(house, "GET", "/api/rollouts/step%201")
    assert len(provider.requests) == 4
    by_session = [sorted(job["rollouts"], key=lambda it: it["session"]) for job in (first, again, later, shown)]
    assert by_session[0] == by_session[1] == by_session[2] == by_session[3]


async def test_an_id_that_stands_for_something_else_is_refused(serve: MakeHouse, wanted: dict[str, Any]) -> None:
    async with serve(environments=letters()) as house:
        await call(house, "POST", "/api/rollouts", wanted)
        status, said = await call(house, "POST", "/api/rollouts", {**wanted, "count": 5})
    assert (status, said["error"]["code"]) == (409, "id_taken")


async def test_a_client_that_leaves_loses_nothing(serve: MakeHouse, wanted: dict[str, Any], provider: Provider) -> None:
    provider.answer = held = Held()
    async with serve(environments=letters()) as house:
        asking = asyncio.create_task(call(house, "POST", "/api/rollouts", wanted))
        await held.until(4)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        held.go.set()
        status, job = await call(house, "GET", "/api/rollouts/step%201?wait=10")
    assert (status, job["status"], job["ended"]) == (200, "finished", 4)


async def test_without_waiting_the_job_is_looked_at_later(
    serve: MakeHouse, wanted: dict[str, Any], provider: Provider
) -> None:
    provider.answer = held = Held()
    async with serve(environments=letters()) as house:
        status, job = await call(house, "POST", "/api/rollouts", {**wanted, "wait": False})
        assert (status, job["status"], job["ended"], job["rollouts"]) == (202, "running", 0, [])
        status, job = await call(house, "GET", "/api/rollouts/step%201")
        assert (status, job["status"]) == (202, "running")
        held.go.set()
        status, job = await call(house, "POST", "/api/rollouts", wanted)
    assert (status, job["status"], job["ended"]) == (200, "finished", 4)


async def test_finished_tasks_come_as_lines_while_others_go_on(
    serve: MakeHouse, wanted: dict[str, Any], provider: Provider
) -> None:
    held = Held()
    provider.answer = but_for_others(held)
    asked = {**wanted, "task": None, "tasks": ["a", "b"], "count": 2, "wait": False}
    async with serve(environments=letters()) as house:
        await call(house, "POST", "/api/rollouts", asked)
        async with house.http.get(house.url + "/api/rollouts/step%201?stream=1") as response:
            lines = [json.loads(await response.content.readline()) for _ in range(2)]
            held.go.set()
            lines += [json.loads(line) async for line in response.content]
    assert [line.get("task") for line in lines] == ["a", "a", "b", "b", None]
    assert [line["rows"][0]["group_size"] for line in lines[:4]] == [2] * 4
    assert (lines[-1]["status"], lines[-1]["ended"]) == ("finished", 4)


async def test_a_job_is_cancelled_and_stays_so(serve: MakeHouse, wanted: dict[str, Any], provider: Provider) -> None:
    provider.answer = held = Held()
    async with serve(environments=letters()) as house:
        await call(house, "POST", "/api/rollouts", {**wanted, "wait": False})
        await held.until(4)
        status, job = await call(house, "DELETE", "/api/rollouts/step%201")
        assert (status, job["status"], job["ended"]) == (200, "cancelled", 0)
        status, job = await call(house, "POST", "/api/rollouts", wanted)
        assert (status, job["status"]) == (200, "cancelled")
        _, steered = await call(house, "GET", "/api/rollouts")
    assert steered["under_way"] == []
    assert (steered["rollouts_under_way"], steered["calls_under_way"]) == (0, 0)


async def test_a_job_that_was_interrupted_goes_on_when_it_is_asked_for_again(
    serve: MakeHouse, wanted: dict[str, Any], provider: Provider, tmp_path: Path
) -> None:
    held = Held()
    provider.answer = but_for_others(held)
    asked = {**wanted, "task": None, "tasks": ["a", "b"], "count": 2, "wait": False}
    async with serve(environments=letters()) as house:
        await call(house, "POST", "/api/rollouts", asked)
        async with house.http.get(house.url + "/api/rollouts/step%201?stream=1") as response:
            before = [json.loads(await response.content.readline()) for _ in range(2)]
        await held.until(2)
    async with serve(environments=letters(), store=Store.open(tmp_path / "test.db")) as house:
        status, job = await call(house, "GET", "/api/rollouts/step%201")
        assert (status, job["status"]) == (200, "interrupted")
        provider.answer = parity
        status, job = await call(house, "POST", "/api/rollouts", {**asked, "wait": True})
    assert (status, job["status"], job["ended"]) == (200, "finished", 4)
    assert {it["session"] for it in before} < {it["session"] for it in job["rollouts"]}
    assert len(provider.requests) == 6, "what was finished before was played again"


async def test_paused_rollouts_wait_and_go_on_with_the_new_version(
    serve: MakeHouse, wanted: dict[str, Any], provider: Provider
) -> None:
    provider.answer = held = Held()
    async with serve(environments=letters()) as house:
        assert (await call(house, "PUT", "/api/policy", {"version": 1}))[1]["version"] == "1"
        await call(house, "POST", "/api/rollouts", {**wanted, "count": 2, "concurrency": 1, "wait": False})
        await held.until(1)
        _, steered = await call(house, "POST", "/api/rollouts/pause", {"wait": 0.05})
        assert (steered["paused"], steered["calls_under_way"]) == (True, 1)
        held.go.set()
        _, steered = await call(house, "POST", "/api/rollouts/pause", {"wait": 10})
        assert steered["calls_under_way"] == 0
        await call(house, "PUT", "/api/policy", {"version": 2})
        assert held.asked == 1, "a rollout began while all was paused"
        await call(house, "POST", "/api/rollouts/resume")
        _, job = await call(house, "GET", "/api/rollouts/step%201?wait=10")
    assert sorted(rollout["policy_versions"] for rollout in job["rollouts"]) == [["1"], ["2"]]


async def test_draining_lets_rollouts_end_and_none_begin(
    serve: MakeHouse, wanted: dict[str, Any], provider: Provider
) -> None:
    provider.answer = held = Held()
    async with serve(environments=letters()) as house:
        await call(house, "POST", "/api/rollouts", {**wanted, "concurrency": 2, "wait": False})
        await held.until(2)
        draining = asyncio.create_task(call(house, "POST", "/api/rollouts/drain", {"wait": 10}))
        held.go.set()
        _, steered = await draining
        assert (steered["draining"], steered["rollouts_under_way"], held.asked) == (True, 0, 2)
        await call(house, "POST", "/api/rollouts/resume")
        _, job = await call(house, "GET", "/api/rollouts/step%201?wait=10")
    assert job["ended"] == 4


async def test_a_task_may_come_with_the_request(serve: MakeHouse, wanted: dict[str, Any]) -> None:
    task = {"key": "own", "prompt": "Say odd.", "answer": "odd"}
    async with serve(environments=letters()) as house:
        _, job = await call(house, "POST", "/api/rollouts", {**wanted, "task": task, "count": 2})
    assert sorted((it["task"], it["reward"]) for it in job["rollouts"]) == [("own", 0.0), ("own", 1.0)]


async def test_an_endpoint_that_tells_no_tokens_is_named(
    serve: MakeHouse, wanted: dict[str, Any], provider: Provider
) -> None:
    async def plain(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(provider.completion("even"))

    provider.answer = plain
    async with serve(environments=letters()) as house:
        _, job = await call(house, "POST", "/api/rollouts", {**wanted, "count": 1})
    [rollout] = job["rollouts"]
    assert (rollout["reward"], rollout["rows"], rollout["left_out"]) == (1.0, [], "no_token_ids")


async def test_a_full_queue_says_when_to_come_again(
    serve: MakeHouse, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MOST_WAITING", 3)
    async with serve(environments=letters()) as house:
        response = await house.post(None, wanted, path="/api/rollouts")
        assert (response.status, response.headers["retry-after"]) == (429, "5")
        said = await response.json()
    assert said["error"]["code"] == "too_many_rollouts"


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"task": None}, 400, "Say which `task`"),
        ({"task": "c"}, 404, "task"),
        ({"environment": "words"}, 404, "environment"),
        ({"count": 0}, 400, "`count` is 1 or more"),
        ({"count": 10_000}, 400, "4,096 rollouts at most"),
        ({"harness": "command"}, 404, "drawbar run --gateway"),
        ({"harness": "os:system"}, 404, "harness"),
        ({"harness": "codex", "harness_options": {"binary": "/bin/sh"}}, 400, "not taken here"),
        ({"endpoint": {"base_url": "file:///etc/passwd"}}, 400, "looks like http"),
        ({"endpoint": {"base_url": "http://me:secret@host/v1"}}, 400, "api_key"),
        ({"endpoint": {"base_url": "http://host/v1", "key": "x"}}, 400, "unknown field"),
        ({"temperature": 1}, 400, "unknown field"),
        ({"limits": {"steps": 3}}, 400, "limits"),
        ({"tasks": ["a"]}, 400, "comes twice"),
        ({"endpoint": None, "model": "nothing"}, 404, "nothing"),
    ],
)
async def test_what_cannot_be_meant_is_told(
    serve: MakeHouse, wanted: dict[str, Any], changes: dict[str, Any], status: int, said: str
) -> None:
    from drawbar.proxy.models import Models

    async with serve(environments=letters(), models=Models()) as house:
        found, answer = await call(house, "POST", "/api/rollouts", {**wanted, **changes})
    assert found == status, answer
    assert said in answer["error"]["message"]


async def test_only_an_admin_may_ask(serve: MakeHouse, wanted: dict[str, Any], provider: Provider) -> None:
    async with serve(environments=letters(), settings=Settings(admin_key="boss")) as house:
        for method, path in (("POST", "/api/rollouts"), ("PUT", "/api/policy"), ("DELETE", "/api/rollouts/x")):
            assert (await call(house, method, path, wanted))[0] == 401
        status, _ = await call(house, "POST", "/api/rollouts", wanted, authorization="Bearer boss")
    assert (status, len(provider.requests)) == (200, 4)
