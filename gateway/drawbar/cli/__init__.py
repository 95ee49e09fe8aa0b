"""The command line: one file per command. Nothing heavy is imported before a command needs it."""

from __future__ import annotations


def main() -> None:
    """The `drawbar` command."""
    from drawbar.cli.main import main as run_main

    run_main()
