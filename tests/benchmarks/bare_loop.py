"""The same job as a bare aiohttp loop: no gateway, no tool protocol, no record, no score. Prints what it took."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from typing import Any

import aiohttp
import orjson
import uvloop

from workload import search

_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "search",
            "description": "Search the pages.",
            "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
        },
    }
]


async def rollout(client: aiohttp.ClientSession, url: str, number: int) -> int:
    """One agent's work; the model calls that it took."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": f"Question {number}: what moves the tides?"}]
    for turn in range(1, 100):
        body = orjson.dumps({"model": "scripted", "messages": messages, "tools": _TOOLS})
        async with client.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
            message = orjson.loads(await answer.read())["choices"][0]["message"]
        messages.append(message)
        if not message.get("tool_calls"):
            return turn
        for call in message["tool_calls"]:
            result = await search(**orjson.loads(call["function"]["arguments"]))
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    raise RuntimeError("The model came to no end.")


async def work(upstream: str, rollouts: int, at_a_time: int) -> dict[str, float]:
    """The loop's figures."""
    numbers = iter(range(rollouts))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:

        async def worker() -> None:
            for number in numbers:
                await rollout(client, f"{upstream}/v1/chat/completions", number)

        cpu, begun = time.process_time(), time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(at_a_time)))
        took, cpu = time.perf_counter() - begun, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {"per_second": rollouts / took, "cpu_ms": cpu * 1000 / rollouts, "peak_mb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("upstream")
    parser.add_argument("--rollouts", type=int, required=True)
    parser.add_argument("--at-a-time", type=int, required=True)
    arguments = parser.parse_args()
    print(json.dumps(uvloop.run(work(arguments.upstream, arguments.rollouts, arguments.at_a_time))))


if __name__ == "__main__":
    main()
