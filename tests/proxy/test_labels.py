"""What clients say of their live sessions beside their work, and the ends of live sessions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from aiohttp import web

from drawbar.proxy.settings import Settings
from drawbar.wire.labels import merged, read_labels, without_labels

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse, Provider

    from drawbar.record.rows import SessionRow

HI = [{"role": "user", "content": "hi"}]


async def only_session(house: House) -> SessionRow:
    await house.gateway.recorder.commit()
    [row] = house.gateway.store.sessions()
    return row


async def test_a_client_labels_its_session_by_header_url_and_body(house: House, provider: Provider) -> None:
    await house.post(
        None,
        {"model": "m", "messages": HI, "metadata": {"ticket": "7", "release": "old"}, "user": "ada"},
        path="/v1/chat/completions?drawbar_release=2.1&keep=1",
        headers={
            "x-drawbar-tags": "vip, beta", "x-drawbar-environment": "shop", "X-Drawbar-Metadata": '{"seats": 3}',
        },
    )  # fmt: skip
    row = await only_session(house)
    assert json.loads(row.metadata) == {
        "ticket": "7", "release": "2.1", "user": "ada", "tags": ["vip", "beta"], "environment": "shop", "seats": 3,
    }  # fmt: skip
    assert row.environment == "shop"
    [request] = provider.requests
    assert not any(name.lower().startswith("x-drawbar") for name in request.headers)
    assert request.query_string == "keep=1"
    assert provider.bodies[0]["metadata"] == {"ticket": "7", "release": "old"}


async def test_labels_of_later_requests_are_added(house: House) -> None:
    said: list[dict[str, Any]] = list(HI)
    for tags in ("a", "b"):
        response = await house.post(None, {"model": "m", "messages": said}, headers={"x-drawbar-tags": tags})
        said += [(await response.json())["choices"][0]["message"], *HI]
    assert json.loads((await only_session(house)).metadata) == {"tags": ["a", "b"]}


@pytest.mark.parametrize(
    ("dialect", "body", "labels"),
    [
        ("chat", {"metadata": {"a": "b", "n": None, "deep": {}}}, {"a": "b"}),
        ("responses", {"metadata": {"tags": "x,y"}}, {"tags": ["x", "y"]}),
        ("messages", {"metadata": {"user_id": "ada"}}, {"user": "ada"}),
        ("messages", {"metadata": {"user_id": '{"session_id": "1"}'}}, {}),
        ("gemini", {"labels": {"team": "sea"}}, {"team": "sea"}),
        ("chat", {"metadata": {"k" * 65: "v", "k": "v" * 1001}}, {}),
        ("chat", {"metadata": [1]}, {}),
    ],
)
def test_bodies_say_it_in_their_dialects(dialect: str, body: dict[str, Any], labels: dict[str, Any]) -> None:
    assert read_labels(dialect, {}, "", json.dumps(body).encode()) == labels


def test_labels_have_bounds() -> None:
    known = {"a": "b"}
    assert merged(known, {f"n{n}": "v" for n in range(64)}) == known
    assert merged(known, {f"n{n}": "v" * 1000 for n in range(30)}) == known
    assert read_labels("chat", {b"x-drawbar-metadata": b"{not json"}, "", b"") == {}
    assert read_labels("chat", {b"x-drawbar-metadata": b"a=1, b = 2,c"}, "", b"") == {"a": "1", "b": "2"}
    assert without_labels("a=1&drawbar_user=x&b=%20") == "a=1&b=%20"


@pytest.mark.parametrize("by", ["id", "answer", "own name"])
async def test_a_live_session_is_ended_by_any_of_its_names(house: House, by: str) -> None:
    response = await house.post(None, {"model": "m", "messages": HI}, headers={"x-session-id": "my-run-7"})
    name = {"answer": (await response.json())["id"], "own name": "my-run-7"}.get(by, (await only_session(house)).id)
    ended = await house.post(None, {}, path=f"/api/sessions/{name}/end")
    assert ended.status == 200
    row = await only_session(house)
    assert (row.status, row.stop) == ("ended", "completed")


async def test_a_call_of_a_stop_tool_ends_the_session_after_its_last_words(
    serve: MakeHouse, provider: Provider
) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "mcp__shop__finish", "arguments": "{}"}}
    replies = iter([{"role": "assistant", "content": None, "tool_calls": [call]},
                    {"role": "assistant", "content": "bye"}])  # fmt: skip

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        choice = {"index": 0, "message": next(replies), "finish_reason": "stop"}
        return web.json_response(provider.completion(choices=[choice]))

    provider.answer = answer
    async with serve(settings=Settings(stop_tools=frozenset({"finish"}), stop_grace=0.3)) as house:
        said: list[dict[str, Any]] = list(HI)
        response = await house.post(None, {"model": "m", "messages": said})
        said += [(await response.json())["choices"][0]["message"]]
        said += [{"role": "tool", "tool_call_id": "c", "content": "ok"}]
        await house.post(None, {"model": "m", "messages": said})
        with anyio.fail_after(5):
            while (await only_session(house)).status != "ended":  # noqa: ASYNC110 - the store tells nobody
                await anyio.sleep(0.02)
        row = await only_session(house)
        assert [call.status for call in house.gateway.store.trajectory(row.id).calls] == ["answered"] * 2


def test_labels_that_are_nested_without_end_are_none() -> None:
    deep = b'{"a":' * 900 + b"1" + b"}" * 900
    assert read_labels("chat", {}, "", b'{"metadata":' + deep + b"}") == {}
    assert read_labels("chat", {b"x-drawbar-metadata": deep}, "", b"") == {}
