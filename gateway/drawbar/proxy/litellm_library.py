"""litellm itself: loaded when somebody needs it first, off the event loop, for it takes seconds and much memory."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from typing import Any, Final

import anyio.to_thread

from drawbar.proxy.upstream import UpstreamError

_LOCK: Final = threading.Lock()
_loaded: list[Any] = []
_QUIET: Final = (
    ("", r"litellm(\.|$)"), ("Pydantic serializer warnings", ""), ("Item '.*' on TypedDict class", "pydantic"),
)  # fmt: skip
"""Warnings, by their text and by their place, that are about litellm's own code."""


async def library() -> Any:
    """The module. Raises `UpstreamError` where it cannot be imported."""
    return _loaded[0] if _loaded else await anyio.to_thread.run_sync(_imported)


def hush() -> None:
    """Let no warning of litellm's become an error.

    Where warnings are errors (`python -W error`, pytest's `filterwarnings = error`), the use of a deprecated name deep
    in litellm breaks off the answer that it was about to give. Nobody who runs a gateway can act on such a warning. The
    filters are put in anew when somebody has taken them out, as each test of pytest does.
    """
    for message, module in _QUIET:
        found = any(
            action == "ignore" and _pattern(text) == message and _pattern(place) == module
            for action, text, _, place, _ in warnings.filters
        )
        if not found:
            warnings.filterwarnings("ignore", message, module=module)


def _pattern(value: Any) -> str:
    return "" if value is None else str(getattr(value, "pattern", value))


def _imported() -> Any:
    with _LOCK:
        # Without this it asks the network for a table of prices while it is imported.
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        hush()
        try:
            import litellm
        except ImportError as error:
            raise UpstreamError(
                "upstream_unavailable", f"litellm cannot be imported ({error}): pip install litellm", retry=False
            ) from error
        litellm.telemetry = False
        litellm.suppress_debug_info = True
        # It logs what it raises, and failures of its own logging.
        logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
        _loaded.append(litellm)
        return litellm
