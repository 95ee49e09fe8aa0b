"""What an agent's MCP client sees of a session's endpoint, in both eras."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drawbar.environment import Environment

if TYPE_CHECKING:
    from tests.tools.conftest import Desk, DeskMaker


def search(query: str) -> str:
    """Find pages."""
    if query == "":
        raise LookupError("an empty query finds nothing")
    return f"pages about {query}"


ENVIRONMENT = Environment(name="wiki", version="1.2.0", tools=[search])
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.mark.parametrize("offer", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_a_handshake_is_answered_in_the_revision_that_was_offered(desk: Desk, offer: str) -> None:
    session = await desk.session(ENVIRONMENT)
    result = (await desk.ask(session, "initialize", {"protocolVersion": offer})).result
    assert result["protocolVersion"] == offer
    assert result["capabilities"] == {"tools": {"listChanged": False}}
    assert result["serverInfo"] == {"name": "wiki", "version": "1.2.0"}


async def test_an_unknown_offer_is_answered_with_the_newest_handshake_revision(desk: Desk) -> None:
    session = await desk.session(ENVIRONMENT)
    result = (await desk.ask(session, "initialize", {"protocolVersion": "1999-01-01"})).result
    assert result["protocolVersion"] == "2025-11-25"


async def test_a_modern_client_discovers_without_a_handshake(desk: Desk) -> None:
    session = await desk.session(ENVIRONMENT)
    result = (await desk.modern(session, "server/discover")).result
    assert result["supportedVersions"] == ["2026-07-28"]
    assert result["resultType"] == "complete"
    assert result["cacheScope"] == "private"
    assert result["ttlMs"] > 0


async def test_tools_are_listed_and_called_in_both_eras(desk: Desk) -> None:
    session = await desk.session(ENVIRONMENT)
    old, new = await desk.ask(session, "tools/list"), await desk.modern(session, "tools/list")
    assert [tool["name"] for tool in old.result["tools"]] == ["search"]
    assert new.result["tools"] == old.result["tools"]
    assert "resultType" not in old.result
    assert (await desk.call(session, "search", {"query": "tides"})).text == "pages about tides"
    called = await desk.modern(session, "tools/call", {"name": "search", "arguments": {"query": "tides"}})
    assert called.text == "pages about tides"
    assert called.result["resultType"] == "complete"


@pytest.mark.parametrize(
    ("method", "key"),
    [("prompts/list", "prompts"), ("resources/list", "resources"), ("resources/templates/list", "resourceTemplates")],
)
async def test_what_clients_ask_for_all_the_same_is_empty(desk: Desk, method: str, key: str) -> None:
    session = await desk.session(ENVIRONMENT)
    assert (await desk.ask(session, method)).result == {key: []}
    assert (await desk.modern(session, method)).result[key] == []


async def test_a_session_without_an_environment_has_no_tools(desk: Desk) -> None:
    session = await desk.session(None)
    assert (await desk.ask(session, "tools/list")).result == {"tools": []}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_only_post_is_taken(desk: Desk, method: str) -> None:
    reply = await desk.post(await desk.session(ENVIRONMENT), b"", method=method)
    assert reply.status == 405
    assert reply.headers["allow"] == "POST"


@pytest.mark.parametrize("method", ["sampling/createMessage", "resources/read", "completion/complete", "nonsense"])
async def test_methods_off_the_list_are_not_passed_on(desk: Desk, method: str) -> None:
    session = await desk.session(ENVIRONMENT)
    assert (await desk.ask(session, method)).json["error"]["code"] == -32601
    modern = await desk.modern(session, method)
    assert (modern.status, modern.json["error"]["code"]) == (404, -32601)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"mcp-method": "tools/call"}, -32020),
        ({"mcp-protocol-version": "2025-11-26"}, -32020),
        ({"mcp-name": "other"}, None),
    ],
)
async def test_modern_headers_must_agree_with_the_body(desk: Desk, headers: dict[str, str], code: int | None) -> None:
    session = await desk.session(ENVIRONMENT)
    reply = await desk.modern(session, "tools/list", headers=headers)
    assert (reply.json.get("error", {}).get("code")) == code
    assert reply.status == (200 if code is None else 400)


async def test_a_called_tool_and_the_header_that_names_it_must_agree(desk: Desk) -> None:
    session = await desk.session(ENVIRONMENT)
    params = {"name": "search", "arguments": {"query": "x"}}
    reply = await desk.modern(session, "tools/call", params, headers={"mcp-name": "other"})
    assert (reply.status, reply.json["error"]["code"]) == (400, -32020)
    assert desk.recorded(session) == []


async def test_an_envelope_without_its_header_is_refused(desk: Desk) -> None:
    session = await desk.session(ENVIRONMENT)
    reply = await desk.ask(session, "tools/list", {"_meta": ENVELOPE})
    assert (reply.status, reply.json["error"]["code"]) == (400, -32020)


async def test_a_revision_that_nobody_knows_is_told_which_there_are(desk: Desk) -> None:
    session = await desk.session(ENVIRONMENT)
    meta = {**ENVELOPE, "io.modelcontextprotocol/protocolVersion": "2031-01-01"}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    headers = {"mcp-protocol-version": "2031-01-01", "mcp-method": "tools/list"}
    reply = await desk.post(session, body, headers=headers)
    assert reply.status == 400
    assert reply.json["error"]["data"] == {"supported": ["2026-07-28"], "requested": "2031-01-01"}


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{", -32700), (b"[]", -32600), (b'"x"', -32600), (b'{"id": 1, "method": "ping"}', -32600)],
)
async def test_a_body_that_is_no_request_is_refused(desk: Desk, body: bytes, code: int | None) -> None:
    reply = await desk.post(await desk.session(ENVIRONMENT), body)
    assert (reply.status, reply.json["error"]["code"]) == (400, code)


@pytest.mark.parametrize("id", [None, True, [], 1.5])
async def test_an_id_must_be_a_string_or_a_number(desk: Desk, id: object) -> None:
    reply = await desk.post(await desk.session(ENVIRONMENT), {"jsonrpc": "2.0", "id": id, "method": "ping"})
    assert (reply.status, reply.json["error"]["code"]) == (400, -32600)


async def test_notifications_are_taken_and_not_answered(desk: Desk) -> None:
    session = await desk.session(ENVIRONMENT)
    for method in ("notifications/initialized", "notifications/cancelled", "notifications/whatever"):
        reply = await desk.post(session, {"jsonrpc": "2.0", "method": method, "params": {"requestId": 7}})
        assert (reply.status, reply.body) == (202, b"")


async def test_a_body_over_the_limit_is_refused_before_it_is_read(desks: DeskMaker) -> None:
    async with desks(max_body_bytes=100) as desk:
        session = await desk.session(ENVIRONMENT)
        assert (await desk.post(session, b" " * 101)).status == 413
        assert (await desk.post(session, b"{}", headers={"content-length": "101"})).status == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"origin": "http://localhost:3000"}, 200),
        ({"host": "[::1]:8000"}, 200),
    ],
)
async def test_web_pages_of_others_are_kept_out(desk: Desk, headers: dict[str, str], status: int) -> None:
    session = await desk.session(ENVIRONMENT)
    assert (await desk.ask(session, "ping", headers=headers)).status == status


async def test_a_host_can_be_allowed_by_name(desks: DeskMaker) -> None:
    async with desks(allowed_hosts=["tools.example"]) as desk:
        session = await desk.session(ENVIRONMENT)
        headers = {"host": "tools.example", "origin": "https://tools.example"}
        assert (await desk.ask(session, "ping", headers=headers)).status == 200


async def test_an_ended_session_is_told_so(desk: Desk) -> None:
    session = await desk.session(ENVIRONMENT)
    session.stop = "completed"
    assert (await desk.call(session, "search", {"query": "x"})).status == 409


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("serach", {"query": "x"}, "No tool named 'serach'. Did you mean 'search'?"),
        ("search", {}, "query"),
        ("search", "tides", "The arguments of a tool are a JSON object"),
        ("search", {"query": ""}, "LookupError: an empty query finds nothing"),
    ],
)
async def test_a_models_mistake_is_told_to_the_model_and_recorded(
    desk: Desk, tool: str, arguments: object, says: str
) -> None:
    session = await desk.session(ENVIRONMENT)
    reply = await desk.call(session, tool, arguments)
    assert reply.result["isError"] is True
    assert says in reply.text
    (recorded,) = desk.recorded(session)
    assert recorded.is_error
    assert recorded.name == tool
    assert says in recorded.text
    assert recorded.status == "answered"
