"""An agent as other people write them: it knows an OpenAI base URL, an MCP URL and a prompt, and nothing of drawbar."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from typing import Any


def post(url: str, body: dict[str, Any], **headers: str) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def main() -> int:
    with open(os.environ["DRAWBAR_MESSAGES_FILE"]) as file:
        messages = json.load(file)
    url, key = os.environ["OPENAI_BASE_URL"] + "/chat/completions", os.environ["OPENAI_API_KEY"]
    while True:
        body = {"model": os.environ["DRAWBAR_MODEL"], "messages": messages}
        try:
            reply = post(url, body, Authorization=f"Bearer {key}")["choices"][0]["message"]
        except urllib.error.HTTPError as error:
            sys.stderr.write(f"the model answered {error.code}\n")
            return 1
        messages.append(reply)
        if not reply.get("tool_calls"):
            sys.stdout.write(f"{reply['content']}\n")
            said = post(os.environ["DRAWBAR_USER_URL"], {})["message"] if "DRAWBAR_USER_URL" in os.environ else None
            if said is None:
                return 0
            messages.append(said)
            continue
        for call in reply["tool_calls"]:
            function = call["function"]
            params = {"name": function["name"], "arguments": json.loads(function["arguments"])}
            request = {"jsonrpc": "2.0", "id": call["id"], "method": "tools/call", "params": params}
            accept = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
            result = post(os.environ["DRAWBAR_MCP_URL"], request, **accept)["result"]
            text = "\n".join(block["text"] for block in result["content"])
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})


if __name__ == "__main__":
    sys.exit(main())
