"""The job of three model calls and two tool calls in Inspect, its log included. Runs in the peer's environment."""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time

from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import Tool, tool


@tool  # type: ignore[untyped-decorator]
def search() -> Tool:
    async def execute(query: str) -> str:
        """Search the pages.

        Args:
            query: What to look for.
        """
        return f"Nothing is known of {query}."

    return execute


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("upstream")
    parser.add_argument("--rollouts", type=int, required=True)
    parser.add_argument("--at-a-time", type=int, required=True)
    arguments = parser.parse_args()
    samples = [Sample(input=f"Question {n}?", target="a") for n in range(arguments.rollouts)]
    job = Task(dataset=MemoryDataset(samples), solver=[use_tools(search()), generate()], scorer=includes())
    model = get_model("openai/scripted", base_url=f"{arguments.upstream}/v1", api_key="none", responses_api=False)
    with tempfile.TemporaryDirectory() as folder:
        cpu, begun = time.process_time(), time.perf_counter()
        (log,) = eval(
            job,
            model=model,
            max_connections=arguments.at_a_time,
            max_samples=arguments.at_a_time,
            display="none",
            log_dir=folder,
        )
        took, cpu = time.perf_counter() - begun, time.process_time() - cpu
        done = [sample for sample in log.samples or () if not sample.error and len(sample.messages) == 6]
        if len(done) != arguments.rollouts:
            raise SystemExit(f"Only {len(done)} of {arguments.rollouts} rollouts went well: {log.error}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"per_second": len(done) / took, "cpu_ms": cpu * 1000 / len(done), "peak_mb": peak}))


if __name__ == "__main__":
    main()
