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
from minisweagent.models.utils.actions_toolcall import BASH_TOOL

from .desk import Desk

PLAIN = "{{ output.output }}{% if output.exception_info %}\n{{ output.exception_info }}{% endif %}"
SYSTEM = "You are a helpful assistant that can interact with a computer."
"""Its own, for tasks that have none."""


class Model(LitellmModel):
    """Offers the session's tools."""

    def __init__(self, desk: Desk, tools: list[dict[str, Any]]) -> None:
        kwargs = {"api_base": desk.base_url, "api_key": desk.key}
        super().__init__(model_name=f"openai/{desk.model}", model_kwargs=kwargs, observation_template=PLAIN)
        own = [BASH_TOOL] if os.environ.get("DRAWBAR_OWN_TOOLS") else []
        self._tools = [*own, *tools]

    def _query(self, messages: list[dict[str, Any]], **kwargs: Any) -> Any:
        return litellm.completion(
            model=self.config.model_name,
            messages=messages,
            tools=self._tools or None,
            **self.config.model_kwargs,
            **kwargs,
        )

    def _parse_actions(self, response: Any) -> list[dict[str, Any]]:
        message = response.choices[0].message
        if not message.tool_calls:
            said = message.content or ""
            raise Submitted({"role": "exit", "content": said, "extra": {"submission": said}})
        return [_action(call) for call in message.tool_calls]


def _action(call: Any) -> dict[str, Any]:
    try:
        arguments = json.loads(call.function.arguments or "{}")
    except ValueError as error:
        return {"tool": None, "complaint": f"The arguments are not JSON: {error}", "tool_call_id": call.id}
    return {"tool": call.function.name, "arguments": arguments, "tool_call_id": call.id}


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
        agent = DefaultAgent(
            Model(desk, tools),
            Shell(portal, client),
            system_template="{{ prompts.system }}",
            instance_template="{{ task }}",
            cost_limit=0,
        )
        return str(agent.run(desk.task, prompts={"system": desk.system or SYSTEM})["submission"])


def _offered(tool: Any) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description or "", "parameters": tool.input_schema}
    return {"type": "function", "function": function}
