"""Doubles for testing environments, harnesses and gateways: shipped, documented, and used by drawbar's own tests.

from drawbar.testing import ScriptedModel, calls, says, serve_chat

model = ScriptedModel([calls("search", query="tides"), says("The Moon.")])      # an in-process Model

async with serve_chat([calls("search", query="tides"), says("The Moon.")]) as server:
    ...  # a real HTTP server for every dialect: server.base_url, server.url; server.requests holds what it was sent
"""

from __future__ import annotations

from drawbar.testing.agents import for_agents
from drawbar.testing.chat_server import ChatServer, Cut, Failure, Hang, Line, Received, serve_chat
from drawbar.testing.script import Reply, ScriptedModel, calls, says, together
from drawbar.testing.tools import tool_server

__all__ = [
    "ChatServer",
    "Cut",
    "Failure",
    "Hang",
    "Line",
    "Received",
    "Reply",
    "ScriptedModel",
    "calls",
    "for_agents",
    "says",
    "serve_chat",
    "together",
    "tool_server",
]
