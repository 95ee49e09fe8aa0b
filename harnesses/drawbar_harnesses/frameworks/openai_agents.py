"""OpenAI Agents SDK: one agent, its tools from MCP, chat completions or Responses."""

from __future__ import annotations

from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, TResponseInputItem
from agents.mcp import MCPServerStreamableHttp
from openai import AsyncOpenAI

from .desk import LONG, MANY, Desk


async def answer(desk: Desk) -> str:
    """The agent's answer."""
    made = OpenAIResponsesModel if desk.dialect == "responses" else OpenAIChatCompletionsModel
    model = made(desk.model, AsyncOpenAI(base_url=desk.base_url, api_key=desk.key))
    turns: list[TResponseInputItem] = [{"role": role, "content": text} for role, text in desk.turns]
    async with MCPServerStreamableHttp(
        params={"url": desk.mcp_url, "timeout": LONG, "sse_read_timeout": LONG},
        cache_tools_list=True,
        client_session_timeout_seconds=LONG,
    ) as server:
        agent = Agent(name="agent", instructions=desk.system, model=model, mcp_servers=[server])
        result = await Runner.run(agent, turns, max_turns=MANY)
    return str(result.final_output)
