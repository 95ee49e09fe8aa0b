"""llama.cpp behind the gateway, for real: the record has its token ids, and its agent's answer is as it always is.

It runs where `llama-server` is installed, or where DRAWBAR_LLAMA_SERVER says that it is. The source distribution of
`llama-cpp-python` on PyPI holds what it is built of:

    cmake -S vendor/llama.cpp -B build -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_OPENSSL=OFF
    cmake --build build --target llama-server
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from drawbar.proxy.models import Models
from drawbar.testing.tiny_model import write_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.proxy.conftest import House, MakeHouse

SERVER = os.environ.get("DRAWBAR_LLAMA_SERVER") or shutil.which("llama-server")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(SERVER is None, reason="llama-server is not installed")]

PARAMETERS = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
ASKED: dict[str, Any] = {
    "model": "tiny", "messages": [{"role": "user", "content": "What pulls the tides?"}], "max_tokens": 12, "seed": 7,
    "temperature": 0.8, "cache_prompt": False, "stream_options": {"include_usage": True},
}  # fmt: skip
WITH_TOOLS = {**ASKED, "tools": [{"type": "function", "function": {"name": "look", "parameters": PARAMETERS}}]}
_CHANGES = re.compile(r'"(id|created|timings)":("[^"]*"|\d+|\{[^}]*\}),?')
"""What no two answers have in common."""


@pytest.fixture
async def llama(tmp_path: Path) -> AsyncIterator[str]:
    """The base URL of a server with a model of random weights."""
    assert SERVER is not None
    model = tmp_path / "tiny.gguf"
    write_tiny_model(model)
    program = await asyncio.create_subprocess_exec(
        SERVER, "-m", str(model), "--host", "127.0.0.1", "--port", "0", "-c", "4096", "-np", "1", "-t", "1",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert program.stdout is not None
    try:
        said = b""
        async with asyncio.timeout(60):
            while (found := re.search(rb"listening on (http://[\d.:]+)", said)) is None:
                line = await program.stdout.readline()
                assert line, said.decode()
                said += line
        reading = asyncio.create_task(program.stdout.read())
        yield found[1].decode() + "/v1"
        program.terminate()
        await reading
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()


@pytest.fixture
async def before_llama(llama: str, serve: MakeHouse) -> AsyncIterator[House]:
    async with serve(models=Models(base_url=llama, tokens="llama_cpp")) as found:
        yield found


@pytest.mark.parametrize("body", [ASKED, WITH_TOOLS], ids=["plain", "tools"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_every_sampled_token_is_in_the_record_and_none_in_the_answer(
    before_llama: House, body: dict[str, Any], stream: bool
) -> None:
    wanting, plain = await before_llama.session(token_ids=True), await before_llama.session()
    said = []
    for session in (wanting, plain):
        response = await before_llama.post(session, {**body, "stream": stream})
        assert response.status == 200, await response.text()
        said.append(_CHANGES.sub("", await response.text()))
    trajectory = await before_llama.trajectory(wanting)
    (call,) = trajectory.calls
    assert call.tokens is not None
    assert call.tokens.token_ids is not None
    assert call.tokens.logprobs is not None
    assert len(call.tokens.token_ids) == len(call.tokens.logprobs) == call.completion_tokens == 12
    assert all(value <= 0 for value in call.tokens.logprobs)
    assert trajectory.completion
    assert "missing_tokens" not in {finding.name for finding in trajectory.health}
    assert said[0] == said[1]
    assert "logprob" not in said[0]


async def test_the_ids_are_those_of_the_words(before_llama: House, llama: str) -> None:
    session = await before_llama.session(token_ids=True)
    await before_llama.post(session, ASKED)
    trajectory = await before_llama.trajectory(session)
    tokens = trajectory.calls[0].tokens
    assert tokens is not None
    assert tokens.token_ids is not None
    asked = {"tokens": list(tokens.token_ids)}
    async with before_llama.http.post(llama.removesuffix("/v1") + "/detokenize", json=asked) as response:
        assert (await response.json())["content"].strip() == trajectory.completion


async def test_an_agent_that_asks_for_log_probabilities_gets_them_with_ids(before_llama: House) -> None:
    session = await before_llama.session(token_ids=True)
    response = await before_llama.post(session, {**ASKED, "logprobs": True, "top_logprobs": 2})
    entries = json.loads(await response.text())["choices"][0]["logprobs"]["content"]
    tokens = (await before_llama.trajectory(session)).calls[0].tokens
    assert tokens is not None
    assert [entry["id"] for entry in entries] == list(tokens.token_ids or ())
    assert len(entries[0]["top_logprobs"]) == 2


async def test_dialects_in_which_it_tells_of_none_are_remarked(before_llama: House) -> None:
    session = await before_llama.session(token_ids=True)
    response = await before_llama.post(
        session, {"model": "tiny", "input": "hi", "max_output_tokens": 4}, path="/v1/responses"
    )
    assert response.status == 200, await response.text()
    trajectory = await before_llama.trajectory(session)
    assert "missing_tokens" in {finding.name for finding in trajectory.health}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_agents_of_another_dialect_leave_them_where_it_is_asked_in_chat(
    llama: str, serve: MakeHouse, stream: bool
) -> None:
    async with serve(models=Models(base_url=llama, tokens="llama_cpp", dialects=["chat"])) as house:
        session = await house.session(token_ids=True)
        body = {"model": "tiny", "max_tokens": 9, "messages": ASKED["messages"], "stream": stream}
        response = await house.post(session, body, path="/v1/messages")
        assert response.status == 200, await response.text()
        assert "logprob" not in await response.text()
        (call,) = (await house.trajectory(session)).calls
    assert call.tokens is not None
    assert len(call.tokens.token_ids or ()) == len(call.tokens.logprobs or ()) == call.completion_tokens == 9
