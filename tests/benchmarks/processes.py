"""Child processes of the benchmarks: starting and ending them, and what they cost. It knows nothing of their work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).resolve().parent
_PROCESS_CPU_CLOCK = 2
"""CPUCLOCK_SCHED of Linux: the kernel's clock of a process, in nanoseconds (`/proc/PID/stat` has 10 ms ticks)."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running child and what it said when it was ready."""

    pid: int
    ready: Mapping[str, Any] = field(default_factory=dict)


def family(pid: int) -> list[int]:
    """The process and all of its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text()
            except OSError:
                continue
            parent = int(status.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for known in found:
        found += children.get(known, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time so far of a process and its descendants."""
    total = 0
    for member in family(pid):
        try:
            total += time.clock_gettime_ns((~member << 3) | _PROCESS_CPU_CLOCK)
        except OSError:
            continue
    return total / 1e9


def memory_mb(pid: int, *, peak: bool = False) -> float:
    """Resident memory of a process and its descendants, now or at its highest, in 10^6 bytes."""
    name = "VmHWM:" if peak else "VmRSS:"
    total = 0
    for member in family(pid):
        try:
            lines = Path(f"/proc/{member}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith(name))
    return total * 1024 / 1e6


@contextmanager
def running(
    script: str | Path, *arguments: str, python: str | Path = sys.executable, timeout: float = 60.0
) -> Iterator[Child]:
    """Run a Python script until the block ends; it says that it is ready with one JSON object on a line.

    Raises:
        RuntimeError: it ended, or said nothing in time; the message has the last that it wrote to standard error.
    """
    with tempfile.TemporaryFile() as errors, _started([str(python), str(HERE / script), *arguments], errors) as process:
        assert process.stdout is not None
        line = _first_object(process.stdout, process, time.monotonic() + timeout)
        if line is None:
            raise RuntimeError(f"{script} did not become ready: {_tail(errors)}")
        yield Child(process.pid, line)
        if process.poll() not in (None, 0):
            raise RuntimeError(f"{script} ended with {process.returncode}: {_tail(errors)}")


def finished(
    script: str | Path, *arguments: str, python: str | Path = sys.executable, timeout: float = 600.0
) -> dict[str, Any]:
    """Run a Python script to its end and return the JSON object of its last line.

    Raises:
        RuntimeError: it failed; the message has the last that it wrote to standard error.
    """
    with tempfile.TemporaryFile() as errors, _started([str(python), str(HERE / script), *arguments], errors) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{script} took longer than {timeout:.0f} s: {_tail(errors)}") from None
        lines = output.strip().splitlines()
        if process.returncode or not lines:
            raise RuntimeError(f"{script} ended with {process.returncode}: {_tail(errors)}")
        result: dict[str, Any] = json.loads(lines[-1])
        return result


@contextmanager
def _started(command: Sequence[str], errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """In a process group of its own, which is killed as a whole, so that a peer's helpers do not stay behind."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)
    try:
        yield process
    finally:
        try:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _first_object(stream: IO[bytes], process: subprocess.Popen[bytes], deadline: float) -> dict[str, Any] | None:
    """Whatever a peer prints before its first JSON object is passed over."""
    os.set_blocking(stream.fileno(), False)
    seen = b""
    while time.monotonic() < deadline and (process.poll() is None or seen):
        piece = stream.read()
        seen += piece or b""
        *lines, seen = seen.split(b"\n")
        for line in lines:
            if line.startswith(b"{"):
                found: dict[str, Any] = json.loads(line)
                return found
        if not piece:
            if process.poll() is not None:
                break
            time.sleep(0.01)
    return None


def _tail(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read().decode(errors="replace")[-2000:].strip() or "it wrote nothing to standard error"
