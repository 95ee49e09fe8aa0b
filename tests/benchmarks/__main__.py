"""Runs the benchmarks that are named, or all of them: `python tests/benchmarks [NAME ...] [--quick] [--peers]`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
WITH_PEERS = ("gateway", "rollouts")


def main() -> int:
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="python tests/benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(names)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: to see that they run")
    parser.add_argument("--peers", action="store_true", help="measure peers too, where a benchmark has some")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"There is no benchmark named {', '.join(sorted(unknown))}; there are {', '.join(names)}.")
    failed = []
    for name in arguments.names or names:
        more = ["--quick"] * arguments.quick + ["--peers"] * (arguments.peers and name in WITH_PEERS)
        if name == "wiki_index":  # it has arguments of its own
            more = []
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, str(HERE / f"bench_{name}.py"), *more], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
