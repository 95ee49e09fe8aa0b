"""What a person says of the environment that is to be made. Knows no session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drawbar.tools.cassettes.settings import Cassette, Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a captured environment is to work; `environment.toml` has it all, and can be changed later.

    Raises:
        ConfigurationError: what would not be a cassette.
    """

    name: str
    query: str = ""
    """The filter, as it was written."""
    mode: Mode = "by-arguments"
    ignore: Sequence[str] = ()
    read_only: Sequence[str] = ()
    max_misses: int = 0
    judge_model: str | None = None
    user_model: str | None = None
    """Plays the users; None: what they said is said again."""
    everything: bool = False
    """Sessions that are not healthy too."""
    seed: int = 0

    def __post_init__(self) -> None:
        Cassette(
            "", mode=self.mode, ignore=self.ignore, read_only=self.read_only, max_misses=self.max_misses
        )  # what it refuses is refused before anything is read
