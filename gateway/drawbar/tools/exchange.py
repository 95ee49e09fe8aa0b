"""What the SDK's servers are handed as the context of a request when we call them in process. Imports the SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.transport_context import TransportContext

from drawbar.tools.connection import OnProgress

_TRANSPORT = TransportContext(kind="drawbar", can_send_request=False)


class Exchange:
    """An SDK `DispatchContext`: progress is passed on, log messages are dropped, nothing can be asked."""

    transport = _TRANSPORT
    request_id: int | str | None = 0
    message_metadata = None
    can_send_request = False

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress

    @property
    def cancel_requested(self) -> anyio.Event:
        """Never set: a cancelled call's task is cancelled itself."""
        return anyio.Event()

    async def send_raw_request(self, method: str, params: Mapping[str, Any] | None, opts: Any = None) -> dict[str, Any]:
        """No agent can be asked anything."""
        raise NoBackChannelError(method)

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: Any = None) -> None:
        """Progress goes to the agent, everything else nowhere."""
        if method == "notifications/progress" and params is not None:
            await self.progress(params.get("progress", 0), params.get("total"), params.get("message"))

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Tell the agent how far it is, if it wants to know."""
        if self._on_progress is None:
            return
        said: dict[str, Any] = {"progress": progress, "total": total, "message": message}
        await self._on_progress({key: value for key, value in said.items() if value is not None})
