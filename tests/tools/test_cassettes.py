"""A cassette stands in for a server: what it answers in each mode, and what the record says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mcp.server import MCPServer
from mcp_types import ToolAnnotations

from drawbar.environment import Environment
from drawbar.server import CassetteServer, PythonServer, ToolServer
from drawbar.tools.cassettes.settings import Cassette

if TYPE_CHECKING:
    from tests.tools.conftest import Desk

READS = ToolAnnotations(read_only_hint=True)


class Shop:
    """Orders that can be refunded: what a read says depends on the writes before it."""

    def __init__(self) -> None:
        self.refunded: list[int] = []
        self.asked = 0

    def server(self) -> MCPServer[Any]:
        server: MCPServer[Any] = MCPServer("shop", subscriptions=False, log_level="WARNING")
        server.add_tool(self.get_order, annotations=READS, structured_output=False)
        server.add_tool(self.refund, structured_output=False)
        return server

    async def get_order(self, id: float, note: str = "") -> str:
        """Look at an order."""
        self.asked += 1
        return f"order {id:g}: {'refunded' if id in self.refunded else 'paid'}"

    async def refund(self, id: int) -> str:
        """Give the money back."""
        self.asked += 1
        if id in self.refunded:
            raise ValueError("refunded already")
        self.refunded.append(id)
        return f"refunded {id}"


Calls = Sequence[tuple[str, dict[str, Any]]]
VISIT: Calls = [
    ("get_order", {"id": 7}),
    ("refund", {"id": 7}),
    ("get_order", {"id": 7}),
    ("refund", {"id": 7}),
    ("get_order", {"id": 8, "note": "other"}),
]
SAID = ["order 7: paid", "refunded 7", "order 7: refunded", "Error executing tool refund: ValueError: refunded already",
        "order 8: paid"]  # fmt: skip


async def visit(desk: Desk, server: ToolServer, calls: Calls = VISIT) -> list[str]:
    """What a new session is told."""
    session = await desk.session(Environment(name="e", servers={"shop": server}))
    said = [(await desk.call(session, tool, arguments)).text for tool, arguments in calls]
    await desk.side.close(session)
    return said


@pytest.fixture
async def tape(desk: Desk, tmp_path: Path) -> Path:
    """The cassette of one visit."""
    path = tmp_path / "shop.jsonl"
    assert await visit(desk, PythonServer(server=Shop().server, scope="session", record=path)) == SAID
    return path


@pytest.mark.parametrize("mode", ["strict", "fifo", "by-arguments", "nearest"])
async def test_what_was_recorded_is_answered_again_without_a_server(desk: Desk, tape: Path, mode: Any) -> None:
    assert await visit(desk, CassetteServer(cassette=Cassette(tape, mode=mode))) == SAID
