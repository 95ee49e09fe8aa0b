"""Recorded exchanges of the responses dialect: request, answer and stream of one call say the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import OpenAI
from openai.types.responses import Response as SdkResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from drawbar.wire import RESPONSES
from drawbar.wire.dialect import BadBody, Response, Usage
from drawbar.wire.sse import EventSplitter, payload

GOLDEN = Path(__file__).parent / "golden" / "responses"
NAMES = sorted(path.name.removesuffix(".request.json") for path in GOLDEN.glob("*.request.json"))
golden = pytest.mark.parametrize("name", NAMES)


def read(name: str, part: str) -> bytes:
    return (GOLDEN / f"{name}.{part}").read_bytes()


def assembled(*parts: bytes) -> Response:
    splitter, assembler = EventSplitter(), RESPONSES.assembler()
    events = [found for part in parts for found in splitter.feed(part)]
    for raw in events:
        data = payload(raw)
        assert data is not None
        assert not assembler.ended
        assembler.feed(data)
    assert b"".join(events) + splitter.rest() == b"".join(parts)
    assert assembler.ended
    assert assembler.done
    assert assembler.error is None
    return assembler.response()


def same(one: Response, other: Response) -> bool:
    return (
        json.loads(one.message or b"null") == json.loads(other.message or b"null")
        and json.loads(one.envelope) == json.loads(other.envelope)
        and (one.finish, one.usage, one.names) == (other.finish, other.usage, other.names)
    )


@golden
def test_a_request_is_all_there_in_its_parts(name: str) -> None:
    sent = json.loads(read(name, "request.json"))
    request = RESPONSES.split(read(name, "request.json"))
    assert request.model == sent.pop("model")
    assert request.stream == sent.pop("stream", False)
    assert json.loads(request.tools or b"null") == sent.pop("tools", None)
    said = [json.loads(message) for message in request.messages]
    if request.standing:
        assert said.pop(0) == {"role": "system", "content": sent.pop("instructions")}
    given = sent.pop("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    assert [item for message in said for item in (message if isinstance(message, list) else [message])] == items
    assert json.loads(request.envelope) == sent


@golden
def test_the_stream_says_what_the_whole_answer_says(name: str) -> None:
    whole = RESPONSES.response(read(name, "response.json"))
    assert same(assembled(read(name, "stream.sse")), whole)
    assert json.loads(whole.message or b"") == json.loads(read(name, "response.json"))["output"]


@settings(max_examples=30)
@given(st.sampled_from(NAMES), st.data())
def test_any_split_of_the_stream_gives_the_same_answer(name: str, data: st.DataObject) -> None:
    newline = data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    stream = read(name, "stream.sse").replace(b"\n", newline) + b"\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert same(assembled(*parts), assembled(read(name, "stream.sse")))


def events_of(name: str) -> list[dict[str, Any]]:
    found = [payload(raw) for raw in EventSplitter().feed(read(name, "stream.sse"))]
    return [json.loads(data) for data in found if data is not None]


@golden
@pytest.mark.parametrize("untold", ["", "response.output_item.done", ".done"])
def test_a_last_event_without_the_items_has_them_from_the_events_before(name: str, untold: str) -> None:
    assembler = RESPONSES.assembler()
    for event in events_of(name):
        if untold and event["type"].endswith(untold):
            continue
        if event["type"] in ("response.completed", "response.incomplete"):
            event["response"] = {
                k: v for k, v in event["response"].items() if k in ("id", "usage", "incomplete_details")
            }
        assembler.feed(json.dumps(event).encode())
    whole, found = RESPONSES.response(read(name, "response.json")), assembler.response()
    assert (found.finish, found.usage, found.names) == (whole.finish, whole.usage, whole.names)
    assert [bare(item) for item in json.loads(found.message or b"")] == [
        bare(item) for item in json.loads(whole.message or b"")
    ]


def bare(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "status"}


@golden
def test_openais_sdk_takes_the_answer_and_every_event(name: str) -> None:
    SdkResponse.model_validate_json(read(name, "response.json"), strict=True)
    events = TypeAdapter(list[ResponseStreamEvent]).validate_python(events_of(name))
    assert [event.sequence_number for event in events] == list(range(len(events)))


@golden
def test_openais_sdk_reads_from_the_stream_what_we_read(name: str) -> None:
    def provider(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=read(name, "stream.sse"))

    http = httpx.Client(transport=httpx.MockTransport(provider))
    with http, OpenAI(api_key="x", base_url="http://provider/v1", http_client=http) as client:
        stream = client.responses.create(model="m", input="x", stream=True)
        last = list(stream)[-1]
    assert last.type in ("response.completed", "response.incomplete")
    said = [item.model_dump(exclude_unset=True) for item in last.response.output]
    assert said == json.loads(assembled(read(name, "stream.sse")).message or b"")


def test_what_an_answer_costs_and_why_it_ended_is_read() -> None:
    assert RESPONSES.response(read("reasoning", "response.json")).usage == Usage(60, 90, 0, 64)
    assert RESPONSES.response(read("reasoning", "response.json")).finish == "completed"
    assert RESPONSES.response(read("incomplete", "response.json")).finish == "max_output_tokens"


def test_an_answer_says_by_which_names_one_can_go_on_from_it() -> None:
    assert RESPONSES.response(read("images", "response.json")).names == ("resp_06a", "conv_06")
    (name,) = RESPONSES.response(read("parallel_calls", "response.json")).names
    assert RESPONSES.split(read("previous_response", "request.json")).previous == name
    assert RESPONSES.split(read("images", "request.json")).previous == "conv_06"


Items = list[dict[str, Any]]
RESENT: dict[str, Callable[[Items], Items]] = {
    "as they came": lambda items: items,
    "without ids and states": lambda items: [
        {k: v for k, v in item.items() if k not in ("id", "status")} for item in items
    ],
    "without reasoning": lambda items: [item for item in items if item["type"] != "reasoning"],
    "with nulls": lambda items: [{**item, "caller": None, "created_by": None, "phase": None} for item in items],
    "without annotations and log probabilities": lambda items: [
        {**item, "content": [{k: v for k, v in part.items() if k not in ("annotations", "logprobs")} for part in parts]}
        if item["type"] == "message" and (parts := item["content"])
        else item
        for item in items
    ],
    "as plain messages": lambda items: [
        {"role": "assistant", "content": "".join(part.get("text", "") for part in item["content"])}
        if item["type"] == "message" and "text" in item["content"][0]
        else item
        for item in items
    ],
    "with arguments written anew": lambda items: [
        {**item, "arguments": json.dumps(json.loads(item["arguments"]), indent=1)}
        if item["type"] == "function_call"
        else item
        for item in items
    ],
}


@golden
@pytest.mark.parametrize("how", RESENT)
def test_a_reply_that_a_client_resends_is_the_same_message(name: str, how: str) -> None:
    reply = RESPONSES.response(read(name, "response.json")).message or b""
    body = {"model": "m", "input": [{"role": "user", "content": "x"}, *RESENT[how](json.loads(reply))]}
    _, resent = RESPONSES.split(json.dumps(body).encode()).messages
    assert RESPONSES.canonical(resent) == RESPONSES.canonical(reply)


@settings(max_examples=200)
@given(st.sampled_from(NAMES), st.data())
def test_a_damaged_body_is_refused_or_read_and_nothing_worse(name: str, data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(["request.json", "response.json"]))
    raw = read(name, part)
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(len(raw), start + 40)))
    damage = data.draw(st.binary(max_size=4) | st.sampled_from([b"null", b"[]", b"{}", b"7", b'"']))
    damaged = raw[:start] + damage + raw[end:]
    try:
        read_as = RESPONSES.split(damaged).messages if part == "request.json" else [RESPONSES.response(damaged).message]
        for message in read_as:
            if message is not None:
                RESPONSES.canonical(message)
                RESPONSES.normal(message)
    except BadBody:
        return


@settings(max_examples=100)
@given(st.sampled_from(NAMES), st.data())
def test_a_stream_of_damaged_events_leaves_a_message_that_can_be_read(name: str, data: st.DataObject) -> None:
    assembler = RESPONSES.assembler()
    for event in events_of(name):
        if data.draw(st.integers(0, 3)) == 0:
            key = data.draw(st.sampled_from(sorted(event)))
            event[key] = data.draw(st.sampled_from([None, 7, "x", [], {}, [None], {"type": []}]))
        assembler.feed(json.dumps(event).encode())
    if (message := assembler.response().message) is not None:
        RESPONSES.canonical(message)
        RESPONSES.normal(message)
