"""Sees to it that no tool server outlives the gateway, however the gateway dies.

A parent-death signal (`PR_SET_PDEATHSIG`) reaches the direct child alone, and most servers are started by a launcher
(`npx`, `uvx`, a shell). So one small shell process, in a session of its own, holds the list of process groups; when
the pipe from the gateway breaks, it kills each group.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

import anyio

_SCRIPT = """
trap '' HUP INT TERM
groups=
while read -r word group; do
    case $word in
    guard) groups="$groups $group" ;;
    release)
        kept=
        for each in $groups; do [ "$each" = "$group" ] || kept="$kept $each"; done
        groups=$kept ;;
    esac
done
for each in $groups; do kill -KILL "-$each"; done
"""


class Warden:
    """Guards process groups; starts its own process with the first of them. Without POSIX it guards nothing."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def guard(self, group: int) -> None:
        """Kill this group when the gateway dies."""
        if os.name != "posix":
            return
        if self._process is None:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                bufsize=0,
            )
        self._say(f"guard {group}\n")

    def release(self, group: int) -> None:
        """This group is gone: its number may soon be another's."""
        self._say(f"release {group}\n")

    async def close(self) -> None:
        """End the warden's process; whatever it still guards is killed."""
        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.stdin is not None
        process.stdin.close()
        await anyio.to_thread.run_sync(process.wait)

    def _say(self, line: str) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(line.encode())


def kill_group(group: int, how: signal.Signals) -> None:
    """Signal every process of a group; none left is fine."""
    with suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(group, how)
        else:
            os.kill(group, signal.SIGTERM)
