"""Strands: one agent over any of its clients of four dialects, its tools from MCP."""

from __future__ import annotations

from strands import Agent
from strands.models import Model
from strands.models.anthropic import AnthropicModel
from strands.models.gemini import GeminiModel
from strands.models.openai import OpenAIModel
from strands.models.openai_responses import OpenAIResponsesModel
from strands.tools.mcp import MCPClient
from strands.types.content import Messages

from .desk import REPLY_TOKENS, Desk


async def answer(desk: Desk) -> str:
    """The agent's answer."""
    *earlier, (_, prompt) = desk.turns
    history: Messages = [{"role": role, "content": [{"text": text}]} for role, text in earlier]
    with MCPClient(url=desk.mcp_url) as server:
        tools = server.list_tools_sync()
        agent = Agent(_model(desk), history, tools, desk.system, callback_handler=None)
        return str(await agent.invoke_async(prompt)).strip()


def _model(desk: Desk) -> Model:
    root = {"base_url": desk.root, "api_key": desk.key}
    match desk.dialect:
        case "messages":
            return AnthropicModel(client_args=root, model_id=desk.model, max_tokens=REPLY_TOKENS)
        case "gemini":
            google = {"api_key": desk.key, "http_options": {"base_url": desk.root}}
            return GeminiModel(client_args=google, model_id=desk.model)
    made = OpenAIResponsesModel if desk.dialect == "responses" else OpenAIModel
    return made(client_args={**root, "base_url": desk.base_url}, model_id=desk.model)
