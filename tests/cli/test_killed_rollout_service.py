"""A gateway that plays rollouts for a trainer is killed: what was finished stays, and the job goes on by its id."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

ENVIRONMENT = """
from drawbar import Environment, Task


def environment():
    tasks = [Task(key=key, prompt=f"Which {key}?", answer="even") for key in "ab"]
    return Environment(name="letters", tasks=tasks, rubric=[right])


def right(completion, answer):
    return completion == answer
"""


class Endpoint:
    """Tells tokens as vLLM does. Task b's answers come once they are let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = asyncio.Event()

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        task = "b" if "Which b" in json.dumps(body) else "a"
        self.asked.append(task)
        if task == "b":
            await self.go.wait()
        logprobs = {"content": [{"token": "even", "logprob": -0.5, "bytes": [], "top_logprobs": []}]}
        choice = {"index": 0, "message": {"role": "assistant", "content": "even"}, "finish_reason": "stop",
                  "token_ids": [7], "logprobs": logprobs}  # fmt: skip
        usage = {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}
        return web.json_response({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
                                  "choices": [choice], "usage": usage, "prompt_token_ids": [1, 2]})  # fmt: skip

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", self.chat)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            await runner.cleanup()


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A gateway in a process of its own, and where its rollout service is."""
    command = (sys.executable, "-m", "drawbar", "serve", "letters.py", "--port", "0", "--store", "k.db")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("DRAWBAR_")}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=variables, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        greeting = (await process.stdout.readline()).decode()
        yield process, greeting.split()[2].removesuffix("/v1") + "/api/rollouts"
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()


@pytest.mark.slow
async def test_a_job_whose_gateway_was_killed_goes_on_at_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "letters.py").write_text(ENVIRONMENT)
    endpoint = Endpoint()
    async with endpoint.listening() as url, aiohttp.ClientSession() as http:
        asked: dict[str, Any] = {"id": "j", "tasks": ["a", "b"], "count": 2, "model": "policy",
                                 "endpoint": {"base_url": url}}  # fmt: skip
        async with served(tmp_path) as (process, service):
            async with http.post(service, json={**asked, "wait": False}) as answer:
                assert answer.status == 202
            async with http.get(f"{service}/j?stream=1") as lines:
                finished = [json.loads(await lines.content.readline()) for _ in range(2)]
            process.kill()
            await process.wait()
        endpoint.go.set()
        async with served(tmp_path) as (_, service):
            async with http.get(f"{service}/j") as answer:
                seen = await answer.json()
            async with http.post(service, json=asked) as answer:
                job = await answer.json()
    assert (seen["status"], seen["ended"]) == ("interrupted", 2)
    assert (job["status"], job["ended"]) == ("finished", 4)
    assert {it["session"] for it in finished} < {it["session"] for it in job["rollouts"]}
    assert all(len(it["rows"]) == 1 for it in job["rollouts"])
    assert endpoint.asked.count("a") == 2, "what was finished was played again"
