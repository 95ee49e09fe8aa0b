"""smolagents: its tool-calling agent.

As it ships, it ends by a tool, `final_answer`, so the model's last message would be empty. Here an answer in words ends
it, as with every other agent: that tool is not offered, no tool call is demanded, and the system prompt that teaches
both gives way to the task's.
"""

from __future__ import annotations

import json
from typing import Any

from smolagents import ChatMessage, LogLevel, MCPClient, OpenAIModel, PromptTemplates, Tool, ToolCallingAgent
from smolagents.agents import EMPTY_PROMPT_TEMPLATES
from smolagents.models import ChatMessageToolCall, ChatMessageToolCallFunction

from .desk import MANY, Desk

LAST = "final_answer"
SYSTEM = "You are an expert assistant who can solve any task using tool calls."
"""Its own, for tasks that have none: the first sentence."""


class WordsEnd(OpenAIModel):
    """A model whose words are its final answer."""

    def generate(self, *args: Any, tools_to_call_from: list[Any] | None = None, **kwargs: Any) -> ChatMessage:
        tools = [tool for tool in tools_to_call_from or () if tool.name != LAST]
        return super().generate(*args, tools_to_call_from=tools, tool_choice="auto", **kwargs)

    def parse_tool_calls(self, message: ChatMessage) -> ChatMessage:
        if not message.tool_calls:
            end = ChatMessageToolCallFunction(name=LAST, arguments=json.dumps({"answer": message.content or ""}))
            message.tool_calls = [ChatMessageToolCall(id=LAST, type="function", function=end)]
        return super().parse_tool_calls(message)


def answer(desk: Desk) -> str:
    """The agent's answer."""
    model = WordsEnd(desk.model, api_base=desk.base_url, api_key=desk.key)
    templates: PromptTemplates = {**EMPTY_PROMPT_TEMPLATES, "system_prompt": "{{ custom_instructions }}"}
    server = {"url": desk.mcp_url, "transport": "streamable-http"}
    with MCPClient(server, structured_output=False) as tools:
        for tool in tools:
            _let_defaults_be_left_out(tool)
        agent = ToolCallingAgent(
            tools=tools,
            model=model,
            prompt_templates=templates,
            instructions=desk.system or SYSTEM,
            max_steps=MANY,
            verbosity_level=LogLevel.ERROR,
        )
        return str(agent.run(desk.task))


def _let_defaults_be_left_out(tool: Tool) -> None:
    """Its adapter keeps the server's defaults and forgets which arguments are required: it would tell the model that
    all are, and refuse calls that leave one out."""
    for argument in tool.inputs.values():
        if "default" in argument:
            argument["nullable"] = True
