"""Google ADK: an LLM agent over LiteLLM's chat completions or its own Gemini client, its tools from MCP."""

from __future__ import annotations

from google.adk.agents import LlmAgent, RunConfig
from google.adk.models import BaseLlm, Gemini
from google.adk.models.lite_llm import LiteLlm
from google.adk.runners import InMemoryRunner
from google.adk.tools.mcp_tool import McpToolset, StreamableHTTPConnectionParams
from google.genai import types

from .desk import LONG, MANY, Desk

PLACE = {"user_id": "user", "session_id": "session"}


async def answer(desk: Desk) -> str:
    """The agent's answer."""
    where = StreamableHTTPConnectionParams(url=desk.mcp_url, timeout=LONG, sse_read_timeout=LONG)
    tools = McpToolset(connection_params=where)
    # A function, because a text would be taken for a template, and braces in it for names.
    agent = LlmAgent(name="agent", model=_model(desk), instruction=lambda _: desk.system or "", tools=[tools])
    runner = InMemoryRunner(agent, app_name="drawbar")
    await runner.session_service.create_session(app_name="drawbar", **PLACE)
    prompt = types.Content(role="user", parts=[types.Part(text=desk.task)])
    said = ""
    async for event in runner.run_async(**PLACE, new_message=prompt, run_config=RunConfig(max_llm_calls=MANY)):
        if event.error_code:
            raise SystemExit(f"{event.error_code}: {event.error_message}")
        if event.is_final_response() and event.content:
            said = "".join(part.text or "" for part in event.content.parts or ())
    await runner.close()
    return said


def _model(desk: Desk) -> BaseLlm:
    if desk.dialect == "gemini":
        return Gemini(model=desk.model, base_url=desk.root, client_kwargs={"api_key": desk.key})
    return LiteLlm(f"openai/{desk.model}", api_base=desk.base_url, api_key=desk.key)
