"""Pydantic AI: an agent with an MCP toolset, chat completions."""

from __future__ import annotations

from pydantic_ai import Agent, ModelMessage, ModelRequest, ModelResponse, TextPart, UsageLimits, UserPromptPart
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from .desk import LONG, MANY, Desk


async def answer(desk: Desk) -> str:
    """The agent's answer."""
    model = OpenAIChatModel(desk.model, provider=OpenAIProvider(base_url=desk.base_url, api_key=desk.key))
    tools = MCPToolset(desk.mcp_url, read_timeout=LONG, max_retries=MANY)
    agent = Agent(model, instructions=desk.system, toolsets=[tools], retries=MANY)
    *earlier, (_, prompt) = desk.turns
    history = [_said(role, text) for role, text in earlier]
    async with agent:
        result = await agent.run(prompt, message_history=history, usage_limits=UsageLimits(request_limit=None))
    return str(result.output)


def _said(role: str, text: str) -> ModelMessage:
    return ModelRequest([UserPromptPart(text)]) if role == "user" else ModelResponse([TextPart(text)])
