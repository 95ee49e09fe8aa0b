"""An agent of one's own, written with the OpenAI SDK and the MCP SDK. It knows nothing of drawbar: only its URLs.

drawbar run servers/wiki_search --harness command --harness-option 'command=python {here}/examples/own_agent.py'
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from mcp import Client
from openai import AsyncOpenAI


def as_function(tool: Any) -> Any:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return {"type": "function", "function": function}


def next_from_user() -> Any:
    """What the user says to a final answer; None when there is no more to say, or the task is one request."""
    url = os.environ.get("DRAWBAR_USER_URL")
    return json.load(urlopen(Request(url, b"{}")))["message"] if url else None


async def main(messages: list[Any]) -> str | None:
    model = AsyncOpenAI()  # reads OPENAI_BASE_URL and OPENAI_API_KEY
    async with Client(os.environ["DRAWBAR_MCP_URL"]) as mcp:
        tools = [as_function(tool) for tool in (await mcp.list_tools()).tools]
        while True:
            answer = await model.chat.completions.create(
                model=os.environ["DRAWBAR_MODEL"], messages=messages, tools=tools
            )
            message: Any = answer.choices[0].message
            messages.append(message.model_dump(exclude_none=True))
            if not message.tool_calls:
                said = next_from_user()
                if said is None:
                    return str(message.content)
                messages.append(said)
            for call in message.tool_calls or ():
                result = await mcp.call_tool(call.function.name, json.loads(call.function.arguments))
                text = "\n".join(block.text for block in result.content if block.type == "text")
                messages.append({"role": "tool", "tool_call_id": call.id, "content": text})


print(asyncio.run(main(json.loads(Path(os.environ["DRAWBAR_MESSAGES_FILE"]).read_text()))))
