"""A process that records calls as fast as it can, and prints each one's id once it is durable. To be killed.

Run as a script: STORE_URL. It imports no test.
"""

from __future__ import annotations

import os
import sys
from itertools import count

import anyio
import orjson
from msgspec.structs import replace

from drawbar.ids import new_id
from drawbar.record.graph import SessionGraph
from drawbar.record.recorder import Recorder
from drawbar.record.rows import CallRow, SessionRow, ToolCallRow
from drawbar.record.store import Store
from drawbar.wire import CHAT

SESSIONS = 12


async def session(recorder: Recorder) -> None:
    """One agent without end: a call, a tool call, and so on; every third call is never answered."""
    id, graph, said = new_id("ses"), SessionGraph(), list[bytes]()
    await recorder.commit(SessionRow(id=id, started=1.0))
    for n in count():
        said.append(orjson.dumps({"role": "user", "content": f"question {n} of {id} " + "x" * 500}))
        path, nodes = graph.request(CHAT, said)
        call = CallRow(
            id=new_id("call"), session=id, seq=n, dialect="chat", path="/", model="m", request=path[-1], started=1.0
        )
        await recorder.post(call, *nodes)
        if n % 3 == 1:
            continue
        answer = orjson.dumps({"role": "assistant", "content": f"answer {n} of {id} " + "y" * 500})
        reply, rows, body = graph.reply(CHAT, path[-1], answer)
        await recorder.commit(*rows, replace(call, reply=reply, reply_body=body, status="answered", ended=2.0))
        said.append(answer)
        os.write(1, f"call {id} {call.id} {n}\n".encode())
        tool = ToolCallRow(
            id=new_id("tool"), session=id, seq=n, server="s", tool="t", name="t", arguments=b"{}", started=1.0
        )
        await recorder.post(tool)
        await recorder.commit(replace(tool, status="answered", result=b'{"content":[]}', ended=2.0))
        os.write(1, f"tool {id} {tool.id} {n}\n".encode())


async def main(url: str) -> None:
    async with Recorder(Store.open(url)) as recorder, anyio.create_task_group() as group:
        for _ in range(SESSIONS):
            group.start_soon(session, recorder)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
