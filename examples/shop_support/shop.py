"""A shop's tools for its support, as an MCP server of its own: orders, parcels, refunds, e-mails, tickets.

What is written is read later, by every client: a refund changes the order. E-mails go out: each is a line of
`outbox.jsonl`. `calls.jsonl` is the shop's own book of who asked it what. It knows nothing of drawbar.

python examples/shop_support/shop.py --data /tmp/shop --port 9000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

ITEMS = {"kettle": 39.0, "lamp": 24.5, "desk": 310.0, "chair": 120.0, "radio": 59.9, "clock": 18.0}
FIRST, ORDERS = 1000, 400


class Shop:
    """The orders and what was done with them. One thread, one database file."""

    def __init__(self, data: Path, slow: float) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self._data, self._slow = data, slow
        self._database = sqlite3.connect(data / "shop.db", isolation_level=None)
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, email TEXT, item TEXT, price REAL, status TEXT,"
            " carrier TEXT, refunded REAL DEFAULT 0, ticket TEXT)"
        )
        if self._database.execute("SELECT count(*) FROM orders").fetchone()[0] == 0:
            self._database.executemany(
                "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, 0, NULL)", map(_order, range(ORDERS))
            )

    async def get_order(self, order_id: str) -> str:
        """What was ordered, by whom, its price, where it stands, and what was paid back of it."""
        return json.dumps(self._found(order_id))

    async def track_parcel(self, order_id: str) -> str:
        """Where the parcel of an order is now, as its carrier says."""
        order = self._found(order_id)
        if order["carrier"] == "snail":  # whose service answers when it likes
            await asyncio.sleep(self._slow)
        return f"{order['carrier']}: parcel of {order_id} is {order['status']}"

    async def refund_order(self, order_id: str, amount: float, reason: str) -> str:
        """Pay back an amount of an order's price. Fails where that was paid back already."""
        order = self._found(order_id)
        left = round(order["price"] - order["refunded"], 2)
        if amount > left:
            raise ToolError(f"{order_id}: {amount:.2f} cannot be paid back, {left:.2f} is left")
        self._database.execute(
            "UPDATE orders SET refunded = refunded + ?, status = 'refunded' WHERE id = ?", (amount, order_id)
        )
        return f"{amount:.2f} paid back for {order_id}: {reason}"

    async def send_email(self, to: str, subject: str, body: str) -> str:
        """Send an e-mail to a customer, at once."""
        _append(self._data / "outbox.jsonl", {"to": to, "subject": subject, "body": body})
        return f"sent to {to}"

    async def close_ticket(self, order_id: str, outcome: str) -> str:
        """Close the ticket about an order: nothing is left to do."""
        self._database.execute("UPDATE orders SET ticket = ? WHERE id = ?", (outcome, order_id))
        return f"ticket about {order_id} is closed"

    def book(self, tool: str, arguments: Mapping[str, Any], **became: Any) -> None:
        """Note a call of a client's."""
        _append(self._data / "calls.jsonl", {"tool": tool, "arguments": dict(arguments), **became})

    def _found(self, order_id: str) -> dict[str, Any]:
        row = self._database.execute("SELECT * FROM orders WHERE id = ?", (order_id,)).fetchone()
        if row is None:
            raise ToolError(f"there is no order {order_id}")
        return dict(row)


def _order(number: int) -> tuple[Any, ...]:
    chance = Random(number)
    item = chance.choice(list(ITEMS))
    status = chance.choice(["on its way", "delivered", "delivered", "lost"])
    carrier = "snail" if number % 20 == 0 else chance.choice(["swift", "falcon"])
    return f"A-{FIRST + number}", f"customer{number}@example.org", item, ITEMS[item], status, carrier


def _append(path: Path, line: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


class BookedServer(MCPServer[Any]):
    """An MCP server that has every call booked, with what became of it."""

    shop: Shop

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
        try:
            result: Any = await super().call_tool(name, arguments, context)
        except ToolError as error:
            self.shop.book(name, arguments, error=str(error))
            raise
        except asyncio.CancelledError:
            self.shop.book(name, arguments, error="cancelled")
            raise
        self.shop.book(name, arguments, result="\n".join(block.text for block in result.content))
        return result


def shop_server(shop: Shop) -> MCPServer[Any]:
    """The shop's tools over MCP."""
    server = BookedServer("shop", subscriptions=False, log_level="WARNING")
    server.shop = shop
    for tool in (shop.get_order, shop.track_parcel):
        server.add_tool(tool, annotations=ToolAnnotations(read_only_hint=True), structured_output=False)
    for action in (shop.refund_order, shop.send_email, shop.close_ticket):
        server.add_tool(action, structured_output=False)
    return server


async def serve(shop: Shop, port: int) -> None:
    """Until the process is ended."""
    application = shop_server(shop).streamable_http_app(stateless_http=True, json_response=True)
    with socket.create_server(("127.0.0.1", port)) as listening:
        print(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"}), flush=True)
        config = uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=1)
        await uvicorn.Server(config).serve([listening])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("shop-data"), help="where orders, outbox and book are kept")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--slow", type=float, default=60.0, help="seconds that the slow carrier's service takes")
    arguments = parser.parse_args()
    asyncio.run(serve(Shop(arguments.data, arguments.slow), arguments.port))


if __name__ == "__main__":
    main()
