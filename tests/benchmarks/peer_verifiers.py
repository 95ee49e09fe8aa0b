"""The job of three model calls and two tool calls in verifiers 0.4: bash harness, subprocess runtime.

All rollouts share one tool server. Runs in the peer's environment. Nothing is uploaded (`--push False`).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from processes import family, memory_mb


def command(upstream: str, rollouts: int, at_a_time: int, folder: str) -> list[str]:
    return [
        *[str(Path(sys.executable).parent / "vf-eval"), "verifiers_job", "-m", "scripted"],
        *["-r", "1", "-c", str(at_a_time), "--push", "False", "-o", folder],
        *["--env.taskset.num-tasks", str(rollouts)],
        *["--env.agent.harness.id", "bash", "--env.agent.runtime.type", "subprocess"],
        *["--client.type", "eval", "--client.base-url", f"{upstream}/v1", "--client.api-key-var", "BENCHMARK_KEY"],
    ]


def watch(pid: int, done: threading.Event, peaks: dict[str, float]) -> None:
    """Memory and number of the evaluation's processes, looked at five times a second."""
    while not done.wait(0.2):
        peaks["peak_mb"] = max(peaks["peak_mb"], memory_mb(pid))
        peaks["processes"] = max(peaks["processes"], len(family(pid)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("upstream")
    parser.add_argument("--rollouts", type=int, required=True)
    parser.add_argument("--at-a-time", type=int, required=True)
    arguments = parser.parse_args()
    here, tools = Path(__file__).resolve().parent, Path(sys.executable).parent
    environment = {**os.environ, "PYTHONPATH": str(here), "BENCHMARK_KEY": "none"}
    environment["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"  # it wants uv
    peaks, done = {"peak_mb": 0.0, "processes": 0.0}, threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        line = command(arguments.upstream, arguments.rollouts, arguments.at_a_time, folder)
        with subprocess.Popen(line, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as evaluation:
            watcher = threading.Thread(target=watch, args=(evaluation.pid, done, peaks))
            watcher.start()
            evaluation.wait()
            done.set()
            watcher.join()
        (file,) = Path(folder).rglob("traces.jsonl")
        traces = [trace for line in file.read_text().splitlines() for trace in json.loads(line)["traces"]]
    good = [trace for trace in traces if not trace["errors"] and len(trace["calls"]) == 3]
    if len(good) != arguments.rollouts:
        raise SystemExit(f"Only {len(good)} of {arguments.rollouts} rollouts went well: {traces[0]['errors']}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = max(t["timing"]["scoring"]["end"] for t in good) - min(t["timing"]["start"] for t in good)
    figures = {"per_second": len(good) / took, "cpu_ms": (used.ru_utime + used.ru_stime) * 1000 / len(good)}
    print(json.dumps({**figures, **peaks}))


if __name__ == "__main__":
    main()
