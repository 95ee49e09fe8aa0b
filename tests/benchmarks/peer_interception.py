"""The interception server of verifiers 0.4 as a process of its own. Runs in the peer's environment."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os

from verifiers.v1.clients.client import ModelContext
from verifiers.v1.configs.client import EvalClientConfig
from verifiers.v1.interception.server import InterceptionServer
from verifiers.v1.session import RolloutSession
from verifiers.v1.task import TaskData
from verifiers.v1.trace import AgentInfo, Trace, TraceTask


def session(upstream: str, number: int) -> RolloutSession:
    """One rollout's registration, as its engine makes it."""
    client = EvalClientConfig(base_url=f"{upstream}/v1", api_key_var="BENCHMARK_KEY")
    task = TraceTask(type="Benchmark", data=TaskData(idx=number, prompt="Answer."))
    trace = Trace(task=task, agent=AgentInfo(config={}))
    return RolloutSession(ctx=ModelContext(model="scripted", client=client), trace=trace)


async def serve(upstream: str, sessions: int) -> None:
    """Until the process is ended."""
    async with InterceptionServer() as server:
        keys = [server.register(session(upstream, n))[0] for n in range(sessions)]
        print(json.dumps({"url": server.base_url, "keys": keys}), flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("upstream")
    parser.add_argument("--sessions", type=int, default=1)
    arguments = parser.parse_args()
    os.environ["BENCHMARK_KEY"] = "none"
    logging.disable(logging.INFO)
    asyncio.run(serve(arguments.upstream, arguments.sessions))


if __name__ == "__main__":
    main()
