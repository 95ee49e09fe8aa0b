"""Tools that providers run by themselves, out of the gateway's sight: withheld by policy, and the record says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from drawbar.cli.transcript import as_json
from drawbar.errors import ConfigurationError
from drawbar.proxy.failures import RetryPolicy
from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings, hosted_tools

if TYPE_CHECKING:
    from tests.proxy.conftest import MakeHouse, Provider

HI = [{"role": "user", "content": "hi"}]
FUNCTION = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
ASKED = {"model": "m", "messages": HI, "tools": [{"type": "web_search"}, FUNCTION], "web_search_options": {}}
ALL = hosted_tools(["all"])
ONCE = RetryPolicy(attempts=1)


async def test_the_provider_is_asked_without_them_and_the_record_says_which(
    serve: MakeHouse, provider: Provider
) -> None:
    async with serve(settings=Settings(withhold=ALL)) as house:
        session = await house.session()
        assert (
            await house.post(session, {**ASKED, "web_search_options": {"search_context_size": "low"}})
        ).status == 200
        trajectory = await house.trajectory(session)
    assert provider.bodies == [{"model": "m", "messages": HI, "tools": [FUNCTION]}]
    (call,) = trajectory.calls
    assert call.withheld == ("web_search_options", "web_search")
    assert call.tools is not None
    assert b"web_search" in call.tools, "what the agent offered is recorded as it offered it"
    told = {finding.name: finding.detail for finding in trajectory.health}
    assert told["withheld_tools"] == "model call 1 was asked for without web_search_options, web_search"
    assert any("withheld_tools" in str(finding) for finding in as_json(trajectory)["health"])


async def test_a_session_withholds_what_it_names_beside_the_gateways_policy(
    serve: MakeHouse, provider: Provider
) -> None:
    tools = [{"type": kind} for kind in ("web_search", "file_search", "code_interpreter")]
    async with serve(settings=Settings(withhold=hosted_tools(["web_search"]))) as house:
        session = await house.session(withhold=hosted_tools(["file_search"]))
        await house.post(session, {"model": "m", "messages": HI, "tools": tools})
    assert provider.bodies[0]["tools"] == [{"type": "code_interpreter"}]


async def test_without_a_policy_every_byte_passes(serve: MakeHouse, provider: Provider) -> None:
    raw = b'{"model":"m",  "messages":[{"role":"user","content":"hi"}],"tools":[{"type":"web_search"}]}'
    for settings in (Settings(), Settings(withhold=hosted_tools(["mcp"]))):
        async with serve(settings=settings) as house:
            session = await house.session()
            await house.post(session, raw)
            (call,) = (await house.trajectory(session)).calls
        assert provider.raw.pop() == raw
        assert call.withheld == ()


@pytest.mark.parametrize(
    ("path", "body", "sent"),
    [
        ("/v1/responses", {"model": "m", "input": "hi", "tools": [{"type": "code_interpreter"}]}, {"model", "input"}),
        ("/v1/messages",
         {"model": "m", "max_tokens": 1, "messages": HI, "tools": [{"type": "web_search_20250305", "name": "s"}],
          "tool_choice": {"type": "tool", "name": "s"}},
         {"model", "max_tokens", "messages"}),
    ],
)  # fmt: skip
async def test_in_every_dialect(
    serve: MakeHouse, provider: Provider, path: str, body: dict[str, Any], sent: set[str]
) -> None:
    async with serve(settings=Settings(withhold=ALL, retries=ONCE)) as house:
        session = await house.session()
        await house.post(session, body, path=path)
        (call,) = (await house.trajectory(session)).calls
    assert provider.bodies[0].keys() == sent
    assert len(call.withheld) == 1


async def test_gemini_loses_its_own_search(serve: MakeHouse, provider: Provider) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "tools": [{"google_search": {}}]}
    models = Models(base_url=provider.url + "/v1beta", dialects=["gemini"])
    async with serve(models=models, settings=Settings(withhold=ALL, retries=ONCE)) as house:
        session = await house.session()
        await house.post(session, body, path="/v1beta/models/m:generateContent")
        (call,) = (await house.trajectory(session)).calls
    assert provider.bodies[0] == {"contents": body["contents"]}
    assert call.withheld == ("google_search",)


def test_a_policy_names_kinds_that_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"These tools cannot be withheld. There is no kind bing; there are"):
        hosted_tools(["bing"])
