"""Traces for as long as a server runs; without the extra `otel` it says what is missing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from drawbar.errors import ConfigurationError
from drawbar.record.rows import Row

if TYPE_CHECKING:
    from drawbar.telemetry.traces import Traces

_LEAVING: Final = 5.0
"""Seconds for which a collector that does not answer holds up the end."""


@asynccontextmanager
async def tracing(wanted: bool) -> AsyncIterator[list[Callable[[Sequence[Row]], None]]]:
    """Who is to be told of what is recorded: the tracer, if it is wanted.

    Raises:
        ConfigurationError: it is wanted, and OpenTelemetry is not installed.
    """
    if not wanted:
        yield []
        return
    made = await anyio.to_thread.run_sync(_made)
    try:
        yield [made.observe]
    finally:
        with anyio.move_on_after(_LEAVING, shield=True):
            await anyio.to_thread.run_sync(made.close, abandon_on_cancel=True)


def _made() -> Traces:
    try:
        from drawbar.telemetry.traces import Traces

        return Traces.to_collector()
    except ModuleNotFoundError as error:
        raise ConfigurationError("Traces need OpenTelemetry: pip install 'drawbar[otel]'.") from error
