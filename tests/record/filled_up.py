"""A process whose store's disk fills up under it and is freed again. Prints what happened, one event a line.

The disk is a limit on file size, which needs no rights to set and can be lifted. Run as a script: STORE_PATH.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import anyio

from drawbar.errors import StoreError
from drawbar.ids import digest, new_id
from drawbar.record.recorder import Recorder
from drawbar.record.rows import BlobRow, CallRow, SessionRow
from drawbar.record.store import Store


def _call(n: int, status: str) -> CallRow:
    return CallRow(
        id=f"call_{n:04}", session="s", seq=n, dialect="chat", path="/", model="m", status=status, started=1.0
    )


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def _limit(size: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


async def main(path: Path) -> None:
    store = Store.open(path)
    async with Recorder(store) as recorder:
        await recorder.commit(SessionRow(id="s", started=1.0))
        _limit(400_000)
        for n in range(1000):
            body = new_id("body").encode() * 400
            await recorder.post(_call(n, "started"))
            try:
                await recorder.commit(_call(n, "answered"), BlobRow(digest=digest(body), body=body[:n] + body))
            except StoreError as error:
                _say(f"failed {n} {error}")
                break
            _say(f"answered {n}")
        await recorder.post(_call(1001, "started"))
        _limit(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
        await recorder.commit(_call(1002, "answered"))
        _say("answered 1002")
    store.close()


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]))
