"""Feedback: who may give it, by which name a session is found, and what is kept of it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from drawbar.config.redaction import redaction
from drawbar.proxy.failures import RetryPolicy
from drawbar.proxy.settings import Settings
from drawbar.record.rows import SessionRow

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse, Provider

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
KEYED = Settings(admin_key="admin", keys=frozenset({"one", "two"}), retries=RetryPolicy(attempts=1, first_wait=0.001))


def numbered(provider: Provider) -> None:
    """Let every answer have a name of its own."""
    count = itertools.count(1)

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        name = f"chatcmpl-{next(count)}"
        if not body.get("stream"):
            return web.json_response(provider.completion(f"this is {name}", id=name))
        return await provider.streamed(request, provider.chunk({"content": name}, "stop", id=name), provider.DONE)

    provider.answer = answer


async def give(house: House, about: str, key: str | None = None, /, **said: Any) -> tuple[int, dict[str, Any]]:
    headers = {"authorization": f"Bearer {key}"} if key is not None else {}
    async with house.http.post(f"{house.url}/api/sessions/{about}/feedback", json=said, headers=headers) as response:
        return response.status, await response.json()


async def ask(house: House, key: str, **more: Any) -> str:
    """One answer of a live agent: its session's id."""
    response = await house.post(None, {**ASK, **more}, headers={"authorization": f"Bearer {key}"})
    assert response.status == 200
    await house.gateway.recorder.commit()
    return str(house.gateway.store.sessions(limit=1)[0].id)


async def test_all_that_can_be_said_is_kept_as_scores(house: House) -> None:
    session = await house.session()
    said = {"thumbs": "down", "score": 2, "name": "csat", "correction": "It is 4.", "comment": "wrong"}
    status, value = await give(house, session.id, **said)
    assert (status, value["session"], value["call"], len(value["ids"])) == (200, session.id, None, 3)
    scores = {score.name: score for score in (await house.trajectory(session)).scores}
    assert (scores["thumbs"].value, scores["thumbs"].explanation) == (0.0, "wrong")
    assert (scores["csat"].value, scores["csat"].explanation) == (2.0, "wrong")
    assert (scores["correction"].value, scores["correction"].explanation) == (None, "It is 4.")
    assert {(score.source, score.kind, score.weight) for score in scores.values()} == {("feedback", "feedback", 0.0)}


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("*.db*"))


async def test_what_is_redacted_is_not_kept_of_feedback_either(house: House, tmp_path: Path) -> None:
    house.gateway.recorder.redact_with(redaction({"secret": "sk-[a-z]+"}))
    session = await house.session()
    await give(house, session.id, comment="it said sk-first", correction="say sk-second")
    scores = [{"name": "judged", "value": 1.0, "explanation": "sk-third", "error": "sk-fourth"}]
    async with house.http.post(f"{house.url}/api/sessions/{session.id}/scores", json={"scores": scores}) as response:
        assert response.status == 200
    found = {score.name: score for score in (await house.trajectory(session)).scores}
    assert found["correction"].explanation == "say [secret]"
    assert (found["judged"].explanation, found["judged"].error) == ("[secret]", "[secret]")
    assert b"sk-" not in everything_in(tmp_path)


async def test_feedback_is_no_reward_of_its_own(house: House) -> None:
    session = await house.session()
    await give(house, session.id, thumbs="up")
    assert (await house.trajectory(session)).reward is None


@pytest.mark.parametrize("stream", [False, True])
async def test_the_id_of_an_answer_finds_its_call(house: House, provider: Provider, stream: bool) -> None:
    numbered(provider)
    session = await house.session()
    for _ in range(3):
        await house.post(session, {**ASK, "stream": stream})
    status, value = await give(house, "chatcmpl-2", thumbs="up")
    calls = (await house.trajectory(session)).calls
    assert (status, value["session"], value["call"]) == (200, session.id, calls[1].id)
    assert [score.call for score in (await house.trajectory(session)).scores] == [calls[1].id]


@pytest.mark.parametrize(
    ("path", "answer", "name"),
    [
        ("/v1/responses", {"id": "resp_7", "object": "response", "status": "completed", "output": []}, "resp_7"),
        (
            "/v1/messages",
            {"id": "msg_7", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {}},
            "msg_7",
        ),
    ],
)
async def test_every_dialects_ids_find_a_call(
    house: House, provider: Provider, path: str, answer: dict[str, Any], name: str
) -> None:
    async def said(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(answer)

    provider.answer = said
    session = await house.session()
    body = {"model": "m", "input": "hi"} if "responses" in path else {**ASK, "max_tokens": 9}
    assert (await house.post(session, body, path=path)).status == 200
    status, value = await give(house, name, thumbs="up")
    assert (status, value["session"]) == (200, session.id)


async def test_the_name_that_a_client_gave_its_session_finds_the_newest(house: House) -> None:
    old, new = [await house.session(metadata={"session_id": "ticket 7"}) for _ in range(2)]
    assert old.row.started < new.row.started
    status, value = await give(house, "ticket%207", comment="thanks")
    assert (status, value["session"]) == (200, new.id)


async def test_a_client_with_a_gateways_key_may_speak_of_its_own_sessions_alone(
    serve: MakeHouse, provider: Provider
) -> None:
    numbered(provider)
    async with serve(settings=KEYED) as house:
        mine, theirs = await ask(house, "one"), await ask(house, "two")
        assert (await give(house, mine, "one", thumbs="up"))[0] == 200
        assert (await give(house, "chatcmpl-1", "one", thumbs="up"))[0] == 200
        for name in (theirs, "chatcmpl-2", mine[:12]):
            assert (await give(house, name, "one", thumbs="up"))[0] == 404
        assert (await give(house, theirs, "admin", thumbs="up"))[0] == 200
        for key in ("three", None):
            assert (await give(house, mine, key, thumbs="up"))[0] == 401


async def test_a_session_that_is_over_and_forgotten_still_belongs_to_its_client(
    serve: MakeHouse, provider: Provider
) -> None:
    async with serve(settings=KEYED) as house:
        mine = await ask(house, "one")
        await house.gateway.end(mine, stop="completed")
    async with serve(settings=KEYED) as house:
        assert (await give(house, mine, "two", thumbs="up"))[0] == 404
        assert (await give(house, mine, "one", thumbs="up"))[0] == 200


async def test_two_clients_whose_answers_have_one_id_each_find_their_own(serve: MakeHouse) -> None:
    async with serve(settings=KEYED) as house:  # whose provider calls every answer chatcmpl-1
        sessions = {key: await ask(house, key) for key in ("one", "two")}
        for key, session in sessions.items():
            assert (await give(house, "chatcmpl-1", key, thumbs="up"))[1]["session"] == session


async def test_a_sessions_own_key_may_speak_of_it(serve: MakeHouse, provider: Provider) -> None:
    numbered(provider)
    async with serve(settings=KEYED) as house:
        session, other = await house.session(), await house.session()
        await house.post(session, ASK)
        assert (await give(house, session.id, session.key, score=1))[0] == 200
        assert (await give(house, "chatcmpl-1", session.key, score=1))[1]["call"] is not None
        assert (await give(house, other.id, session.key, score=1))[0] == 404


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({}, "at least one"),
        ({"thumbs": "sideways"}, "thumbs"),
        ({"score": "5"}, "finite number"),
        ({"score": True}, "finite number"),
        ({"correction": ""}, "correction"),
        ({"coment": "x"}, "Did you mean 'comment'"),
        ({"score": 1, "name": "thumbs"}, "named"),
    ],
)
async def test_what_cannot_be_meant_is_refused_with_what_was_wrong(
    house: House, said: dict[str, Any], wrong: str
) -> None:
    session = await house.session()
    status, value = await give(house, session.id, **said)
    assert status == 400
    assert wrong in value["error"]["message"]
    assert (await house.trajectory(session)).scores == []


async def test_rollouts_keep_no_names_of_answers(house: House) -> None:
    session = await house.session(run="run_1")
    await house.post(session, ASK)
    await house.gateway.recorder.commit()
    assert house.gateway.store.answers("chatcmpl-1") == []


async def test_the_store_keeps_no_key_of_an_owner(serve: MakeHouse) -> None:
    async with serve(settings=KEYED) as house:
        row = house.gateway.store.session(await ask(house, "one"))
        assert isinstance(row, SessionRow)
        assert row.owner not in (None, b"one")
        assert json.dumps("one").encode() not in (row.config + row.metadata)
