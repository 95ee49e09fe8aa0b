"""What every benchmark prints: its arguments, medians over interleaved rounds, small tables, or one JSON object."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Figures = Mapping[str, float]


def parser(description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """The arguments that all benchmarks share."""
    made = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    made.add_argument("--rounds", type=int, default=rounds, help=f"rounds of every measurement (default {rounds})")
    made.add_argument("--quick", action="store_true", help="a tenth of the work: to see that it runs, not to be quoted")
    made.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    return made


def interleaved(measurements: Mapping[str, Callable[[], Figures]], rounds: int) -> dict[str, dict[str, float]]:
    """Measure each in turn, `rounds` times over, and return the medians.

    Turn by turn, so that a busy minute of the machine falls on all of them; each round begins with another one.
    """
    seen: dict[str, list[Figures]] = {name: [] for name in measurements}
    names = list(measurements)
    for n in range(rounds):
        shift = n % len(names)
        for name in names[shift:] + names[:shift]:
            note(f"  round {n + 1}/{rounds}: {name}")
            seen[name].append(measurements[name]())
    return {name: medians(figures) for name, figures in seen.items()}


def medians(figures: Sequence[Figures]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in figures) for name in figures[0]}


def note(text: str) -> None:
    """Progress and skips go to standard error, so that standard output is the result alone."""
    print(text, file=sys.stderr, flush=True)


def table(title: str, rows: Mapping[str, Mapping[str, float | str | None]]) -> str:
    """One line per row, one column per figure that any row has."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = [["", *columns], *([name, *(_cell(row.get(column)) for column in columns)] for name, row in rows.items())]
    widths = [max(len(line[n]) for line in cells) for n in range(len(columns) + 1)]
    lines = [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in cells
    ]
    return "\n".join([title, *(f"  {line.rstrip()}" for line in lines)])


def _cell(value: float | str | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def show(arguments: argparse.Namespace, tables: Mapping[str, Mapping[str, Mapping[str, float | str | None]]]) -> None:
    """Print the result."""
    if arguments.json:
        made: dict[str, Any] = {"machine": machine(), "rounds": arguments.rounds, "quick": arguments.quick}
        print(json.dumps({**made, "tables": tables}, indent=2))
        return
    print(machine())
    for title, rows in tables.items():
        print()
        print(table(title, rows))


def machine() -> str:
    """What the figures were taken on."""
    model = "unknown processor"
    try:
        with open("/proc/cpuinfo") as lines:
            model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    load = os.getloadavg()[0]
    return f"Python {platform.python_version()}, {os.cpu_count()} cores ({model}), load {load:.1f}"
