"""Requests of the gemini dialect: what is read from their bytes and URL, and what of their bytes is changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.wire import GEMINI
from drawbar.wire.dialect import BadBody, Overrides
from drawbar.wire.gemini_path import GeminiPath

NUMBER = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
READ = ("contents", "systemInstruction", "system_instruction", "tools", "generationConfig", "generation_config")
FIELDS = st.dictionaries(st.text().filter(lambda key: key not in READ), JSON, max_size=6)


def said(role: str, *parts: Any) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def body(*contents: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"contents": contents or [said("user", "hi")], **fields}).encode()


def slices(raw: bytes) -> list[Any]:
    return [json.loads(message) for message in GEMINI.split(raw).messages]


def test_a_request_is_cut_into_slices_of_its_own_bytes() -> None:
    raw = b'{"contents": [ {"parts":[{"text":"a"}],  "role":"user"} , {"role":"model","parts":[]}], "labels": [ ]}'
    request = GEMINI.split(raw)
    assert list(request.messages) == [b'{"parts":[{"text":"a"}],  "role":"user"}', b'{"role":"model","parts":[]}']
    assert request.tools is None
    assert request.envelope == b'{"labels":[ ]}'


def test_the_url_says_model_and_streaming_so_the_body_says_neither() -> None:
    request = GEMINI.split(body(model="models/a"))
    assert (request.model, request.stream) == ("", False)
    assert json.loads(request.envelope) == {"model": "models/a"}


@pytest.mark.parametrize("name", ["systemInstruction", "system_instruction"])
def test_the_system_instruction_is_the_first_message_with_its_own_bytes(name: str) -> None:
    raw = b'{"contents":[{"parts":[{"text":"hi"}]}],"%b":{"parts" : [{"text":"be \\u00e9"}]}}' % name.encode()
    request = GEMINI.split(raw)
    assert request.messages[0] == b'{"systemInstruction":{"parts" : [{"text":"be \\u00e9"}]}}'
    assert len(request.messages) == 2
    assert request.envelope == b"{}"


@pytest.mark.parametrize("nothing", [None, {}, ""])
def test_no_system_instruction_is_no_message(nothing: Any) -> None:
    assert len(slices(body(systemInstruction=nothing))) == 1


def test_tools_stand_apart_from_the_envelope() -> None:
    tools = [{"functionDeclarations": [{"name": "f"}]}, {"googleSearch": {}}]
    request = GEMINI.split(body(tools=tools, toolConfig={"x": 1}))
    assert request.tools is not None
    assert json.loads(request.tools) == tools
    assert json.loads(request.envelope) == {"toolConfig": {"x": 1}}


def test_a_single_content_needs_no_list() -> None:
    assert slices(b'{"contents":{"parts":{"text":"hi"}}}') == [{"parts": {"text": "hi"}}]


def test_a_reply_that_comes_back_chunk_by_chunk_is_one_message() -> None:
    chunks = [said("model", "Hel"), said("model"), said("model", "lo", {"functionCall": {"name": "f"}})]
    found = slices(body(said("user", "hi"), *chunks, said("user", "on")))
    assert found == [
        said("user", "hi"),
        said("model", "Hel", "lo", {"functionCall": {"name": "f"}}),
        said("user", "on"),
    ]


def test_contents_that_say_more_than_their_parts_stay_apart() -> None:
    contents = [
        said("model", "a"),
        {**said("model", "b"), "x": 1},
        said("user", 'the "model"'),
        said("user", '"model"'),
    ]
    assert slices(body(*contents)) == contents


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "the body is empty"),
        (b"{", "not JSON"),
        (b"[1]", "must be a JSON object"),
        (b"{}", "`contents` is missing"),
        (b'{"contents":null}', "`contents` is missing"),
        (b'{"contents":"hi"}', "`contents` must be a list"),
        (b'{"contents":[]}', "`contents` is empty"),
        (b'{"a":' + b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(BadBody, match=reason):
        GEMINI.split(raw)


@given(FIELDS, st.lists(st.dictionaries(st.text(), JSON, max_size=3), min_size=1, max_size=5))
def test_what_is_split_is_all_that_was_sent(fields: dict[str, Any], contents: list[dict[str, Any]]) -> None:
    raw = body(*contents, **fields)
    assert slices(raw) == contents
    assert json.loads(GEMINI.split(raw).envelope) == fields


def changes(overrides: Overrides, **fields: Any) -> dict[str, Any]:
    return GEMINI.changes(GEMINI.split(body(**fields)), overrides)


def test_sampling_goes_into_the_generation_config_under_its_names_there() -> None:
    sampling = {"temperature": 0, "top_p": 0.5, "max_tokens": 9, "seed": 7, "stop": "END", "topK": 3}
    assert changes(Overrides(sampling=sampling)) == {
        "generationConfig": {
            "temperature": 0, "topP": 0.5, "maxOutputTokens": 9, "seed": 7, "stopSequences": ["END"], "topK": 3,
        }
    }  # fmt: skip


def test_only_what_differs_is_overridden() -> None:
    override = Overrides("other", {"temperature": 1, "seed": 2}, stream_usage=True)
    assert changes(override, generationConfig={"temperature": 1, "seed": 2}) == {}
    assert changes(override, generationConfig={"temperature": 1}) == {"generationConfig": {"seed": 2}}


def test_a_field_goes_by_the_name_that_the_client_uses() -> None:
    override = Overrides(sampling={"max_tokens": 9})
    assert changes(override, generation_config={"max_output_tokens": 5}) == {
        "generation_config": {"max_output_tokens": 9}
    }


def test_only_the_bytes_of_overridden_fields_change() -> None:
    raw = b' {"contents" : [],\n "generationConfig": { "temperature" : 1.50,"x":[1,  2]} , "y": "\\u00e9"}\n'
    patched = GEMINI.patch(raw, {"generationConfig": {"temperature": 0, "seed": 7}})
    assert patched == raw.replace(b"1.50", b"0").replace(b"[1,  2]}", b'[1,  2],"seed":7}')


@pytest.mark.parametrize("before", [b"{}", b'{"generationConfig":null}', b'{"generationConfig":7}'])
def test_a_generation_config_is_made_where_none_was(before: bytes) -> None:
    assert GEMINI.patch(before, {"generationConfig": {"seed": 7}}) == b'{"generationConfig":{"seed":7}}'


@given(FIELDS, FIELDS, FIELDS)
def test_patching_sets_what_is_asked_and_keeps_the_rest(
    fields: dict[str, Any], config: dict[str, Any], set_to: dict[str, Any]
) -> None:
    raw = body(**fields, generationConfig=config)
    expected = {key: value for key, value in {**config, **set_to}.items() if key not in set_to or value is not None}
    patched = json.loads(GEMINI.patch(raw, {"generationConfig": set_to}))
    assert patched == {**json.loads(raw), "generationConfig": expected}


def read(path: str, query: str = "") -> GeminiPath:
    found = GeminiPath.read(path, query)
    assert found is not None
    return found


def test_a_url_names_model_and_method() -> None:
    url = read("/v1beta/models/gemini-2.5-pro:streamGenerateContent", "alt=sse&key=secret&x=1")
    assert (url.version, url.model, url.method) == ("v1beta", "gemini-2.5-pro", "streamGenerateContent")
    assert (url.turn, url.stream, url.events, url.key) == (True, True, True, "secret")
    assert url.url() == "v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse&x=1"


def test_a_stream_is_an_array_unless_events_are_asked_for() -> None:
    assert not read("/v1/models/m:streamGenerateContent").events
    assert read("/v1/models/m:streamGenerateContent", "$alt=sse").events


def test_what_makes_no_turn_is_told_apart() -> None:
    assert [read(f"/v1/models/m:{name}").turn for name in ("generateContent", "countTokens", "embedContent")] == [
        True, False, False,
    ]  # fmt: skip


def test_a_models_name_may_hold_slashes_and_colons() -> None:
    url = read("/v1/models/ollama/llama3:8b:generateContent")
    assert (url.model, url.stream) == ("ollama/llama3:8b", False)
    assert url.url() == "v1/models/ollama/llama3:8b:generateContent"


def test_another_model_is_another_url() -> None:
    url = read("/v1beta/tunedModels/mine:generateContent")
    assert url.url() == "v1beta/tunedModels/mine:generateContent"
    assert url.url("models/b c") == "v1beta/models/b%20c:generateContent"


@pytest.mark.parametrize(
    "path", ["/v1beta/models", "/v1/models/m", "/v1/chat/completions", "/models/m:generateContent", ""]
)
def test_what_names_no_method_of_a_model_is_none(path: str) -> None:
    assert GeminiPath.read(path) is None


@pytest.mark.parametrize(
    "content",
    [
        b'{"role":"%b","parts":[{"text":"a"}]}',
        b'{ "parts" : [{"text":"\\"role\\":\\"user\\"}"}] , "role" : "%b" }',
        b'{"role":"%b","parts":{"text":"model"}}',
    ],
)
def test_whose_a_content_is_is_told_alike_wherever_it_says_so(content: bytes) -> None:
    def messages(role: bytes) -> int:
        return len(GEMINI.split(b'{"contents":[' + b",".join([content % role] * 3) + b"]}").messages)

    assert (messages(b"model"), messages(b"user")) == (1, 3)


@pytest.mark.parametrize("model", ["..", "../../v1/files/x", "a/../b", "a/.."])
def test_a_model_whose_name_leads_elsewhere_is_none(model: str) -> None:
    assert GeminiPath.read(f"/v1beta/models/{model}:generateContent") is None
    assert GeminiPath.read("/v1beta/models/a..b/c:generateContent") is not None
