"""Token ids and log probabilities: asked for beside the client's request, kept, and out of the client's answer again.

The answers are as vLLM 0.33, SGLang 0.5.23, llama.cpp, OpenAI and Google give them.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.wire import DIALECTS
from drawbar.wire.cutting import EACH, Cut, Cuts
from drawbar.wire.token_view import Tokens, read_tokens
from drawbar.wire.tokens import TokenWish, is_refusal, token_wish

HI = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
ASK = {"model": "m", "input": "hi"}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def wished(dialect: str, server: str | None, body: dict[str, Any]) -> TokenWish | None:
    return token_wish(dialect, server, DIALECTS[dialect].split(json.dumps(body).encode()))


def sure(dialect: str, server: str, body: dict[str, Any]) -> TokenWish:
    wish = wished(dialect, server, body)
    assert wish is not None
    return wish


def entry(token: str, logprob: float, **more: Any) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode()), "top_logprobs": [], **more}


def chunk(delta: dict[str, Any], finish: str | None = None, **choice: Any) -> dict[str, Any]:
    return {
        "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, **choice}],
    }  # fmt: skip


def completion(text: str, more: dict[str, Any] | None = None, **choice: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": text}
    return {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": "stop", **choice}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2}, **(more or {}),
    }  # fmt: skip


LOGPROBS = {"content": [entry("hel", -0.5), entry("lo", -0.25)]}
WITH_IDS = {"content": [entry("hel", -0.5, id=7), entry("lo", -0.25, id=8)]}
WHOLE = {
    "vllm": completion("hello", {"prompt_token_ids": [1, 2, 3]}, logprobs=LOGPROBS, token_ids=[7, 8]),
    "sglang": completion("hello", {"sglext": {"input_ids": [1, 2, 3], "output_ids": [[7, 8]]}}, logprobs=LOGPROBS),
    "llama_cpp": completion("hello", logprobs=WITH_IDS),
    "logprobs": completion("hello", logprobs=LOGPROBS),
}
STREAM = {
    "vllm": [
        {**chunk({"role": "assistant", "content": ""}), "prompt_token_ids": [1, 2, 3]},
        chunk({"content": "hel"}, logprobs={"content": [entry("hel", -0.5)]}, token_ids=[7]),
        chunk({}, logprobs={"content": [entry("lo", -0.25)]}, token_ids=[8]),
        chunk({"content": "lo"}, "stop", token_ids=[]),
    ],
    "sglang": [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "hello"}, logprobs=LOGPROBS),
        chunk({}, "stop"),
        {**chunk({}), "choices": [], "sglext": {"input_ids": [1, 2, 3], "output_ids": [[7, 8]]}},
    ],
    "llama_cpp": [
        chunk({"role": "assistant", "content": None}),
        chunk({"content": "hel"}, logprobs={"content": [entry("hel", -0.5, id=7)]}),
        chunk({"content": "lo"}, logprobs={"content": [entry("lo", -0.25, id=8)]}),
        chunk({}, "stop"),
    ],
    "logprobs": [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "hello"}, logprobs=LOGPROBS),
        chunk({}, "stop"),
    ],
}
TOLD = {
    "vllm": Tokens((1, 2, 3), (7, 8), (-0.5, -0.25)),
    "sglang": Tokens((1, 2, 3), (7, 8), (-0.5, -0.25)),
    "llama_cpp": Tokens(None, (7, 8), (-0.5, -0.25)),
    "logprobs": Tokens(None, None, (-0.5, -0.25)),
}


def test_each_kind_of_server_is_asked_in_its_own_words() -> None:
    asked = {server: dict(sure("chat", server, HI).changes) for server in WHOLE}
    assert asked == {
        "vllm": {"logprobs": True, "return_token_ids": True},
        "sglang": {"logprobs": True, "return_input_ids_in_sglext": True, "return_output_ids_in_sglext": True},
        "llama_cpp": {"n_probs": 1},
        "logprobs": {"logprobs": True},
    }


def test_dialects_and_servers_without_tokens_are_not_asked() -> None:
    body = {**HI, "max_tokens": 5}
    assert [wished("messages", server, body) for server in WHOLE] == [None] * 4
    assert wished("responses", "llama_cpp", ASK) is None
    assert wished("gemini", "vllm", CONTENTS) is None
    assert [wished("chat", None, HI), wished("chat", "other", HI)] == [None, None]
    assert wished("responses", "sglang", {**ASK, "stream": True}) is None, "it refuses log probabilities in streams"


@pytest.mark.parametrize("server", WHOLE)
def test_a_whole_answer_is_kept_with_its_tokens_and_given_without(server: str) -> None:
    raw = json.dumps(WHOLE[server]).encode()
    given = json.loads(sure("chat", server, HI).whole(raw))
    plain = completion("hello")
    if server == "llama_cpp":
        del plain["choices"][0]["logprobs"]  # which it has only where it is asked for
    assert given == plain
    kept = DIALECTS["chat"].response(raw)
    assert read_tokens("chat", kept.envelope, kept.message) == TOLD[server]


@pytest.mark.parametrize("server", STREAM)
def test_a_stream_is_kept_with_its_tokens_and_given_without(server: str) -> None:
    wish, assembler = sure("chat", server, {**HI, "stream": True}), DIALECTS["chat"].assembler()
    given: list[dict[str, Any]] = []
    for event in STREAM[server]:
        data = json.dumps(event).encode()
        assembler.feed(data)
        if (rest := wish.event(data)) is not None:
            given.append(json.loads(rest))
    assert wish.event(b"[DONE]") == b"[DONE]"
    assert not [name for name in ("token_ids", "sglext", 'logprob"', "_ids") if name in json.dumps(given)]
    text = "".join(choice["delta"].get("content") or "" for event in given for choice in event["choices"])
    assert text == "hello"
    assert all(event["choices"] for event in given), "an event of ids alone is left out, as if nobody had asked"
    response = assembler.response()
    assert read_tokens("chat", response.envelope, response.message) == TOLD[server]


def test_what_a_client_asks_for_itself_it_gets() -> None:
    raw = json.dumps(WHOLE["vllm"]).encode()
    assert sure("chat", "vllm", {**HI, "logprobs": True, "return_token_ids": True}) == TokenWish()
    only_ids = sure("chat", "vllm", {**HI, "logprobs": True})
    assert dict(only_ids.changes) == {"return_token_ids": True}
    assert json.loads(only_ids.whole(raw)) == completion("hello", logprobs=LOGPROBS)
    assert sure("chat", "llama_cpp", {**HI, "logprobs": True, "top_logprobs": 2}) == TokenWish()
    asked = {**ASK, "include": ["message.output_text.logprobs"]}
    assert sure("responses", "vllm", asked) == TokenWish()
    assert sure("gemini", "logprobs", {**CONTENTS, "generation_config": {"response_logprobs": True}}) == TokenWish()


def test_a_clients_own_false_is_no_wish() -> None:
    assert sure("chat", "vllm", {**HI, "logprobs": False}).changes["logprobs"] is True


def test_every_value_that_stays_keeps_its_bytes() -> None:
    raw = (
        b'{ "id":"x",  "prompt_token_ids": [1, 2],\n "choices" : [{"index":0,"token_ids":[3], '
        b'"delta":{"content":"\\u00e9"}'
        b', "logprobs" :{"content":[]}}],"own":[1.50, {"token_ids": [1]}] }'
    )
    assert sure("chat", "vllm", HI).event(raw) == (
        b'{"id":"x","choices":[{"index":0,"delta":{"content":"\\u00e9"}'
        b',"logprobs":null}],"own":[1.50, {"token_ids": [1]}]}'
    )


def test_an_event_that_still_says_something_is_given() -> None:
    wish = sure("chat", "vllm", HI)
    for told in (
        {**chunk({}), "prompt_token_ids": [1], "usage": {"prompt_tokens": 1}},
        chunk({}, "stop", token_ids=[2]),
        {**chunk({}), "prompt_token_ids": [1], "error": {"message": "it broke"}},
        chunk({}, token_ids=[1], stop_reason="</s>"),
    ):
        assert wish.event(json.dumps(told).encode()) is not None
    assert wish.event(json.dumps(chunk({})).encode()) is not None, "one that came without ids is the provider's own"


def test_responses_are_asked_beside_what_the_client_includes() -> None:
    wish = sure("responses", "vllm", {**ASK, "include": ["reasoning.encrypted_content"]})
    assert dict(wish.changes) == {"include": ["reasoning.encrypted_content", "message.output_text.logprobs"]}


def test_log_probabilities_of_a_response_are_kept_and_not_given() -> None:
    part = {"type": "output_text", "text": "hello", "annotations": [], "logprobs": LOGPROBS["content"]}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    answer = {"id": "resp_1", "object": "response", "model": "m", "status": "completed", "output": [item]}
    plain = json.loads(json.dumps(answer).replace(json.dumps(LOGPROBS["content"]), "[]"))
    wish, raw = sure("responses", "logprobs", ASK), json.dumps(answer).encode()
    assert json.loads(wish.whole(raw)) == plain
    kept = DIALECTS["responses"].response(raw)
    assert read_tokens("responses", kept.envelope, kept.message) == TOLD["logprobs"]
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    for event in (
        {"type": "response.output_text.delta", **place, "delta": "hello", "logprobs": LOGPROBS["content"]},
        {"type": "response.output_text.done", **place, "text": "hello", "logprobs": LOGPROBS["content"]},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": answer},
    ):
        given = wish.event(json.dumps(event).encode())
        assert given is not None
        assert json.loads(given) == json.loads(json.dumps(event).replace(json.dumps(LOGPROBS["content"]), "[]"))


def test_the_record_of_a_cut_stream_has_the_log_probabilities_that_came() -> None:
    assembler = DIALECTS["responses"].assembler()
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    for said, logprob in (("hel", -0.5), ("lo", -0.25)):
        event = {"type": "response.output_text.delta", **place, "delta": said, "logprobs": [entry(said, logprob)]}
        assembler.feed(json.dumps(event).encode())
    response = assembler.response()
    assert read_tokens("responses", response.envelope, response.message) == TOLD["logprobs"]


@pytest.mark.parametrize("name", ["generationConfig", "generation_config"])
def test_gemini_is_asked_in_its_configuration(name: str) -> None:
    wish = sure("gemini", "logprobs", {**CONTENTS, name: {"temperature": 0.5}})
    assert dict(wish.changes) == {name: {"responseLogprobs": True}}
    assert wish.added({name: {"topK": 1}, "cachedContent": "c"}) == {
        name: {"topK": 1, "responseLogprobs": True}, "cachedContent": "c",
    }  # fmt: skip


def test_log_probabilities_of_gemini_are_kept_and_not_given() -> None:
    def said(text: str, id: int, logprob: float, **more: Any) -> dict[str, Any]:
        result = {"chosenCandidates": [{"token": text, "tokenId": id, "logProbability": logprob}], "topCandidates": []}
        content = {"role": "model", "parts": [{"text": text}]}
        return {"candidates": [{"index": 0, "content": content, "logprobsResult": result, **more}]}

    wish, assembler = sure("gemini", "logprobs", CONTENTS), DIALECTS["gemini"].assembler()
    given: list[dict[str, Any]] = []
    for event in (said("hel", 7, -0.5), said("lo", 8, -0.25, finishReason="STOP")):
        assembler.feed(data := json.dumps(event).encode())
        given.append(json.loads(wish.event(data) or b"{}"))
    assert [event["candidates"][0].keys() - {"finishReason"} for event in given] == [{"index", "content"}] * 2
    response = assembler.response()
    assert read_tokens("gemini", response.envelope, response.message) == Tokens(None, (7, 8), (-0.5, -0.25))


def test_answers_without_tokens_tell_of_none() -> None:
    kept = DIALECTS["chat"].response(json.dumps(completion("hello")).encode())
    assert read_tokens("chat", kept.envelope, kept.message) is None
    assert read_tokens("messages", kept.envelope, kept.message) is None
    assert read_tokens("chat", None, None) is None
    assert read_tokens("chat", b"what a hook has left", None) is None


@pytest.mark.parametrize(
    "said",
    ["logprobs are not supported with reasoning models", "Logprobs is not supported for the requested model.",
     "Extra inputs are not permitted: return_token_ids"],
)  # fmt: skip
def test_a_refusal_of_tokens_is_told_from_other_errors(said: str) -> None:
    assert is_refusal(json.dumps({"error": {"message": said}}).encode())
    assert not is_refusal(b'{"error":{"message":"This model has no tools."}}')
    assert not is_refusal(None)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "logprobs", "token_ids", "prompt_token_ids", "delta", "a"]), inner
        )
    ),
    max_leaves=12,
)


def _cut(value: Any, path: tuple[str, ...]) -> Any:
    """The same on values, written down as simply as can be."""
    name, *rest = path
    if name == EACH:
        return [_cut(item, tuple(rest)) for item in value] if isinstance(value, list) else value
    if not isinstance(value, dict) or name not in value:
        return value
    if not rest:
        return {key: item for key, item in value.items() if key != name}
    inner = _cut(value[name], tuple(rest))
    if inner == {} and value[name] != {}:
        return {key: item for key, item in value.items() if key != name}
    return {**value, name: inner}


@given(JSON, st.sampled_from([("token_ids",), ("choices", EACH, "token_ids"), ("delta", "a"), ("a", "a", EACH, "a")]))
def test_a_cut_takes_out_one_thing_wherever_it_stands(value: Any, path: tuple[str, ...]) -> None:
    for indent in (None, 1):
        raw = json.dumps(value, indent=indent).encode()
        left = Cuts([Cut(path)])(raw)
        assert json.loads(left) == _cut(value, path)
        if _cut(value, path) == value:
            assert left is raw


def test_an_answer_with_numbers_that_are_no_json_is_cut_too() -> None:
    raw = (
        b'{"choices":[{"index":0,"delta":{"content":"a"},"token_ids":[1],'
        b'"logprobs":{"content":[{"logprob":-Infinity}]}}]}'
    )
    given = sure("chat", "vllm", HI).event(raw)
    assert given == b'{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":null}]}'


@given(JSON)
def test_no_answer_is_so_odd_that_it_cannot_be_given(value: Any) -> None:
    for server in WHOLE:
        wish = sure("chat", server, HI)
        raw = json.dumps(value).encode()
        json.loads(wish.whole(raw))
        assert wish.whole(raw[:-1]) is not None
        wish.event(raw)
