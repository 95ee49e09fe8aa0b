"""Strands: one agent over chat completions, its tools from MCP."""

from __future__ import annotations

from strands import Agent
from strands.models.openai import OpenAIModel
from strands.tools.mcp import MCPClient
from strands.types.content import Messages

from .desk import Desk


async def answer(desk: Desk) -> str:
    """The agent's answer."""
    model = OpenAIModel(client_args={"base_url": desk.base_url, "api_key": desk.key}, model_id=desk.model)
    *earlier, (_, prompt) = desk.turns
    history: Messages = [{"role": role, "content": [{"text": text}]} for role, text in earlier]
    with MCPClient(url=desk.mcp_url) as server:
        tools = server.list_tools_sync()
        agent = Agent(model, history, tools, desk.system, callback_handler=None)
        return str(await agent.invoke_async(prompt)).strip()
