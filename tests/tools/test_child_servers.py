"""Tool servers that are processes: what they inherit, how they end, and what is said when they die."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import textwrap
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import psutil  # type: ignore[import-untyped]
import pytest

from drawbar.environment import Environment
from drawbar.errors import ToolServerError
from drawbar.tools.connection import ToolRequest
from drawbar.tools.stdio import Stdio
from drawbar.tools.warden import Warden

if TYPE_CHECKING:
    from tests.tools.conftest import Desk, Plain

Until = Callable[[Callable[[], object]], Awaitable[None]]


def gone(*numbers: int) -> bool:
    """Whether none of these processes runs any more (one that nobody has buried yet does not run)."""
    for number in numbers:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(number).status() != psutil.STATUS_ZOMBIE:
                return False
    return True


def children() -> list[int]:
    return [child.pid for child in psutil.Process().children(recursive=True) if child.is_running()]


async def test_a_server_that_dies_during_a_call_says_so_to_model_and_record(desk: Desk, plain: Plain) -> None:
    session = await desk.session(Environment(name="e", servers={"tide": plain()}))
    reply = await desk.call(session, "die")
    assert reply.result["isError"]
    assert "Tool server 'tide' exited with code 3" in reply.text
    assert "out of memory" in reply.text
    (call,) = desk.recorded(session)
    assert (call.status, call.result) == ("failed", None)
    assert desk.trajectory(session).tool_calls[0].is_error


async def test_everyone_who_waits_learns_of_the_death(desk: Desk, plain: Plain) -> None:
    session = await desk.session(Environment(name="e", servers={"tide": plain()}))
    sleeping = asyncio.create_task(desk.call(session, "sleep"))
    await desk.call(session, "echo", {"text": "the one before has been sent"})
    await desk.call(session, "die")
    assert "exited with code 3" in (await sleeping).text


async def test_a_shared_server_is_there_again_for_the_next_call(desk: Desk, plain: Plain) -> None:
    session = await desk.session(Environment(name="e", servers={"tide": plain()}))
    await desk.call(session, "die")
    assert (await desk.call(session, "echo", {"text": "again"})).text == "again"


async def test_a_sessions_own_server_does_not_lose_its_state_silently(desk: Desk, plain: Plain) -> None:
    session = await desk.session(Environment(name="e", servers={"tide": plain(scope="session")}))
    await desk.call(session, "remember", {"text": "a"})
    await desk.call(session, "die")
    lost = await desk.call(session, "recall")
    assert lost.result["isError"]
    assert "what it kept for this session is lost" in lost.text
    assert (await desk.call(session, "recall")).text == ""


async def test_a_call_that_killed_its_server_is_not_sent_again(plain: Plain) -> None:
    warden = Warden()
    made = Stdio("tide", plain(), warden)
    await made.open()
    with pytest.raises(ToolServerError):
        await made.call(ToolRequest("die", {}))
    assert await made.tools()
    await made.close()
    await warden.close()


async def test_an_abandoned_call_is_cancelled_at_the_server(desk: Desk, plain: Plain) -> None:
    session = await desk.session(Environment(name="e", servers={"tide": plain(timeout=0.1)}))
    assert "did not answer within 0.1 s" in (await desk.call(session, "sleep")).text
    cancelled = json.loads((await desk.call(session, "cancelled")).text)
    assert len(cancelled) == 1


async def test_a_server_that_cannot_start_fails_the_opening_with_its_last_words(desk: Desk, plain: Plain) -> None:
    session = await desk.session(Environment(name="e", servers={"tide": plain("--dies-at-start")}))
    with pytest.raises(ToolServerError, match="cannot find my data"):
        await desk.side.open(session)
    reply = await desk.ask(session, "tools/list")
    assert "cannot find my data" in reply.json["error"]["message"]


async def test_a_server_that_never_answers_is_given_up(plain: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drawbar.tools.stdio.START_TIMEOUT", 0.05)
    warden = Warden()
    with pytest.raises(ToolServerError, match="did not answer within"):
        await Stdio("tide", plain("--mute"), warden).open()
    await warden.close()


async def test_an_opening_that_is_cancelled_leaves_no_process(desk: Desk, plain: Plain, until: Until) -> None:
    before = set(children())
    server = plain("--mute", "--stays", scope="session")
    session = await desk.session(Environment(name="e", servers={"tide": server}))
    async with anyio.create_task_group() as group:
        group.start_soon(desk.side.open, session)
        await until(lambda: len(set(children()) - before) == 2)  # the warden and the server
        (child,) = [n for n in set(children()) - before if "plain_server" in " ".join(psutil.Process(n).cmdline())]
        group.cancel_scope.cancel()
    assert gone(child)


async def test_a_child_inherits_only_what_is_named(desk: Desk, plain: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "s")
    monkeypatch.setenv("MY_REGION", "north")
    server = plain(pass_env=["MY_REGION"], env={"OWN": "1"})
    session = await desk.session(Environment(name="e", servers={"tide": server}))
    inherited = json.loads((await desk.call(session, "environment")).text)
    assert inherited["MY_REGION"] == "north"
    assert inherited["OWN"] == "1"
    assert inherited["PATH"] == os.environ["PATH"]
    assert "MY_SECRET" not in inherited


@pytest.mark.parametrize("flags", [[], ["--stays"]])
async def test_closing_a_session_leaves_none_of_its_processes(
    desk: Desk, plain: Plain, until: Until, flags: list[str]
) -> None:
    session = await desk.session(Environment(name="e", servers={"tide": plain(*flags, scope="session")}))
    lasting = int((await desk.call(session, "child")).text)
    assert not gone(lasting)
    await desk.side.close(session)
    await until(lambda: gone(lasting))


async def test_closing_the_gateway_leaves_no_process(plain: Plain, desks: Callable[..., object]) -> None:
    before = set(children())
    async with desks() as desk:  # type: ignore[attr-defined]
        shared = await desk.session(Environment(name="a", servers={"tide": plain()}))
        own = await desk.session(Environment(name="b", servers={"tide": plain(scope="session")}))
        for session in (shared, own):
            assert (await desk.call(session, "echo", {"text": "x"})).text == "x"
        assert set(children()) - before
    assert set(children()) <= before


GATEWAY = """
import asyncio, sys
from drawbar.server import CommandServer
from drawbar.tools.connection import ToolRequest
from drawbar.tools.stdio import Stdio
from drawbar.tools.warden import Warden

async def main():
    server = Stdio("tide", CommandServer(command=[sys.executable, "-S", sys.argv[1], "--stays"]), Warden())
    await server.open()
    started = await server.call(ToolRequest("child", {}))
    print(server._child._process.pid, started["content"][0]["text"], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX")
async def test_killing_the_gateway_leaves_no_process(tmp_path: Path, until: Until) -> None:
    program = tmp_path / "gateway.py"
    program.write_text(textwrap.dedent(GATEWAY))
    server = Path(__file__).parent / "programs" / "plain_server.py"
    gateway = await asyncio.create_subprocess_exec(
        sys.executable, str(program), str(server), stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert gateway.stdout is not None
    numbers = [int(word) for word in (await gateway.stdout.readline()).split()]
    assert len(numbers) == 2
    assert not gone(*numbers)
    os.killpg(gateway.pid, signal.SIGKILL)
    await gateway.wait()
    await until(lambda: gone(*numbers))


async def test_a_long_line_does_not_hold_up_the_loop(desk: Desk, plain: Plain) -> None:
    session = await desk.session(Environment(name="e", servers={"tide": plain(max_result_bytes=1000)}))
    reply = await desk.call(session, "big")
    assert "over the limit of 1,000" in reply.text


async def test_unknown_fields_survive_to_the_agent_and_the_record(desk: Desk, plain: Plain) -> None:
    session = await desk.session(Environment(name="e", servers={"tide": plain()}, observation="as-is"))
    tools = {tool["name"]: tool for tool in (await desk.ask(session, "tools/list")).result["tools"]}
    assert tools["echo"]["x-unknown"] == {"kept": True}
    reply = await desk.call(session, "echo", {"text": "x"})
    assert reply.result["unknown"] == "kept"
    (call,) = desk.recorded(session)
    assert call.result is not None
    assert call.result["unknown"] == "kept"


async def test_a_server_that_dies_again_and_again_is_started_more_and_more_slowly(
    desk: Desk, plain: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drawbar.tools.stdio._FIRST_DELAY", 0.2)
    session = await desk.session(Environment(name="e", servers={"tide": plain()}))
    clock = asyncio.get_running_loop().time
    took = []
    for _ in range(4):
        began = clock()
        await desk.call(session, "die")
        took.append(clock() - began)
    assert took[2] > 0.2
    assert took[3] > 0.4


async def test_a_dying_server_that_says_its_key_does_not_say_it_to_model_or_record(
    desk: Desk, plain: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDE_TOKEN", "token-of-ours")
    env = {"API_KEY": "sk-very-secret", "LAST_WORDS": "tried sk-very-secret and token-of-ours\n"}
    server = plain(env=env, pass_env=["TIDE_TOKEN"])
    session = await desk.session(Environment(name="e", servers={"tide": server}))
    said = (await desk.call(session, "die")).text
    assert "out of memory" in said
    assert "tried *** and ***" in said
    (call,) = desk.recorded(session)
    assert "sk-very-secret" not in repr(call)
    assert "token-of-ours" not in repr(call)


async def test_a_server_that_never_lists_its_tools_holds_up_no_session_for_ever(
    desk: Desk, plain: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drawbar.tools.toolset.LIST_TIMEOUT", 0.05)
    session = await desk.session(Environment(name="e", servers={"tide": plain("--unlisted")}))
    reply = await desk.ask(session, "tools/list")
    assert "'tide' did not list its tools within 0.05 s" in reply.json["error"]["message"]
