"""Sessions to export, told as native requests and answers of each dialect, and recorded as the gateway does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import orjson

from drawbar.ids import new_id
from drawbar.record import health
from drawbar.record.graph import SessionGraph
from drawbar.record.rows import CallRow, HealthRow, Row, ScoreRow, SessionRow
from drawbar.record.stitching import CallTree, Turn
from drawbar.record.store import Store
from drawbar.record.summary import summary_of
from drawbar.wire import DIALECTS

PICTURE = "iVBORw0KGgo="
THOUGHT = "I should look both up."
SYSTEM, QUESTION, ANSWER = "Be brief.", "Who wrote them?", "Ada and Bob."
LOOKS_UP = (("c1", {"query": "one"}, "Ada, 1843"), ("c2", {"query": "two"}, "Bob, 1900"))
SCHEMA = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}


class Story:
    """One session under way."""

    def __init__(self, store: Store, dialect: str = "chat", **fields: Any) -> None:
        self.id = new_id("ses")
        self.dialect = DIALECTS[dialect]
        self.row = SessionRow(id=self.id, **{"started": time.time(), "model": "m", **fields})
        self.rows: list[Row] = []
        self._store = store
        self._graph = SessionGraph()
        self._tree: CallTree[str] = CallTree()
        self._calls = 0

    def exchange(self, request: Mapping[str, Any], answer: Mapping[str, Any] | None, **fields: Any) -> CallRow:
        """A model call: a native request, and its native answer. Without an answer it failed."""
        asked = self.dialect.split(orjson.dumps(request))
        path, nodes = self._graph.request(self.dialect, asked.messages)
        place = self._tree.find(self.dialect, path, asked.messages, fields.get("thread"))
        turn = Turn(new_id("call"), self.id, path[-1], fields.get("thread"))
        self._tree.add(turn, place)
        made: dict[str, Any] = {"status": "failed", "error": "refused"}
        self.rows += nodes
        if answer is not None:
            said = self.dialect.response(orjson.dumps(answer))
            assert said.message is not None
            reply, replies, body = self._graph.reply(self.dialect, turn.leaf, said.message)
            self._tree.replied(turn, reply, self.dialect, said.message)
            self.rows += replies
            made = {"status": "answered", "reply": reply, "reply_body": body, "finish": said.finish,
                    "prompt_tokens": 100, "completion_tokens": 10}  # fmt: skip
            made["response_envelope"], blobs = self._graph.blob(said.envelope)
            self.rows += blobs
        for name, given in (("tools", asked.tools), ("request_envelope", asked.envelope)):
            if given is not None:
                made[name], blobs = self._graph.blob(given)
                self.rows += blobs
        follows = place.follows.call if place.follows is not None else None
        started = self.row.started + self._calls
        row = CallRow(
            id=turn.call, session=self.id, seq=self._calls, dialect=self.dialect.name, path="/", model="m",
            upstream="up/m", started=started, ended=started + 0.5, request=turn.leaf, follows=follows, edge=place.edge,
            **{**made, **fields},
        )  # fmt: skip
        self.rows.append(row)
        self._calls += 1
        return row

    def score(self, value: float | None, name: str = "correct", **fields: Any) -> None:
        self.rows.append(ScoreRow(**{
            "id": new_id("score"), "session": self.id, "name": name, "kind": "reward", "value": value, "weight": 1.0,
            "rubric_version": "v1", "source": "rollout", "created": time.time(), **fields,
        }))  # fmt: skip

    def end(self, stop: str = "completed", *, looked_at: bool = True) -> str:
        """End and record it; without `looked_at`, as a gateway that was killed before it looked at its health."""
        ended = {"status": "ended", "stop": stop, "ended": self.row.started + 60}
        row = SessionRow(**{name: getattr(self.row, name) for name in SessionRow.__struct_fields__} | ended)
        self._store.write([row, *self.rows])
        if looked_at:
            found = self._store.trajectory(self.id)
            findings = health.to_json(found.health)
            self._store.write([HealthRow(session=self.id, findings=findings, created=1.0), summary_of(found)])
        return self.id

    def leave_open(self) -> str:
        self._store.write([self.row, *self.rows])
        return self.id


def chat(*said: Any, tools: bool = True, **fields: Any) -> dict[str, Any]:
    """A chat request; a text is the user's."""
    messages = [{"role": "user", "content": each} if isinstance(each, str) else each for each in said]
    offered = {"tools": [{"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}]} if tools else {}
    return {"model": "m", "messages": messages, **offered, **fields}


def says(words: str | None, *uses: tuple[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A model's message in chat; a tool use is its id and its arguments."""
    calls = [
        {"id": id, "type": "function", "function": {"name": "look_up", "arguments": orjson.dumps(arguments).decode()}}
        for id, arguments in uses
    ]
    return {"role": "assistant", "content": words, **({"tool_calls": calls} if calls else {}), **more}


def shows(id: str, words: str) -> dict[str, Any]:
    """A tool's result in chat."""
    return {"role": "tool", "tool_call_id": id, "content": words}


def answers(message: dict[str, Any], finish: str = "stop") -> dict[str, Any]:
    """A chat answer."""
    return {"id": "a", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def plain_story(store: Store, question: str = "Hi?", answer: str = "Hello.", **fields: Any) -> Story:
    """A question and its answer."""
    story = Story(store, **fields)
    story.exchange(chat(question), answers(says(answer)))
    return story


def _chat() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}
    first = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": [{"type": "text", "text": QUESTION}, picture]},
    ]
    asks = says(None, *((id, arguments) for id, arguments, _ in LOOKS_UP), reasoning_content=THOUGHT)
    then = [*first, asks, *(shows(id, words) for id, _, words in LOOKS_UP)]
    return [(chat(*first), answers(asks, "tool_calls")), (chat(*then), answers(says(ANSWER)))]


def _messages() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}}
    asked = {"role": "user", "content": [{"type": "text", "text": QUESTION}, picture]}
    content: list[dict[str, Any]] = [{"type": "thinking", "thinking": THOUGHT, "signature": "s"}]
    content += [{"type": "tool_use", "id": id, "name": "look_up", "input": given} for id, given, _ in LOOKS_UP]
    shown = [
        {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": words}]}
        for id, _, words in LOOKS_UP
    ]

    def request(*messages: Any) -> dict[str, Any]:
        tools = [{"name": "look_up", "input_schema": SCHEMA}]
        return {"model": "m", "max_tokens": 99, "system": SYSTEM, "messages": messages, "tools": tools}

    def answer(content: list[dict[str, Any]], stop: str) -> dict[str, Any]:
        usage = {"input_tokens": 1, "output_tokens": 1}
        return {"id": "a", "type": "message", "role": "assistant", "model": "m", "content": content,
                "stop_reason": stop, "usage": usage}  # fmt: skip

    then = request(asked, {"role": "assistant", "content": content}, {"role": "user", "content": shown})
    return [
        (request(asked), answer(content, "tool_use")),
        (then, answer([{"type": "text", "text": ANSWER}], "end_turn")),
    ]


def _responses() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}"}
    asked = {"role": "user", "content": [{"type": "input_text", "text": QUESTION}, picture]}
    items: list[dict[str, Any]] = [
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": THOUGHT}]},
        *(
            {"type": "function_call", "id": f"f{id}", "call_id": id, "name": "look_up",
             "arguments": orjson.dumps(given).decode()}
            for id, given, _ in LOOKS_UP
        ),
    ]  # fmt: skip
    shown = [{"type": "function_call_output", "call_id": id, "output": words} for id, _, words in LOOKS_UP]

    def request(*items: Any) -> dict[str, Any]:
        tools = [{"type": "function", "name": "look_up", "parameters": SCHEMA}]
        return {"model": "m", "instructions": SYSTEM, "input": items, "tools": tools}

    def answer(output: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": "r", "object": "response", "status": "completed", "model": "m", "output": output}

    words = [{"type": "output_text", "text": ANSWER, "annotations": []}]
    last = {"type": "message", "id": "ms", "role": "assistant", "status": "completed", "content": words}
    return [(request(asked), answer(items)), (request(asked, *items, *shown), answer([last]))]


def _gemini() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    picture = {"inlineData": {"mimeType": "image/png", "data": PICTURE}}
    asked = {"role": "user", "parts": [{"text": QUESTION}, picture]}
    parts: list[dict[str, Any]] = [{"text": THOUGHT, "thought": True}]
    parts += [{"functionCall": {"id": id, "name": "look_up", "args": given}} for id, given, _ in LOOKS_UP]
    shown = [
        {"functionResponse": {"id": id, "name": "look_up", "response": {"output": words}}} for id, _, words in LOOKS_UP
    ]

    def request(*contents: Any) -> dict[str, Any]:
        declared = {"name": "look_up", "parametersJsonSchema": SCHEMA}
        system = {"parts": [{"text": SYSTEM}]}
        return {"contents": contents, "systemInstruction": system, "tools": [{"functionDeclarations": [declared]}]}

    def answer(parts: list[dict[str, Any]]) -> dict[str, Any]:
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
        return {"candidates": [candidate], "responseId": "r", "modelVersion": "m"}

    then = request(asked, {"role": "model", "parts": parts}, {"role": "user", "parts": shown})
    return [(request(asked), answer(parts)), (then, answer([{"text": ANSWER}]))]


TOLD = {"chat": _chat, "messages": _messages, "responses": _responses, "gemini": _gemini}
"""In each dialect the same: instructions, a question with a picture, a thought, two tool calls, results, an answer."""


def tell(store: Store, dialect: str, **fields: Any) -> Story:
    story = Story(store, dialect, **fields)
    for request, answer in TOLD[dialect]():
        story.exchange(request, answer)
    return story
