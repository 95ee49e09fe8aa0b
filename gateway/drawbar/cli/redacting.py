"""What commands that write into a store themselves share: the patterns of the server's configuration hold for them too.

What a judge explains and what people say of a session may quote what no store is to keep.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from drawbar.record.redaction import Redact

FILE = Path("drawbar.toml")
"""What is read where no other file is named."""

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="DRAWBAR_CONFIG",
        help=f"Whose `redaction` patterns are kept out of the store. Default: {FILE}, where there is one.",
        dir_okay=False,
    ),
]


def redact_by(config: Path | None) -> Redact | None:
    """The hook that the configuration asks for; None where it asks for none.

    Raises:
        ConfigurationError: the file is not there, or its patterns cannot be used.
    """
    from drawbar.config.reading import read_configuration
    from drawbar.config.redaction import redaction

    path = config or (FILE if FILE.is_file() else None)
    return redaction(read_configuration(path, only=("redaction",)).configuration.redaction)
