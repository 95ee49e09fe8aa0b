"""The shop as an environment: its tools by URL, and what good support is worth. No tasks: its customers bring them."""

from __future__ import annotations

import os
from collections.abc import Iterator

from drawbar import Environment, Rubric, ToolCall, Trajectory, metric, reward
from drawbar.server import UrlServer

TOOLS_URL = os.environ.get("SHOP_TOOLS_URL", "http://127.0.0.1:9000/mcp")
TIMEOUT = float(os.environ.get("SHOP_TOOLS_TIMEOUT", "10"))


@reward
def looked_first(trajectory: Trajectory) -> float:
    """1 where no order's money was paid back before somebody had looked at the order."""
    read: set[str] = set()
    for call in trajectory.tool_calls:
        order = str(call.arguments.get("order_id"))
        if call.name == "get_order":
            read.add(order)
        if call.name == "refund_order" and order not in read:
            return 0.0
    return 1.0


@reward(weight=0.5)
def told_the_customer(trajectory: Trajectory) -> float:
    """The share of the orders paid back of which the customer had an e-mail; 1 where nothing was paid."""
    paid = [str(call.arguments["order_id"]) for call in done(trajectory, "refund_order")]
    told = list(done(trajectory, "send_email"))
    if not paid:
        return 1.0
    return sum(any(order in str(call.arguments["body"]) for call in told) for order in paid) / len(paid)


@reward(weight=0.25)
def answered(completion: str) -> float:
    """1 where the last that the customer reads is an answer."""
    return float(bool(completion) and not completion.endswith("?"))


@metric
def refunds(trajectory: Trajectory) -> int:
    """Orders paid back."""
    return sum(1 for _ in done(trajectory, "refund_order"))


@metric
def trouble(trajectory: Trajectory) -> int:
    """Tool calls that came to nothing."""
    return sum(call.is_error for call in trajectory.tool_calls)


def done(trajectory: Trajectory, tool: str) -> Iterator[ToolCall]:
    """The calls of a tool that did what they were to do."""
    return (call for call in trajectory.tool_calls if call.name == tool and not call.is_error)


RUBRIC = Rubric(looked_first, told_the_customer, answered, refunds, trouble)
environment = Environment(
    name="shop_support", servers={"shop": UrlServer(url=TOOLS_URL, timeout=TIMEOUT)}, rubric=RUBRIC
)
