"""LangGraph: LangChain's agent graph over `ChatOpenAI`, its tools through langchain-mcp-adapters."""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from langchain_openai import ChatOpenAI

from .desk import MANY, Desk


async def answer(desk: Desk) -> str:
    """The agent's answer."""
    model = ChatOpenAI(model=desk.model, base_url=desk.base_url, api_key=desk.key)
    servers = MultiServerMCPClient({"drawbar": {"transport": "streamable_http", "url": desk.mcp_url}})
    async with servers.session("drawbar") as session:
        agent = create_agent(model, await load_mcp_tools(session))
        state = await agent.ainvoke({"messages": desk.messages}, {"recursion_limit": MANY})
    return str(state["messages"][-1].text)
