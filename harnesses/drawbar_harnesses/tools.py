"""A lean MCP client for one session's endpoint: JSON-RPC POSTs of the 2026-07-28 revision, which needs no handshake."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import aiohttp
import orjson

from drawbar.errors import HarnessError
from drawbar_harnesses.connection import Stopped, explain

REVISION = "2026-07-28"
_META = {
    "io.modelcontextprotocol/protocolVersion": REVISION,
    "io.modelcontextprotocol/clientInfo": {"name": "drawbar-loop", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
TOOL_USE_ID = "drawbar/toolUseId"
"""The `_meta` key that says which of the model's tool calls a call serves."""
_PLAIN = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


class Tools:
    """The tools of one session.

    Methods raise `Stopped` when the gateway says that the rollout must end, and `HarnessError` when it is not there.
    """

    def __init__(self, client: aiohttp.ClientSession, url: str, key: str) -> None:
        self._client = client
        self._url = url
        self._key = key
        self._ids = count(1)

    async def list(self) -> list[dict[str, Any]]:
        """All tool definitions, page after page."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, Any] = {}
        while True:
            answer = await self._request("tools/list", cursor)
            if "error" in answer:
                raise HarnessError(f"The tools cannot be listed: {answer['error'].get('message')}")
            found += answer["result"]["tools"]
            if not answer["result"].get("nextCursor"):
                return found
            cursor = {"cursor": answer["result"]["nextCursor"]}

    async def call(self, name: str, arguments: Mapping[str, Any], tool_use_id: str) -> str:
        """The words of a tool's result, as the model is to see them. A failed call is words too."""
        answer = await self._request("tools/call", {"name": name, "arguments": arguments}, tool_use_id)
        if "error" in answer:
            return f"Error: {answer['error'].get('message', 'the tool could not be called')}"
        return text_of(answer["result"].get("content", ()))

    async def _request(self, method: str, params: Mapping[str, Any], tool_use_id: str | None = None) -> dict[str, Any]:
        number = next(self._ids)
        meta = _META if tool_use_id is None else {**_META, TOOL_USE_ID: tool_use_id}
        body = orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": {**params, "_meta": meta}})
        try:
            async with self._client.post(self._url, data=body, headers=self._headers(method, params)) as response:
                if response.content_type == "text/event-stream":
                    return await _answer_in_stream(response, number)
                content = await response.read()
        except aiohttp.ClientError as error:
            raise HarnessError(f"The session's tools cannot be reached: {error}") from error
        return _answer(response.status, content)

    def _headers(self, method: str, params: Mapping[str, Any]) -> dict[str, str]:
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": REVISION,
            "Mcp-Method": method,
        }
        if "name" in params:
            headers["Mcp-Name"] = _header_value(params["name"])
        return headers


def _answer(status: int, content: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        answer = None
    if isinstance(answer, dict) and answer.get("jsonrpc") == "2.0" and ("result" in answer or "error" in answer):
        cause = (answer.get("error") or {}).get("data")
        if isinstance(cause, dict) and "cause" in cause:
            raise Stopped(cause["cause"], answer["error"].get("message"))
        return answer
    raise Stopped(*explain(status, content))


async def _answer_in_stream(response: aiohttp.ClientResponse, number: int) -> dict[str, Any]:
    """The answer to request `number`; progress and pings before it are passed over."""
    data: list[bytes] = []
    async for line in _lines(response):
        if line.startswith(b"data:"):
            data.append(line[5:].lstrip(b" "))
        elif not line and data:
            event = orjson.loads(b"\n".join(data))
            data = []
            if event.get("id") == number and ("result" in event or "error" in event):
                return _answer(response.status, orjson.dumps(event))
    raise HarnessError("The stream of a tool's result ended before the result.")


async def _lines(response: aiohttp.ClientResponse) -> Any:
    """Lines of any length (aiohttp's own iterator refuses those over 128 KiB)."""
    rest = b""
    async for chunk in response.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.rstrip(b"\r")


def _header_value(value: str) -> str:
    """As the revision encodes what a header cannot carry."""
    if _PLAIN.fullmatch(value) and not value.startswith("=?base64?"):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def text_of(content: Sequence[Mapping[str, Any]]) -> str:
    """The text blocks of a result, joined by line ends; other kinds are named."""
    return "\n".join(_text_of_block(block) for block in content)


def _text_of_block(block: Mapping[str, Any]) -> str:
    match block.get("type"):
        case "text":
            return str(block.get("text", ""))
        case "resource" if "text" in block.get("resource", {}):
            return str(block["resource"]["text"])
        case "resource_link":
            return f"[resource: {block.get('uri')}]"
        case kind:
            return f"[{kind}: {block.get('mimeType', 'of unknown type')}]"


def offered(definitions: Sequence[Mapping[str, Any]]) -> bytes | None:
    """MCP tool definitions as a chat request carries them (JSON); None where there are none."""
    if not definitions:
        return None
    return orjson.dumps(
        [
            {
                "type": "function",
                "function": {
                    "name": tool["name"],
                    "description": tool.get("description") or "",
                    "parameters": tool.get("inputSchema") or {"type": "object", "properties": {}},
                },
            }
            for tool in definitions
        ]
    )
