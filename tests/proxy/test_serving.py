"""Serving on a socket: addresses, shutting down, and the command that does it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from drawbar.cli.serve import app
from drawbar.errors import ConfigurationError
from drawbar.record.store import Store
from drawbar.serving import serving

if TYPE_CHECKING:
    from tests.proxy.conftest import MakeHouse, Provider

HI = [{"role": "user", "content": "hi"}]


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_a_port_in_use_is_told_with_what_to_do() -> None:
    async with serving(hello) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match=f"Port {port} on 127.0.0.1 is in use. Give another with --port"):
            async with serving(hello, port=port):
                raise AssertionError("unreachable")


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("127.0.0.1", 70_000), ("no-such-host.invalid", 0)])
async def test_an_address_that_is_not_ours_is_told(host: str, port: int) -> None:
    with pytest.raises(ConfigurationError, match="cannot be listened on"):
        async with serving(hello, host=host, port=port):
            raise AssertionError("unreachable")


async def test_it_stops_listening_when_the_block_ends() -> None:
    async with serving(hello) as url, aiohttp.ClientSession() as http, http.get(url) as response:
        assert await response.read() == b"hello"
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))


async def test_a_call_under_way_may_end_while_the_gateway_stops(serve: MakeHouse, provider: Provider) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        asked.set()
        await go_on.wait()
        return web.json_response(provider.completion())

    provider.answer = answer
    async with serve() as house:
        session = await house.session()
        async with aiohttp.ClientSession() as http:
            url = f"{house.url}/s/{session.key}/v1/chat/completions"
            task = asyncio.create_task(http.post(url, json={"model": "m", "messages": HI}))
            await asked.wait()
            asyncio.get_running_loop().call_later(0.05, go_on.set)
            await house.stop()
            response = await task
            assert (response.status, (await response.json())["choices"][0]["finish_reason"]) == (200, "stop")


async def test_a_call_that_outlasts_the_stopping_is_recorded(
    serve: MakeHouse, provider: Provider, tmp_path: Path
) -> None:
    asked = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    provider.answer = answer
    async with serve() as house:
        session = await house.session()
        task = asyncio.create_task(house.post(session, {"model": "m", "messages": HI}))
        await asked.wait()
        await house.stop()
        response = await task
        assert (response.status, (await response.json())["error"]["code"]) == (503, "cancelled")
    store = Store.open(tmp_path / "test.db", read_only=True)
    try:
        (call,) = store.trajectory(session.id).calls
    finally:
        store.close()
    assert (call.status, call.cause) == ("failed", "cancelled")


def command(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    program = "import sys; from drawbar.cli.main import main; main(sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", program, "serve", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **variables},
    )  # fmt: skip


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    with command("--port", "0", "--store", str(tmp_path / "s.db"), PYTHONUNBUFFERED="1") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("drawbar serves http://127.0.0.1:")
        url = line.split()[2].removesuffix("/v1")
        with urllib.request.urlopen(url + "/healthz") as response:
            assert response.status == 200
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert "Stopping" in errors
    assert (tmp_path / "s.db").exists()


@pytest.mark.parametrize("keyed", [True, False])
def test_the_command_says_who_may_use_it(tmp_path: Path, keyed: bool) -> None:
    keys = {"DRAWBAR_KEYS": "a-key-of-a-client"} if keyed else {}
    with command("--port", "0", "--store", str(tmp_path / "s.db"), PYTHONUNBUFFERED="1", **keys) as process:
        assert process.stdout is not None
        greeting = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert ("without keys" in greeting[4], "must show" in greeting[4]) == (not keyed, keyed)


def test_the_command_refuses_to_serve_others_without_keys(tmp_path: Path) -> None:
    with command("--host", "0.0.0.0", "--port", "0", "--store", str(tmp_path / "s.db")) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "needs an admin key and client keys" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "s.db").exists()


def test_every_option_of_the_command_says_what_it_does() -> None:
    import typer

    for parameter in typer.main.get_command(app).params:
        assert getattr(parameter, "help", None), parameter.name
