"""One run of the engine: harness `loop`, gateway and recorder here, the model over HTTP. Prints what it took."""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import replace

import uvloop

from drawbar.collector import settle
from drawbar.gateway import Gateway
from drawbar.ids import new_id
from drawbar.proxy.models import Models
from drawbar.record.store import Store
from drawbar.rollout.access import LocalAccess
from drawbar.rollout.engine import run
from drawbar.rollout.plan import Plan
from drawbar.serving import serving
from drawbar_harnesses.loop import LoopHarness
from workload import environment

_WARMUP = 16
"""Rollouts before the measured ones, so that imports and first connections are not in the figures."""


async def work(upstream: str, store: str, rollouts: int, at_a_time: int) -> dict[str, float]:
    """The run's figures.

    Raises:
        RuntimeError: not every rollout went well.
    """
    models = Models(base_url=f"{upstream}/v1", api_key="none")
    made = {"benchmark": environment(rollouts)}
    async with Gateway(Store.open(store), models, environments=made) as gateway, serving(gateway) as url:
        settle()
        access = LocalAccess(gateway, url)
        plan = Plan(
            environment=made["benchmark"], harness=LoopHarness(), model="scripted", tasks=min(_WARMUP, rollouts)
        )
        await run(plan, access)
        cpu, begun = time.process_time(), time.perf_counter()
        report = await run(replace(plan, tasks=None, concurrency=at_a_time, run=new_id("run")), access)
        took, cpu = time.perf_counter() - begun, time.process_time() - cpu
    if report.invalid or report.rollouts != rollouts or report.reward is None or report.reward.mean != 1.0:
        raise RuntimeError(f"Not every rollout went well: {report}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {"per_second": rollouts / took, "cpu_ms": cpu * 1000 / rollouts, "peak_mb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("upstream")
    parser.add_argument("store")
    parser.add_argument("--rollouts", type=int, required=True)
    parser.add_argument("--at-a-time", type=int, required=True)
    arguments = parser.parse_args()
    figures = uvloop.run(work(arguments.upstream, arguments.store, arguments.rollouts, arguments.at_a_time))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
