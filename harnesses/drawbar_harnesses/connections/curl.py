"""curl: one request to the model, and one to the tools."""

from __future__ import annotations

from typing import Final

from drawbar.connection import Gate, Setup
from drawbar_harnesses.connections import Described, model_of
from drawbar_harnesses.connections.snippet import snippet


def _setup(gate: Gate) -> Setup:
    return Setup(code=snippet("curl.sh", gate, model_of(gate)))


CONNECTION: Final = Described("curl", "chat", "2025-11-25", "nothing", _setup, kind="SDKs")
