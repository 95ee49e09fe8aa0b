"""How long a command takes before it does anything: `drawbar --help`, `import drawbar`, opening a store."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from drawbar.ids import new_id
from drawbar.record.rows import SessionRow
from drawbar.record.store import Store
from report import Figures, interleaved, parser, show

SESSIONS = 1000
_OPEN = "from drawbar.record.store import Store; import sys; Store.open(sys.argv[1]).sessions(limit=50)"


def command(line: Sequence[str]) -> Figures:
    """Milliseconds until a command has ended."""
    begun = time.perf_counter()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return {"ms": (time.perf_counter() - begun) * 1000}


def filled(path: Path) -> None:
    """A store with many sessions."""
    store = Store.open(path)
    rows = [SessionRow(id=new_id("session"), environment="benchmark", started=float(n)) for n in range(SESSIONS)]
    store.write(rows)
    store.close()


def opened(path: Path) -> Figures:
    """Milliseconds to open the store in a process that has everything imported, and to list its newest sessions."""
    begun = time.perf_counter()
    store = Store.open(path)
    store.sessions(limit=50)
    took = time.perf_counter() - begun
    store.close()
    return {"ms": took * 1000}


def main() -> None:
    arguments = parser(__doc__, rounds=7).parse_args()
    drawbar = str(Path(sys.executable).parent / "drawbar")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sessions.db"
        filled(path)
        each: Mapping[str, Callable[[], Figures]] = {
            "python -c pass": partial(command, [sys.executable, "-c", "pass"]),
            "import drawbar": partial(command, [sys.executable, "-c", "import drawbar"]),
            "drawbar --help": partial(command, [drawbar, "--help"]),
            f"open a store of {SESSIONS:,} sessions": partial(opened, path),
            "the same as a process": partial(command, [sys.executable, "-c", _OPEN, str(path)]),
        }
        show(arguments, {"startup": interleaved(each, 2 if arguments.quick else arguments.rounds)})


if __name__ == "__main__":
    main()
