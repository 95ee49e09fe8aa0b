"""What a program is told, and in which form frameworks take it. It runs in any environment: standard library alone."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANY = 10_000
"""In place of a framework's own limit of turns: the gateway keeps the task's, and says so in the record."""
LONG = 86_400.0
"""In place of the seconds after which a framework gives up on a tool or a model: the rollout has a limit of its own."""
REPLY_TOKENS = 16_000
"""The longest reply, where a dialect (`messages`) must be told one and the task's sampling says none: as much as its
SDK takes without a stream."""


@dataclass(frozen=True)
class Desk:
    """Where and what to work."""

    root: str
    """The session's URL: what the SDKs of Anthropic and Google call `base_url`."""
    key: str
    mcp_url: str
    model: str
    messages: list[dict[str, Any]]
    """The opening messages in chat form."""
    dialect: str = "chat"
    """What to speak with the model."""

    @classmethod
    def from_environment(cls) -> Desk:
        given = os.environ
        messages = json.loads(Path(given["DRAWBAR_MESSAGES_FILE"]).read_text(encoding="utf-8"))
        urls = given["DRAWBAR_BASE_URL"], given["DRAWBAR_KEY"], given["DRAWBAR_MCP_URL"]
        return cls(*urls, given["DRAWBAR_MODEL"], messages, given["DRAWBAR_DIALECT"])

    @property
    def base_url(self) -> str:
        """What the SDK of OpenAI calls so."""
        return f"{self.root}/v1"

    @property
    def system(self) -> str | None:
        """The system prompt."""
        said = [text_of(message) for message in self.messages if message["role"] == "system"]
        return "\n\n".join(said) or None

    @property
    def turns(self) -> list[tuple[str, str]]:
        """Who said what, but for the system: (`user` or `assistant`, text)."""
        return [(message["role"], text_of(message)) for message in self.messages if message["role"] != "system"]

    @property
    def task(self) -> str:
        """All turns as one text, for frameworks that take no more than a task: the prompt, as a rule."""
        if len(self.turns) == 1:
            return self.turns[0][1]
        return "\n\n".join(f"{role.capitalize()}: {text}" for role, text in self.turns)


def text_of(message: dict[str, Any]) -> str:
    """The words of a message.

    Raises:
        SystemExit: it holds more than words.
    """
    content = message.get("content") or ""
    if isinstance(content, str) and not message.get("tool_calls") and message["role"] != "tool":
        return content
    parts = content if isinstance(content, list) else []
    if not parts or any(part.get("type") != "text" for part in parts):
        raise SystemExit(
            f"This framework is given words alone, and the task's {message['role']} message holds more (an image, a "
            "tool call): use another harness for it, such as langgraph or loop."
        )
    return "\n".join(part["text"] for part in parts)
