"""A tool server over standard input and output, without any SDK: it starts in milliseconds and misbehaves on demand.

`--modern` makes it one of the revision without a handshake. `--dies-at-start`, `--mute` and `--unlisted` do what they
say.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

MODERN = "--modern" in sys.argv
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
NONE: dict[str, Any] = {"type": "object", "properties": {}}
TOOLS = [
    {"name": "whoami", "description": "The session.", "inputSchema": NONE},
    {"name": "echo", "description": "Says it again.", "inputSchema": TEXT, "x-unknown": {"kept": True}},
    {"name": "fail", "description": "Fails.", "inputSchema": NONE},
    {"name": "steps", "description": "Reports progress.", "inputSchema": NONE},
    {"name": "sleep", "description": "Never answers.", "inputSchema": NONE},
    {"name": "big", "description": "Much text.", "inputSchema": NONE},
    {"name": "die", "description": "Exits at once.", "inputSchema": NONE},
    {"name": "remember", "description": "Keeps a text.", "inputSchema": TEXT},
    {"name": "recall", "description": "Gives it back.", "inputSchema": NONE},
    {"name": "environment", "description": "Its variables.", "inputSchema": NONE},
    {"name": "child", "description": "Starts a process that ignores everything; its number.", "inputSchema": NONE},
    {"name": "halves", "description": "A text with half an emoji.", "inputSchema": TEXT},
    {"name": "odd", "description": "A large result of no known shape.", "inputSchema": NONE},
    {"name": "cancelled", "description": "Requests that were cancelled.", "inputSchema": NONE},
]
lock = threading.Lock()
memory: list[str] = []
cancelled: list[Any] = []


def say(message: dict[str, Any]) -> None:
    with lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words}], **more}


def run(tool: str, params: dict[str, Any]) -> dict[str, Any]:
    arguments, meta = params.get("arguments", {}), params.get("_meta", {})
    if tool == "whoami":
        return text(str(meta.get("dev.drawbar/session")))
    if tool == "echo":
        return text(arguments["text"], structuredContent={"said": arguments["text"]}, unknown="kept")
    if tool == "fail":
        return text("It went wrong.", isError=True)
    if tool == "steps":
        for step in (1, 2):
            say(
                {
                    "method": "notifications/progress",
                    "params": {"progressToken": meta["progressToken"], "progress": step},
                }
            )
        return text("done")
    if tool == "big":
        return text("x" * 100_000)
    if tool == "halves":
        return text(arguments["text"] + " and \ud83d")
    if tool == "odd":
        return {"content": "x" * 100_000, "_meta": {"a": "y" * 100_000}, "more": "z" * 100_000, "isError": True}
    if tool == "remember":
        memory.append(arguments["text"])
        return text("kept")
    if tool == "recall":
        return text(",".join(memory))
    if tool == "environment":
        return text(json.dumps(dict(os.environ)))
    if tool == "child":
        none = subprocess.DEVNULL
        lasting = [sys.executable, "-c", "import signal,time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"]
        return text(str(subprocess.Popen(lasting, stdin=none, stdout=none, stderr=none).pid))
    return text(json.dumps(cancelled))


def answer(id: Any, method: str, params: dict[str, Any]) -> None:
    if method == "initialize" and not MODERN:
        result: dict[str, Any] = {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "plain", "version": "1"},
            "instructions": "Plain and simple.",
        }
    elif method == "server/discover" and MODERN:
        result = {
            "supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {}},
            "instructions": "Plain and simple.",
        }
    elif method == "tools/list" and "--unlisted" in sys.argv:
        return
    elif method == "tools/list":
        half = len(TOOLS) // 2
        result = {"tools": TOOLS[half:]} if "cursor" in params else {"tools": TOOLS[:half], "nextCursor": "half"}
    elif method == "tools/call" and params["name"] in {tool["name"] for tool in TOOLS}:
        result = run(params["name"], params)
    else:
        say({"id": id, "error": {"code": -32602, "message": f"no {method} {params.get('name', '')}".strip()}})
        return
    if MODERN:
        result["resultType"] = "complete"
    say({"id": id, "result": result})


def main() -> None:
    sys.stdout.write("a server that says something that is not JSON\n")
    if "--dies-at-start" in sys.argv:
        sys.exit("cannot find my data")
    for line in sys.stdin:
        message = json.loads(line)
        params = message.get("params", {})
        if "--mute" in sys.argv:
            continue
        if message["method"] == "notifications/cancelled":
            cancelled.append(params["requestId"])
        elif message["method"] == "tools/call" and params["name"] == "die":
            sys.stderr.write("out of memory\n" + os.environ.get("LAST_WORDS", ""))
            sys.stderr.flush()
            os._exit(3)
        elif message["method"] == "tools/call" and params["name"] == "sleep":
            continue
        elif "id" in message:
            answer(message["id"], message["method"], params)
    while "--stays" in sys.argv:
        time.sleep(600)


if __name__ == "__main__":
    main()
