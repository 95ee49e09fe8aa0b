"""Sees to it that no tool server and no agent outlives the gateway, however the gateway dies.

A parent-death signal (`PR_SET_PDEATHSIG`) reaches the direct child alone, and most servers are started by a launcher
(`npx`, `uvx`, a shell). So one small shell process, in a session of its own, holds the list of process groups; when
the pipe from the gateway breaks, it kills each group. Daemons leave their group: where there is a `/proc`, those are
found by a variable of their environment, the mark, that they inherited and no other program has.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

import anyio

_SCRIPT = r"""
trap '' HUP INT TERM
guarded=
while read -r word group mark; do
    case $word in
    guard) guarded="$guarded $group:$mark" ;;
    release)
        kept=
        for each in $guarded; do [ "${each%%:*}" = "$group" ] || kept="$kept $each"; done
        guarded=$kept ;;
    esac
done
marks=
for each in $guarded; do
    kill -KILL "-${each%%:*}"
    mark=${each#*:}
    [ -z "$mark" ] || marks="$marks${marks:+
}$mark"
done
[ -n "$marks" ] || exit 0
for round in 1 2 3 4 5 6 7 8 9; do # until none is left: one may have started another while we looked
    found=
    for file in /proc/[0-9]*/environ; do
        tr '\0' '\n' <"$file" | grep -qxF -e "$marks" || continue
        process=${file#/proc/}
        kill -KILL "${process%/environ}" && found=yes
    done
    [ -n "$found" ] || break
done
"""


class Warden:
    """Guards process groups; starts its own process with the first of them. Without POSIX it guards nothing."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def guard(self, group: int, mark: str = "") -> None:
        """Kill this group when the gateway dies, and, on Linux, whatever has `mark` (`NAME=value`) in its environment.

        A mark holds no white space.
        """
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
        self._say(f"guard {group} {mark}\n")

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
