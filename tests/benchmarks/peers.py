"""Other projects to measure beside ours, each in an environment of its own in the user's cache, made when asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from argparse import ArgumentParser
from pathlib import Path

from report import note

REQUIREMENTS = {
    "verifiers": ["verifiers==0.4.0", "uv"],
    "litellm": ["litellm[proxy]==1.106.2"],
    "inspect": ["inspect-ai==0.3.285", "openai>=2"],
}


def add_argument(parser: ArgumentParser) -> None:
    parser.add_argument("--peers", action="store_true", help=f"measure peers too; installs them below {cache()}")


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drawbar-benchmarks"


def python_of(peer: str) -> Path | None:
    """The interpreter of a peer's environment, made if need be; None, with a line that says why, if it can't be."""
    folder = cache() / peer
    python = folder / "bin" / "python"
    marker = folder / "installed.txt"
    wanted = "\n".join(REQUIREMENTS[peer])
    if marker.is_file() and marker.read_text() == wanted:
        return python
    note(f"  installing {', '.join(REQUIREMENTS[peer])} into {folder}")
    venv.create(folder, with_pip=True, symlinks=True, clear=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS[peer]]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        note(f"  SKIPPED {peer}: it could not be installed: {done.stderr.strip().splitlines()[-1:]}")
        return None
    marker.write_text(wanted)
    return python


def version(peer: str) -> str:
    """The version that is measured."""
    return REQUIREMENTS[peer][0].partition("==")[2]


if __name__ == "__main__":
    sys.exit(0 if all(map(python_of, REQUIREMENTS)) else 1)
