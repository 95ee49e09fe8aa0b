"""Node for agents from npm: the machine's own when it is new enough, else one fetched from npm."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from drawbar.errors import HarnessError
from drawbar_harnesses.installs.place import Place, Say, command

OLDEST = 22
"""The first major version that all agents here run with."""
VERSION = "24.21.0"
"""Of the one that is fetched."""
HINT = "Check the network and npm's registry (`npm ping`), then try again."


def node_folder() -> Path | None:
    """The folder whose `node` is new enough: to be put before all others on an agent's PATH. None: there is none."""
    own = shutil.which("node")
    if own is not None and major_version(own) >= OLDEST:
        return Path(own).parent
    place = _place()
    return _program(place).parent if place is not None and place.ready else None


def provide_node(say: Say) -> None:
    """See to it that there is a Node.

    Raises:
        HarnessError: there is none for this machine, or npm is missing or fails.
    """
    if shutil.which("npm") is None:
        raise HarnessError("npm is not there, and agents from npm need it. Install Node.js with npm, then try again.")
    if node_folder() is not None:
        return
    say(f"The machine's Node is older than {OLDEST} or missing: fetching one of our own.")
    place = _place()
    if place is None:
        machine = f"{sys.platform} on {platform.machine()}"
        raise HarnessError(f"npm has no Node for {machine}: install Node.js {OLDEST} or newer yourself.")
    place.fill(lambda folder: npm_install(folder, str(place.wanted["npm"]), scripts=False), say)


@cache
def major_version(program: str) -> int:
    """Of a Node; 0 when it cannot say."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.match(r"v(\d+)\.", said)
    return int(found[1]) if found else 0


def npm_install(folder: Path, package: str, *, scripts: bool) -> None:
    """One package with what it depends on, into `folder/node_modules`.

    Raises:
        HarnessError: npm is missing or fails.
    """
    flags = ["--no-fund", "--no-audit", "--no-save", "--loglevel=error", *([] if scripts else ["--ignore-scripts"])]
    command(
        ["npm", "install", "--prefix", folder, *flags, package], doing=f"npm install {package}", hint=HINT, cwd=folder
    )


def _place() -> Place | None:
    """Of the Node that npm has for this machine, if it has one."""
    system = {"linux": "linux", "darwin": "darwin"}.get(sys.platform)
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine().lower())
    if system is None or machine is None:
        return None
    return Place("node", VERSION, {"npm": f"node-{system}-{machine}@{VERSION}"})


def _program(place: Place) -> Path:
    package, _, _ = str(place.wanted["npm"]).partition("@")
    return place.folder / "node_modules" / package / "bin" / "node"
