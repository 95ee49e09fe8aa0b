"""mini-SWE-agent: its loop with the session's tools, and with its `bash` where that is wanted.

As it ships, it knows no MCP, and ends by a command that prints a mark, so the model's last message would be that
command. Here an answer in words ends it, as with every other agent.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from typing import Any

import litellm
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client
from minisweagent.agents.default import DefaultAgent
from minisweagent.environments.local import LocalEnvironment
from minisweagent.exceptions import Submitted
from minisweagent.models.litellm_model import LitellmModel
from minisweagent.models.litellm_response_model import LitellmResponseModel
from minisweagent.models.utils.actions_toolcall import BASH_TOOL

from .desk import REPLY_TOKENS, Desk

PLAIN = "{{ output.output }}{% if output.exception_info %}\n{{ output.exception_info }}{% endif %}"
SYSTEM = "You are a helpful assistant that can interact with a computer."
"""Its own, for tasks that have none."""


class Conversation(LitellmModel):
    """Offers the session's tools, in chat completions or Anthropic's messages."""

    def __init__(self, desk: Desk, tools: list[dict[str, Any]]) -> None:
        super().__init__(**_settings(desk))
        self._tools = _with_own(tools)

    def _query(self, messages: list[dict[str, Any]], **kwargs: Any) -> Any:
        given = self.config.model_kwargs | kwargs
        return litellm.completion(self.config.model_name, messages, tools=self._tools or None, **given)

    def _parse_actions(self, response: Any) -> list[dict[str, Any]]:
        message = response.choices[0].message
        if not message.tool_calls:
            raise _answered(message.content or "")
        return [_action(call.function.name, call.function.arguments, call.id) for call in message.tool_calls]


class Responses(LitellmResponseModel):
    """The same in OpenAI's Responses."""

    def __init__(self, desk: Desk, tools: list[dict[str, Any]]) -> None:
        super().__init__(**_settings(desk))
        self._tools = [{"type": "function", **tool["function"]} for tool in _with_own(tools)]

    def _query(self, messages: list[dict[str, Any]], **kwargs: Any) -> Any:
        given = self.config.model_kwargs | kwargs
        return litellm.responses(messages, self.config.model_name, tools=self._tools or None, **given)

    def _parse_actions(self, response: Any) -> list[dict[str, Any]]:
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            said = [part.text for item in response.output if item.type == "message" for part in item.content]
            raise _answered("".join(said))
        return [_action(call.name, call.arguments, call.call_id) for call in calls]


def _settings(desk: Desk) -> dict[str, Any]:
    anthropic = desk.dialect == "messages"
    where = {"api_base": desk.root, "max_tokens": REPLY_TOKENS} if anthropic else {"api_base": desk.base_url}
    name = f"{'anthropic' if anthropic else 'openai'}/{desk.model}"
    return {"model_name": name, "model_kwargs": {**where, "api_key": desk.key}, "observation_template": PLAIN}


def _with_own(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*([BASH_TOOL] if os.environ.get("DRAWBAR_OWN_TOOLS") else []), *tools]


def _answered(said: str) -> Submitted:
    """What ends the loop."""
    return Submitted({"role": "exit", "content": said, "extra": {"submission": said}})


def _action(tool: str, arguments: str, id: str) -> dict[str, Any]:
    try:
        return {"tool": tool, "arguments": json.loads(arguments or "{}"), "tool_call_id": id}
    except ValueError as error:
        return {"tool": None, "complaint": f"The arguments are not JSON: {error}", "tool_call_id": id}


class Shell(LocalEnvironment):
    """Runs commands here and calls the session's tools there."""

    def __init__(self, portal: BlockingPortal, client: Client) -> None:
        super().__init__()
        self._portal = portal
        self._client = client

    def execute(self, action: dict[str, Any], cwd: str = "", *, timeout: int | None = None) -> dict[str, Any]:
        if action["tool"] is None:
            return _output(action["complaint"], failed=True)
        if action["tool"] == "bash" and os.environ.get("DRAWBAR_OWN_TOOLS"):
            return super().execute({"command": str(action["arguments"].get("command", ""))}, cwd, timeout=timeout)
        try:
            result = self._portal.call(self._client.call_tool, action["tool"], action["arguments"])
        except Exception as error:
            return _output(str(error), failed=True)
        text = "\n".join(getattr(block, "text", f"[{block.type}]") for block in result.content)
        return _output(text, failed=bool(result.is_error))


def _output(text: str, *, failed: bool) -> dict[str, Any]:
    return {"output": text, "returncode": int(failed), "exception_info": ""}


def answer(desk: Desk) -> str:
    """The agent's answer."""
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())
        client = stack.enter_context(portal.wrap_async_context_manager(Client(desk.mcp_url)))
        tools = [_offered(tool) for tool in portal.call(client.list_tools).tools]
        made = Responses if desk.dialect == "responses" else Conversation
        agent = DefaultAgent(
            made(desk, tools),
            Shell(portal, client),
            system_template="{{ prompts.system }}",
            instance_template="{{ task }}",
            cost_limit=0,
        )
        return str(agent.run(desk.task, prompts={"system": desk.system or SYSTEM})["submission"])


def _offered(tool: Any) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description or "", "parameters": tool.input_schema}
    return {"type": "function", "function": function}
