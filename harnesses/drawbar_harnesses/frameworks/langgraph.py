"""LangGraph: LangChain's agent graph over its models of OpenAI or Anthropic, tools by langchain-mcp-adapters."""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from langchain_openai import ChatOpenAI

from .desk import MANY, REPLY_TOKENS, Desk


async def answer(desk: Desk) -> str:
    """The agent's answer."""
    servers = MultiServerMCPClient({"drawbar": {"transport": "streamable_http", "url": desk.mcp_url}})
    async with servers.session("drawbar") as session:
        agent = create_agent(_model(desk), await load_mcp_tools(session))
        state = await agent.ainvoke({"messages": desk.messages}, {"recursion_limit": MANY})
    return str(state["messages"][-1].text)


def _model(desk: Desk) -> BaseChatModel:
    if desk.dialect == "messages":
        return ChatAnthropic(model=desk.model, base_url=desk.root, api_key=desk.key, max_tokens=REPLY_TOKENS)
    by_responses = desk.dialect == "responses"
    return ChatOpenAI(model=desk.model, base_url=desk.base_url, api_key=desk.key, use_responses_api=by_responses)
