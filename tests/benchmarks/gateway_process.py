"""The gateway as `drawbar serve` runs it, as a process of its own, with sessions already open."""

from __future__ import annotations

import argparse
import asyncio
import json

import uvloop

from drawbar.collector import settle
from drawbar.gateway import Gateway
from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings
from drawbar.record.store import Store
from drawbar.serving import serving
from drawbar.sessions import SessionSpec
from drawbar.task import Limits
from drawbar.wire import DIALECTS
from workload import environment


async def serve(upstream: str, store: str, sessions: int, tools: bool, idle: float) -> None:
    """Until the process is ended."""
    spec = SessionSpec(environment="benchmark" if tools else None, limits=Limits())
    models = Models(base_url=f"{upstream}/v1", api_key="none", dialects=list(DIALECTS))
    served = {"benchmark": environment()} if tools else {}
    settings = Settings(live_idle=idle)
    made = Gateway(Store.open(store), models, environments=served, settings=settings)
    async with made as gateway, serving(gateway) as url:
        settle()
        keys = [(await gateway.open(spec)).key for _ in range(sessions)]
        print(json.dumps({"url": url, "keys": keys}), flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("upstream")
    parser.add_argument("store")
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--tools", action="store_true", help="sessions of an environment with a tool")
    parser.add_argument("--idle", type=float, default=1800.0, help="seconds after which live sessions end")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.upstream, arguments.store, arguments.sessions, arguments.tools, arguments.idle))


if __name__ == "__main__":
    main()
