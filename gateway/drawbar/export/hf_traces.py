"""The Hugging Face Hub's trace view: a file for each conversation, a header line and a line for each message.

Reference: https://huggingface.co/docs/hub/session-traces-format (Session Trace Simple Format). The Hub, and `datasets`,
take a file for one session, so that they are written into a folder. What the view does not show (tools, scores, how it
ended) stands in the header, in which anything more is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from drawbar.export.around import around, calls_of
from drawbar.export.chat_form import ChatForm, ChatMessage
from drawbar.export.format import Column, Need, Row
from drawbar.export.losses import Losses
from drawbar.export.sample import Sample
from drawbar.trajectory import Call
from drawbar.wire.tolerant import dump

_HARNESS: Final = "drawbar"
_TITLE: Final = 80
"""Characters of a session's name."""
_FORM: Final = ChatForm(picture=lambda media: None, reasoning="reasoningContent")


class HubTraces:
    """`{"name": "ses_...", "lines": [{"type": "session", ...}, {"type": "message", "message": {...}}, ...]}`"""

    name = "hf-traces"
    needs: frozenset[Need] = frozenset({"trajectory"})
    columns: Mapping[str, Column] | None = None
    alone = True

    def rows(self, sample: Sample, losses: Losses) -> Iterator[Row]:
        calls = calls_of(sample)
        lines: list[dict[str, Any]] = []
        for said, id in zip(_FORM.messages(sample, losses), sample.calls, strict=True):
            lines += [{"type": "message", "message": _message(each, calls.get(id or ""))} for each in said]
        yield {"name": sample.name, "lines": [_header(sample), *lines]}

    def files(self, row: Row) -> Iterator[tuple[str, bytes]]:
        """A conversation as a file."""
        name = str(row["name"]).replace("/", ".").replace(" ", "-")
        yield f"{name}.jsonl", b"".join(dump(line) + b"\n" for line in row["lines"])


def _header(sample: Sample) -> dict[str, Any]:
    asked = next((message.text for message in sample.messages if message.role == "user" and message.text.strip()), "")
    title = " ".join(asked.split())
    return {
        "type": "session",
        "harness": sample.facts.harness or _HARNESS,
        "id": sample.name,
        **({"name": title if len(title) <= _TITLE else title[: _TITLE - 1] + "…"} if title else {}),
        **({"tools": list(sample.tools)} if sample.tools else {}),
        "drawbar": around(sample),
    }


def _message(said: ChatMessage, call: Call | None) -> dict[str, Any]:
    found: dict[str, Any] = {"role": said["role"], "content": _text(said["content"])}
    if "reasoningContent" in said:
        found["reasoningContent"] = said["reasoningContent"]
    if "tool_call_id" in said:
        found["toolCallId"] = said["tool_call_id"]
    if "tool_calls" in said:
        found["toolCalls"] = [{"id": it["id"], "function": it["function"]} for it in said["tool_calls"]]
    if call is not None and said["role"] == "assistant":
        found["timestamp"] = int(call.started * 1000)
        found["model"] = call.model
    return found


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content)
    return content or ""


FORMAT: Final = HubTraces()
