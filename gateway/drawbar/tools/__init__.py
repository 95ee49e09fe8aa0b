"""The tool side: one MCP endpoint per session, in front of the servers of its environment.

`endpoint.ToolSide` is what the gateway uses. This package never imports the `mcp` SDK when it is itself imported:
that costs a second, and an environment whose servers are children or URLs does without it until a client of the
newest revision comes.
"""
