"""How many rollouts one process does, recorded and scored, beside a bare loop that records nothing and beside peers.

The job: five model calls and four tool calls (`--peers` adds a shorter one of three and two, which the peers do too).
The model is a process of its own and answers at once. The rest, harness, gateway, tools, recorder and scores, is the
process whose CPU and peak memory are given.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import peers
from processes import finished, running
from report import Figures, interleaved, note, parser, show

LEVELS = (32, 256, 1000)
TOOL_CALLS = 4
PEERS_TOOL_CALLS = 2


class Measurements:
    """One function for each way to do the job, every one with a fresh process."""

    def __init__(self, upstream: str, folder: Path) -> None:
        self._upstream = upstream
        self._folder = folder
        self._stores = 0

    def _run(self, script: str, *more: str, rollouts: int, at_a_time: int, python: Path | None = None) -> Figures:
        line = [self._upstream, *more, "--rollouts", str(rollouts), "--at-a-time", str(at_a_time)]
        return finished(script, *line) if python is None else finished(script, *line, python=python)

    def drawbar(self, rollouts: int, at_a_time: int) -> Figures:
        self._stores += 1
        store = self._folder / f"{self._stores}.db"
        return self._run("engine_process.py", str(store), rollouts=rollouts, at_a_time=at_a_time)

    def bare(self, rollouts: int, at_a_time: int) -> Figures:
        return self._run("bare_loop.py", rollouts=rollouts, at_a_time=at_a_time)

    def peer(self, script: str, python: Path, rollouts: int, at_a_time: int) -> Figures:
        return self._run(script, rollouts=rollouts, at_a_time=at_a_time, python=python)


def levels(arguments: Namespace, folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """One table for each number of rollouts at a time."""
    tables = {}
    with running("scripted_model.py", "--tool-calls", str(TOOL_CALLS)) as model:
        way = Measurements(model.ready["url"], folder)
        for at_a_time in LEVELS:
            title = f"rollouts of {TOOL_CALLS + 1} turns, {at_a_time} at a time"
            note(title)
            rollouts = at_a_time if arguments.quick else max(256, 2 * at_a_time)
            each: Mapping[str, Callable[[], Figures]] = {
                "drawbar, recorded and scored": partial(way.drawbar, rollouts, at_a_time),
                "bare aiohttp loop": partial(way.bare, rollouts, at_a_time),
            }
            tables[title] = interleaved(each, arguments.rounds)
    return tables


def beside_peers(arguments: Namespace, folder: Path, at_a_time: int = 32) -> dict[str, dict[str, dict[str, float]]]:
    """The shorter job, 32 at a time. Two models: the peers' tools bear different names."""
    title = f"rollouts of {PEERS_TOOL_CALLS + 1} turns, {at_a_time} at a time"
    note(title)
    turns = ("--tool-calls", str(PEERS_TOOL_CALLS))
    share = 4 if arguments.quick else 1
    with (
        running("scripted_model.py", *turns) as plain,
        running("scripted_model.py", *turns, "--tool", "job_search") as prefixed,
    ):
        way, verifiers_way = Measurements(plain.ready["url"], folder), Measurements(prefixed.ready["url"], folder)
        each: dict[str, Callable[[], Figures]] = {
            "drawbar, recorded and scored": partial(way.drawbar, 512 // share, at_a_time),
            "bare aiohttp loop": partial(way.bare, 512 // share, at_a_time),
        }
        python = peers.python_of("inspect")
        if python is not None:
            name = f"Inspect {peers.version('inspect')}"
            each[name] = partial(way.peer, "peer_inspect.py", python, 128 // share, at_a_time)
        python = peers.python_of("verifiers")
        if python is not None:
            name = f"verifiers {peers.version('verifiers')}, a process each"
            each[name] = partial(verifiers_way.peer, "peer_verifiers.py", python, 32 // share, at_a_time)
        return {title: interleaved(each, arguments.rounds)}


def main() -> None:
    made = parser(__doc__, rounds=3)
    peers.add_argument(made)
    arguments = made.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tables = levels(arguments, Path(folder))
        if arguments.peers:
            tables |= beside_peers(arguments, Path(folder))
        show(arguments, tables)


if __name__ == "__main__":
    main()
