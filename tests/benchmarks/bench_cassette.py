"""How fast a cassette opens, and how fast it answers: `python tests/benchmarks/bench_cassette.py [--calls 100000]`.

Times are of one process on one core; answers are measured at the deck, below the gateway's own work on a tool call.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import msgspec

from drawbar.collector import settle
from drawbar.tools.cassettes.deck import Deck
from drawbar.tools.cassettes.format import Recording, new_header, write
from drawbar.tools.cassettes.settings import MODES, Cassette
from drawbar.tools.connection import Caller, ToolRequest

PER_SESSION = 20
TOOLS = [{"name": name, "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": name != "refund"}}
         for name in ("search", "get_order", "refund")]  # fmt: skip


def recordings(calls: int) -> list[Recording]:
    """Sessions of 20 calls: some that every session makes, some of its own, a write among five."""
    result = msgspec.Raw(b'{"content":[{"type":"text","text":"%s"}],"isError":false}' % (b"word " * 100))
    found = []
    for number in range(calls):
        session, seq = divmod(number, PER_SESSION)
        tool = "refund" if seq % 5 == 4 else "search" if seq % 5 == 0 else "get_order"
        arguments = {"query": f"orders of customer {session} page {seq}"} if tool == "search" else {"id": session + seq}
        found.append(
            Recording(
                server="shop", tool=tool, arguments=arguments, result=result, session=f"ses_{session}", seq=seq,
                task=f"t{session}", write=tool == "refund", writes=seq // 5, started=float(number), seconds=0.5,
            )
        )  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: to see that it runs")
    arguments = parser.parse_args()
    calls = arguments.calls // (10 if arguments.quick else 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cassette.jsonl"
        made = recordings(calls)
        settle()
        write(path, new_header({"shop": {"tools": TOOLS}}), made)
        print(f"{calls:,} calls, {path.stat().st_size / 1e6:.0f} MB")
        for mode in MODES:
            began, cpu = time.perf_counter(), time.process_time()
            deck = Deck.load(Cassette(path, mode=mode), ["shop"])
            opened, cpu = time.perf_counter() - began, time.process_time() - cpu
            settle()  # as every command does that serves
            times = sorted(_answer(deck, recording) for recording in made)
            p50, p99, most = (times[int(len(times) * share)] * 1e6 for share in (0.5, 0.99, 0.99999))
            print(f"{mode:<13} opens in {opened:.2f} s, {cpu:.2f} s of CPU", end="; ")
            print(f"answers p50 {p50:.1f} us, p99 {p99:.1f} us, most {most:.0f} us")


def _answer(deck: Deck, recording: Recording) -> float:
    request = ToolRequest(recording.tool, recording.arguments, caller=Caller(recording.session, recording.task))
    began = time.perf_counter()
    found = deck.find("shop", request)
    assert found is not None
    assert found.take.recording.answer is not None
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
