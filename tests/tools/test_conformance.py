"""The official MCP conformance suite against our endpoint, in front of a server with the tools that the suite calls."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import (
    AudioContent,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    TextContent,
    TextResourceContents,
)
from pydantic import Field

from drawbar.environment import Environment
from drawbar.server import PythonServer

if TYPE_CHECKING:
    from tests.tools.conftest import Desk, NodeTools, Serving

EXPECTED_FAILURES = Path(__file__).parent / "conformance-expected-failures.yml"

_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
_WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
_IMAGE = ImageContent(type="image", data=_PNG, mime_type="image/png")


def _text(words: str) -> TextContent:
    return TextContent(type="text", text=words)


def _resource(uri: str, kind: str, words: str) -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=kind, text=words))


def _result(*blocks: ContentBlock) -> CallToolResult:
    return CallToolResult(content=list(blocks))


def simple_text() -> CallToolResult:
    return _result(_text("This is a simple text response for testing."))


def image_content() -> CallToolResult:
    return _result(_IMAGE)


def audio_content() -> CallToolResult:
    return _result(AudioContent(type="audio", data=_WAV, mime_type="audio/wav"))


def embedded_resource() -> CallToolResult:
    return _result(_resource("test://embedded-resource", "text/plain", "This is an embedded resource content."))


def multiple_content_types() -> CallToolResult:
    mixed = _resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    return _result(_text("Multiple content types test:"), _IMAGE, mixed)


def error_handling() -> CallToolResult:
    raise ToolError("This tool intentionally returns an error for testing")


async def tool_with_progress(ctx: Context[Any, Any]) -> CallToolResult:
    for step in (0, 50, 100):
        await ctx.report_progress(step, 100)
        await asyncio.sleep(0.02)
    return _result(_text("done"))


def custom_headers(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
    priority: Annotated[int, Field(json_schema_extra={"x-mcp-header": "Priority"})] = 1,
) -> CallToolResult:
    return _result(_text(f"{region} {priority}"))


def json_schema(name: str = "") -> CallToolResult:
    return _result(_text(name))


def everything() -> Environment:
    """An environment with the tools that the suite asks for by name."""
    server: MCPServer[Any] = MCPServer("everything", subscriptions=False, log_level="ERROR")
    tools = (
        simple_text,
        image_content,
        audio_content,
        embedded_resource,
        multiple_content_types,
        error_handling,
        tool_with_progress,
        custom_headers,
    )
    for tool in tools:
        server.add_tool(tool, name=f"test_{tool.__name__}", description=tool.__name__, structured_output=False)
    server.add_tool(json_schema, name="json_schema_2020_12_tool", description="A schema", structured_output=False)
    _tool_of_json_schema_2020(server)
    return Environment(name="everything", servers={"everything": PythonServer(server=server)}, observation="as-is")


def _tool_of_json_schema_2020(server: MCPServer[Any]) -> None:
    """The schema that the suite wants to find again as it is."""
    tool = server._tool_manager.get_tool("json_schema_2020_12_tool")
    assert tool is not None
    street = {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}
    tool.parameters = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {"$anchor": "addressDef", **street}},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    }


@pytest.mark.slow
@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_the_official_suite_finds_no_more_than_is_known(
    desk: Desk, serving: Serving, node_tools: NodeTools, revision: str, tmp_path: Path
) -> None:
    session = await desk.session(everything())
    suite = node_tools.package("@modelcontextprotocol/conformance") / "dist" / "index.js"
    async with serving(desk.app) as url:
        options = [
            f"--url={url}/{session.id}",
            "--suite=all",
            f"--spec-version={revision}",
            f"--expected-failures={EXPECTED_FAILURES}",
        ]
        running = await asyncio.create_subprocess_exec(
            node_tools.node,
            str(suite),
            "server",
            *options,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await running.communicate()
    assert running.returncode == 0, said.decode()[-6000:]
