"""What a tool call costs through the session's MCP endpoint, recorded, beside the MCP SDK's own stateless server.

The tool is an async Python function in the server's process. CPU is that of this process alone.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from load import Job, measure
from processes import running
from report import interleaved, note, parser, show
from workload import TOOL

SESSIONS = 32
HEADERS = (
    "Accept: application/json, text/event-stream",
    "MCP-Protocol-Version: 2026-07-28",
    "Mcp-Method: tools/call",
    f"Mcp-Name: {TOOL}",
)


@contextmanager
def targets(folder: Path) -> Iterator[dict[str, Job]]:
    """A job of one call at a time for each server, all of them started."""
    with ExitStack() as stack:
        # No model is asked, so it does not matter that nothing listens there.
        gateway = stack.enter_context(
            running(
                "gateway_process.py", "http://127.0.0.1:1", str(folder / "a.db"), "--tools", f"--sessions={SESSIONS}"
            )
        )
        sdk = stack.enter_context(running("mcp_process.py"))
        yield {
            "drawbar, recorded": _job(
                [f"{gateway.ready['url']}/s/{key}/mcp" for key in gateway.ready["keys"]], gateway.pid
            ),
            "MCP SDK's server": _job([f"{sdk.ready['url']}/mcp"], sdk.pid),
        }


def _job(urls: list[str], pid: int) -> Job:
    return Job(
        urls=urls,
        shape=f"tool:{TOOL}",
        concurrency=1,
        requests=600,
        warmup=5,
        headers=HEADERS,
        expect="Nothing is known of",
        pid=pid,
    )


def calls(arguments: Namespace, folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """One table for each number of calls at a time."""
    tables = {}
    with targets(folder) as found:
        for at_a_time, requests in ((1, 600), (32, 3200)):
            title = f"tool call, {at_a_time} at a time"
            note(title)
            number = max(requests // 10, at_a_time * 2) if arguments.quick else requests
            jobs = {name: replace(job, concurrency=at_a_time, requests=number) for name, job in found.items()}
            each = {name: partial(measure, job) for name, job in jobs.items()}
            tables[title] = interleaved(each, arguments.rounds)
    return tables


def main() -> None:
    arguments = parser(__doc__, rounds=5).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        show(arguments, calls(arguments, Path(folder)))


if __name__ == "__main__":
    main()
