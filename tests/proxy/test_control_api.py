"""The control API: how another process opens, ends, scores and reads sessions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from drawbar.environment import Environment
from drawbar.proxy.settings import Settings
from drawbar.proxy.spec_json import spec_to_json
from drawbar.proxy.trajectory_json import trajectory_from_json, trajectory_to_json
from drawbar.sessions import SessionSpec
from drawbar.task import Limits, Task

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse, Provider

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


async def call(house: House, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    async with house.http.request(method, house.url + path, data=data, headers=headers) as response:
        return response.status, await response.json()


async def opened(house: House, spec: SessionSpec) -> dict[str, Any]:
    status, value = await call(house, "POST", "/api/sessions", spec_to_json(spec))
    assert status == 200, value
    found: dict[str, Any] = value
    return found


async def test_a_session_is_opened_used_scored_read_and_ended(serve: MakeHouse) -> None:
    environment = Environment(name="wiki", version="1.2.3", description="d")
    async with serve(environments={"wiki": environment}) as house:
        task = Task(prompt="q", answer="a", key="t", info={"x": [1]})
        spec = SessionSpec(environment="wiki", task=task, run="run_1", rollout=2, model="real", limits=Limits(turns=5))
        session = await opened(house, spec)
        assert session["mcp_path"] == f"/s/{session['key']}/mcp"
        assert (await house.post(None, ASK, path=session["path"] + "/v1/chat/completions")).status == 200
        scores = [{"name": "helpful", "value": 0.5, "explanation": "so so", "usage": {"cost": 0.1}}]
        status, value = await call(house, "POST", f"/api/sessions/{session['id']}/scores", {"scores": scores})
        assert (status, len(value["ids"])) == (200, 1)
        end = {"stop": "completed", "metadata": {"stdout": "fine"}}
        assert await call(house, "POST", f"/api/sessions/{session['id']}/end", end) == (200, {})
        async with house.http.get(f"{house.url}/api/sessions/{session['id']}/trajectory") as response:
            raw = await response.read()
        there, here = trajectory_from_json(raw), house.gateway.store.trajectory(session["id"])
        assert (there.task, there.rollout, there.run, there.stop) == (task, 2, "run_1", "completed")
        assert (there.messages, there.turns, there.completion) == (here.messages, 1, "hello")
        assert (there.calls[0].message, there.calls[0].request) == (here.calls[0].message, here.calls[0].request)
        assert (there.scores[0].name, there.scores[0].value, there.scores[0].kind) == ("helpful", 0.5, "feedback")
        assert there.metadata == {"stdout": "fine"}
        (thread,) = json.loads(raw)["threads"]
        assert (thread["name"], thread["calls"]) == ("main", [call.id for call in here.calls])
        assert json.loads(trajectory_to_json(there)) == json.loads(trajectory_to_json(here))


async def test_environments_are_listed(serve: MakeHouse) -> None:
    async def oracle(*_: object) -> dict[str, str]:
        return {"content": "42"}

    environment = Environment(name="wiki", version="1.2.3", description="d", models={"oracle": oracle})
    async with serve(environments={"wiki": environment}) as house:
        listed = [{"name": "wiki", "version": "1.2.3", "description": "d", "models": ["oracle"]}]
        assert await call(house, "GET", "/api/environments") == (200, {"environments": listed})


async def test_runs_are_written_and_their_trajectories_read(house: House) -> None:
    row = {
        "environment": "e", "environment_version": "1", "rubric_version": "r", "harness": "loop", "model": "m",
        "rollouts": 3, "config": {"a": 1}, "started": 1.0,
    }  # fmt: skip
    assert await call(house, "PUT", "/api/runs/run_1", row) == (200, {})
    found = house.gateway.store.run("run_1")
    assert found is not None
    assert (found.rollouts, found.config, found.status) == (3, b'{"a":1}', "running")
    sessions = [await opened(house, SessionSpec(run="run_1", rollout=number)) for number in range(2)]
    status, value = await call(house, "GET", "/api/runs/run_1/trajectories")
    assert (status, {each["id"] for each in value["trajectories"]}) == (200, {each["id"] for each in sessions})


async def test_judges_ask_models_outside_any_session(house: House, provider: Provider) -> None:
    status, value = await call(house, "POST", "/api/complete", ASK)
    assert (status, value["choices"][0]["message"]["content"]) == (200, "hello")
    await house.gateway.recorder.commit()
    assert house.gateway.store.sessions() == []


async def test_health_needs_no_key_and_the_rest_does(serve: MakeHouse) -> None:
    settings = Settings(admin_key="admin", keys=frozenset({"k"}), loopback=False)
    async with serve(settings=settings) as house:
        status, health = await call(house, "GET", "/healthz")
        assert (status, health["status"], health["unrecorded"]) == (200, "ok", 0)
        for key in ("", "Bearer k", "Bearer wrong"):
            status, value = await call(house, "GET", "/api/environments", authorization=key)
            assert (status, value["error"]["code"]) == (401, "admin_key_required")
        assert (await call(house, "GET", "/api/environments", authorization="Bearer admin"))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/api/sessions", {"enviroment": "x"}, 400, "A session has no enviroment"),
        ("POST", "/api/sessions", {"environment": "x"}, 404, "No environment named 'x'"),
        ("POST", "/api/sessions", {"limits": {"turn": 1}}, 400, "limits and task must be objects of known fields"),
        ("POST", "/api/sessions", {"limits": {"turns": "many"}}, 400, "The limit `turns` is a number above 0"),
        ("POST", "/api/sessions", {"limits": {"seconds": -1}}, 400, "The limit `seconds` is a number above 0"),
        ("POST", "/api/sessions", {"limits": [1]}, 400, "limits must be an object"),
        ("POST", "/api/sessions", {"task": 5}, 400, "task must be an object"),
        ("POST", "/api/sessions", {"model": 7}, 400, "model must be a string"),
        ("POST", "/api/sessions", {"task": {"prompt": ""}}, 400, "has no prompt"),
        ("POST", "/api/sessions", b"nonsense", 400, "not JSON"),
        ("POST", "/api/sessions/ses_x/end", {"stop": "bored"}, 400, "No cause named 'bored'"),
        ("POST", "/api/sessions/ses_x/end", {"stop": ["completed"]}, 400, "No cause named"),
        ("POST", "/api/sessions/ses_x/end", {"stop": "completed"}, 404, "No session or answer named 'ses_x'."),
        ("GET", "/api/sessions/ses_x/trajectory", None, 404, "ses_x"),
        ("POST", "/api/sessions/ses_x/scores", {"scores": []}, 404, "No session named 'ses_x'"),
        ("PUT", "/api/runs/run_x", {"model": "m"}, 400, "not a run"),
        ("POST", "/api/complete", {}, 400, "`model` must be a string"),
        ("GET", "/api/nothing", None, 404, "The control API has no GET /api/nothing"),
    ],
)
async def test_what_cannot_be_done_is_told(
    house: House, method: str, path: str, body: Any, status: int, said: str
) -> None:
    found, value = await call(house, method, path, body)
    assert (found, said in value["error"]["message"]) == (status, True), value
    assert " " not in value["error"]["code"]


@pytest.mark.parametrize(("what", "kind"), [("scores", "session"), ("end", "session or answer")])
async def test_a_session_that_is_unknown_is_not_said_to_be_one_of_none(house: House, what: str, kind: str) -> None:
    await house.session()
    body = {"end": {"stop": "completed"}, "scores": {"scores": []}}[what]
    _, value = await call(house, "POST", f"/api/sessions/ses_x/{what}", body)
    assert value["error"]["message"] == f"No {kind} named 'ses_x'."


async def test_half_an_emoji_in_a_sessions_metadata_spoils_nothing(house: House) -> None:
    status, opened = await call(house, "POST", "/api/sessions", rb'{"metadata": {"note": "a \ud83d b"}}')
    assert status == 200
    status, _ = await call(house, "POST", f"/api/sessions/{opened['id']}/end", rb'{"metadata": {"end": "\ud83d"}}')
    _, trajectory = await call(house, "GET", f"/api/sessions/{opened['id']}/trajectory")
    assert (status, trajectory["metadata"]) == (200, {"note": "a \ufffd b", "end": "\ufffd"})


async def test_a_provider_that_streams_to_a_judge_is_told_of(house: House, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await provider.streamed(request, *provider.STREAM, provider.DONE)

    provider.answer = answer
    status, value = await call(house, "POST", "/api/complete", {"model": "m", "messages": []})
    assert (status, value["error"]["code"]) == (502, "upstream_broken")


async def test_scores_are_checked(house: House) -> None:
    session = await house.session()
    for scores in (
        "x",
        ["x"],
        [{"value": 1}],
        [{"name": "n", "value": "much"}],
        [{"name": "n", "value": float("inf")}],
    ):
        status, _ = await call(house, "POST", f"/api/sessions/{session.id}/scores", {"scores": scores})
        assert status == 400
    assert not (await house.trajectory(session)).scores
