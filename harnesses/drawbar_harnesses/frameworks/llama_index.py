"""LlamaIndex: its function-calling agent, tools through llama-index-tools-mcp."""

from __future__ import annotations

from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec

from .desk import LONG, MANY, Desk

ROOM = 1_000_000
"""Tokens; beyond those that it believes a model to take, it would cut the history itself."""


class Model(OpenAILike):
    """Leaves the temperature to the model, where LlamaIndex would ask for 0.1."""

    def _get_model_kwargs(self, **kwargs: Any) -> dict[str, Any]:
        given = super()._get_model_kwargs(**kwargs)
        return {name: value for name, value in given.items() if name != "temperature"}


async def answer(desk: Desk) -> str:
    """The agent's answer."""
    model = Model(
        model=desk.model,
        api_base=desk.base_url,
        api_key=desk.key,
        context_window=ROOM,
        is_chat_model=True,
        is_function_calling_model=True,
        timeout=LONG,
    )
    client = BasicMCPClient(desk.mcp_url, timeout=int(LONG), sse_read_timeout=int(LONG))
    tools = await McpToolSpec(client).to_tool_list_async()
    agent = FunctionAgent(tools=tools, llm=model, system_prompt=desk.system, timeout=None)
    *earlier, (_, prompt) = desk.turns
    history = [ChatMessage(role=role, content=text) for role, text in earlier]
    return str(await agent.run(prompt, chat_history=history, max_iterations=MANY))
