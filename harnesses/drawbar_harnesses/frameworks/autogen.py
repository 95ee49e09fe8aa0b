"""AutoGen: one assistant agent that calls tools until it answers in words."""

from __future__ import annotations

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from autogen_core.models import ModelFamily, ModelInfo
from autogen_ext.models.openai import OpenAIChatCompletionClient
from autogen_ext.tools.mcp import McpWorkbench, StreamableHttpServerParams

from .desk import LONG, MANY, Desk

ABLE = ModelInfo(
    vision=True,
    function_calling=True,
    json_output=True,
    family=ModelFamily.UNKNOWN,
    structured_output=True,
    multiple_system_messages=True,
)


async def answer(desk: Desk) -> str:
    """The agent's answer."""
    model = OpenAIChatCompletionClient(
        model=desk.model, base_url=desk.base_url, api_key=desk.key, model_info=ABLE, include_name_in_message=False
    )
    where = StreamableHttpServerParams(url=desk.mcp_url, timeout=LONG, sse_read_timeout=LONG)
    turns: list[BaseChatMessage] = [TextMessage(source=role, content=text) for role, text in desk.turns]
    async with McpWorkbench(where) as tools:
        agent = AssistantAgent(
            "assistant", model, workbench=tools, system_message=desk.system, max_tool_iterations=MANY
        )
        result = await agent.run(task=turns)
    await model.close()
    return result.messages[-1].to_text()
