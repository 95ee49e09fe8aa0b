"""`PYTHON programs NAME`: do the rollout that the environment's variables describe, and print the answer."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
from pathlib import Path


def main() -> None:
    folder = Path(__file__).resolve().parent
    sys.path[0] = str(folder.parent)
    package = importlib.import_module(folder.name)
    del sys.path[0]  # or its files would stand before the frameworks of the same names
    desk = importlib.import_module(f"{package.__name__}.desk").Desk.from_environment()
    answer = importlib.import_module(f"{package.__name__}.{sys.argv[1]}").answer(desk)
    sys.stdout.write(f"{asyncio.run(answer) if inspect.iscoroutine(answer) else answer}\n")


if __name__ == "__main__":
    main()
