"""Pydantic AI: an agent with an MCP toolset, over any of its four clients."""

from __future__ import annotations

from pydantic_ai import Agent, ModelMessage, ModelRequest, ModelResponse, TextPart, UsageLimits, UserPromptPart
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from .desk import LONG, MANY, REPLY_TOKENS, Desk


async def answer(desk: Desk) -> str:
    """The agent's answer."""
    tools = MCPToolset(desk.mcp_url, read_timeout=LONG, max_retries=MANY)
    agent = Agent(_model(desk), instructions=desk.system, toolsets=[tools], retries=MANY)
    *earlier, (_, prompt) = desk.turns
    history = [_said(role, text) for role, text in earlier]
    async with agent:
        result = await agent.run(prompt, message_history=history, usage_limits=UsageLimits(request_limit=None))
    return str(result.output)


def _said(role: str, text: str) -> ModelMessage:
    return ModelRequest([UserPromptPart(text)]) if role == "user" else ModelResponse([TextPart(text)])


def _model(desk: Desk) -> Model:
    match desk.dialect:
        case "messages":
            anthropic = AnthropicProvider(base_url=desk.root, api_key=desk.key)
            settings = AnthropicModelSettings(max_tokens=REPLY_TOKENS)
            return AnthropicModel(desk.model, provider=anthropic, settings=settings)
        case "gemini":
            return GoogleModel(desk.model, provider=GoogleProvider(base_url=desk.root, api_key=desk.key))
    made = OpenAIResponsesModel if desk.dialect == "responses" else OpenAIChatModel
    return made(desk.model, provider=OpenAIProvider(base_url=desk.base_url, api_key=desk.key))
