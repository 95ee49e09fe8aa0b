"""A server that is told to read its configuration again, and one that is told to stop: no request is dropped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from anthropic import AsyncAnthropic, InternalServerError

from drawbar.proxy.models import Models
from drawbar.proxy.routes import ModelRoute
from drawbar.proxy.settings import Settings
from drawbar.record.store import Store

if TYPE_CHECKING:
    from tests.proxy.conftest import MakeHouse, Provider

HI = [{"role": "user", "content": "hi"}]


class Held:
    """Answers when it is let."""

    def __init__(self, provider: Provider) -> None:
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()
        self._provider = provider
        provider.answer = self.answer

    async def answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        self.asked.set()
        await self.go_on.wait()
        return web.json_response(self._provider.completion(f"from {body['model']}"))


async def test_requests_under_way_end_on_the_old_configuration_and_new_ones_see_the_new(
    serve: MakeHouse, provider: Provider
) -> None:
    def models(to: str) -> Models:
        return Models(base_url=provider.url + "/v1", routes={"fast": ModelRoute({to: 1.0})})

    held = Held(provider)
    async with serve(models=models("old")) as house:
        first = asyncio.create_task(house.post(None, {"model": "fast", "messages": HI}))
        await held.asked.wait()
        await house.gateway.reconfigure(models("new"), settings=Settings(keys=frozenset({"sk-new"})))
        assert (await house.post(None, {"model": "fast", "messages": HI})).status == 401
        held.go_on.set()
        answers = [await (await first).json()]
        second = await house.post(None, {"model": "fast", "messages": HI}, headers={"authorization": "Bearer sk-new"})
        answers.append(await second.json())
        assert [answer["choices"][0]["message"]["content"] for answer in answers] == ["from old", "from new"]


async def test_while_it_stops_new_requests_are_told_to_come_again(serve: MakeHouse, provider: Provider) -> None:
    held = Held(provider)
    async with serve() as house:
        first = asyncio.create_task(house.post(None, {"model": "m", "messages": HI}))
        await held.asked.wait()
        draining = asyncio.create_task(house.gateway.drain(20))
        await asyncio.sleep(0)
        refused = await house.post(None, {"model": "m", "messages": HI})
        assert (refused.status, (await refused.json())["error"]["code"]) == (503, "stopping")
        assert 1 <= int(refused.headers["retry-after"]) <= 20
        client = AsyncAnthropic(base_url=house.url, api_key="x", max_retries=0)
        async with client:
            with pytest.raises(InternalServerError, match="This gateway is stopping"):
                await client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": "hi"}])
        async with house.http.get(house.url + "/healthz") as health:
            assert health.status == 503
        assert not draining.done()
        held.go_on.set()
        assert await draining
        assert (await first).status == 200


async def test_what_does_not_end_in_time_is_not_waited_for(serve: MakeHouse, provider: Provider) -> None:
    held = Held(provider)
    async with serve() as house:
        first = asyncio.create_task(house.post(None, {"model": "m", "messages": HI}))
        await held.asked.wait()
        assert not await house.gateway.drain(0.05)
        held.go_on.set()
        assert (await first).status == 200


class Served:
    """`drawbar serve` as a process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._news = threading.Condition()
        assert process.stdout is not None
        assert process.stderr is not None
        self.url = process.stdout.readline().split()[2].removesuffix("/v1")
        self.readers = [
            threading.Thread(target=self._read, args=(stream,)) for stream in (process.stdout, process.stderr)
        ]
        for reader in self.readers:
            reader.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            with self._news:
                self.said.append(line)
                self._news.notify_all()

    async def says(self, words: str) -> None:
        await asyncio.to_thread(self._wait_for, words)

    def _wait_for(self, words: str) -> None:
        with self._news:
            assert self._news.wait_for(lambda: any(words in line for line in self.said), timeout=20), self.said


@contextmanager
def served(config: Path) -> Iterator[Served]:
    program = "import sys; from drawbar.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "serve", "--config", str(config)]
    variables = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables) as process:
        found = Served(process)
        try:
            yield found
        finally:
            process.kill()
            for reader in found.readers:
                reader.join()


async def test_signals_have_the_server_read_again_and_stop_in_order(tmp_path: Path, provider: Provider) -> None:
    config = tmp_path / "drawbar.toml"

    def write(text: str) -> None:
        config.write_text(f'store = "{tmp_path / "s.db"}"\nbase_url = "{provider.url}/v1"\n{text}')

    async def ask(http: aiohttp.ClientSession) -> str:
        async with http.post(server.url + "/v1/chat/completions", json={"model": "a", "messages": HI}) as response:
            body = await response.json()
            found = body["choices"][0]["message"]["content"] if response.status == 200 else body["error"]["code"]
            return str(found)

    held = Held(provider)
    held.go_on.set()
    write('port = 0\n[models.a]\nto = "one"')
    with served(config) as server:
        async with aiohttp.ClientSession() as http:
            assert await ask(http) == "from one"
            write("port = 0\n[models.a]\nto = 1")
            server.process.send_signal(signal.SIGHUP)
            await server.says("the old one stays: " + f"{config}, line 5, models.a.to: expected")
            assert await ask(http) == "from one"
            write('port = 9\n[models.a]\nto = "two"')
            server.process.send_signal(signal.SIGHUP)
            await server.says("port cannot change while the server runs")
            await server.says("The configuration was read again")
            assert await ask(http) == "from two"
            held.go_on.clear()
            held.asked.clear()
            late = asyncio.create_task(ask(http))
            await held.asked.wait()
            server.process.send_signal(signal.SIGTERM)
            await server.says("Stopping: calls under way have 30 seconds")
            assert await ask(http) == "stopping"
            held.go_on.set()
            assert await late == "from two"
            assert await asyncio.to_thread(server.process.wait, 20) == 0
    store = Store.open(tmp_path / "s.db", read_only=True)
    calls = [call for row in store.sessions() for call in store.trajectory(row.id).calls]
    store.close()
    assert [call.status for call in calls] == ["answered"] * 4


async def test_a_second_signal_ends_it_at_once(tmp_path: Path, provider: Provider) -> None:
    config = tmp_path / "drawbar.toml"
    config.write_text(f'store = "{tmp_path / "s.db"}"\nport = 0\nbase_url = "{provider.url}/v1"')
    held = Held(provider)
    with served(config) as server:
        async with aiohttp.ClientSession() as http:
            url = server.url + "/v1/chat/completions"
            late = asyncio.create_task(http.post(url, json={"model": "a", "messages": HI}))
            await held.asked.wait()
            server.process.send_signal(signal.SIGTERM)
            await server.says("Stopping")
            server.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.process.wait, 20) == 0
            assert (await late).status == 503
    store = Store.open(tmp_path / "s.db", read_only=True)
    [row] = store.sessions()
    [call] = store.trajectory(row.id).calls
    store.close()
    assert (call.status, call.cause) == ("failed", "cancelled")
