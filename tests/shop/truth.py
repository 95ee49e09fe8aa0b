"""What happened, by the logs of those whom it happened to, against what the gateway recorded.

Exchanges with the model are told apart by the id that it gave each of its answers; tool calls by the ids that it gave
them. Where conversations are alike to the word, which of them an exchange belonged to is nobody's to say: sessions are
compared as the sequences of what was asked and said in them.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from drawbar import Call, ToolCall, Trajectory
from drawbar.record.store import Store

if TYPE_CHECKING:
    from tests.shop.conftest import Works

LOST = "The tool failed"
"""How the agent tells its model that the gateway went away during a tool call."""


@dataclass
class Conversation:
    """One customer's, as the agent's log has it."""

    replies: list[str] = field(default_factory=list)
    """The ids of the answers that it had whole."""
    tools: list[Mapping[str, Any]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    failed: int = 0


class Truth:
    """The logs and the record, side by side."""

    def __init__(self, works: Works, agents: int) -> None:
        self.model = {line["id"]: line for line in works.log("model.jsonl")}
        self.astray = 0
        self.booked = works.log("calls.jsonl")
        self.outbox = works.log("outbox.jsonl")
        self.conversations: dict[str, Conversation] = defaultdict(Conversation)
        for number in range(agents):
            for line in works.log(f"agent{number}.jsonl"):
                self._heard(self.conversations[line["customer"]], line)
        store = Store.open(works.store)
        try:
            self.sessions = [store.trajectory(row.id) for row in store.sessions()]
        finally:
            store.close()

    @staticmethod
    def _heard(conversation: Conversation, line: Mapping[str, Any]) -> None:
        if "reply" in line:
            conversation.replies.append(line["reply"])
        elif "tool" in line:
            conversation.tools.append(line)
        elif "left" in line:
            conversation.left.append(line["left"])
        else:
            conversation.failed += 1

    @cached_property
    def received(self) -> set[str]:
        """The ids of all answers that an agent had whole."""
        return {id for conversation in self.conversations.values() for id in conversation.replies}

    @cached_property
    def answered(self) -> dict[str, list[tuple[Trajectory, Call]]]:
        """The recorded turns by the id of the model's answer."""
        found: dict[str, list[tuple[Trajectory, Call]]] = defaultdict(list)
        for session in self.sessions:
            for call in session.calls:
                if call.status == "answered":
                    found[answer_id(call)].append((session, call))
        return found

    def exchange(self, id: str) -> str:
        """What was asked and said, by an answer's id."""
        line = self.model[id]
        return json.dumps([line["messages"], line["said"]], sort_keys=True)

    def unheard(self) -> list[str]:
        """Turns that were recorded as answered, and that no agent had whole."""
        return [id for id in self.answered if id not in self.received]

    def check_turns(self) -> None:
        """None is missing, none is there twice, and each is as the model said it."""
        missing = [id for id in self.received if id not in self.answered]
        assert not missing, missing
        doubled = [id for id, calls in self.answered.items() if len(calls) > 1]
        assert not doubled, doubled
        for id, [(session, call)] in self.answered.items():
            asked, said = self.model[id]["messages"], self.model[id]["said"]
            assert call.message is not None
            assert call.message.text == (said["content"] or "")
            assert [use.id for use in call.message.tool_uses] == ids_of(said)
            path = session.path(call.request)
            assert [node.message.role for node in path] == [message["role"] for message in asked]
            assert [node.message.text for node in path if node.message.role == "user"] == [
                message["content"] for message in asked if message["role"] == "user"
            ]

    def check_sessions(self) -> None:
        """Each conversation is one session, turn after turn, and each session is one conversation: what else is in it
        are answers that nobody had."""
        waiting = Counter(
            tuple(map(self.exchange, conversation.replies))
            for conversation in self.conversations.values()
            if conversation.replies
        )
        unheard = Counter(map(self.exchange, self.unheard()))
        for session in sorted(self.sessions, key=lambda session: -len(session.calls)):
            paths = self._paths(session)
            whole = max((path for path in paths.values() if waiting[path]), key=len, default=())
            waiting[whole] -= bool(whole)
            beside = Counter(path[-1] for path in paths.values() if path != whole[: len(path)])
            assert not beside - unheard, f"{session.id}: {short(beside - unheard)}"
            unheard -= beside
            for call in session.calls:
                if call.id in paths:
                    assert call.edge == (None if len(paths[call.id]) == 1 else "exact"), (session.id, call.id)
            assert {thread.name for thread in session.threads} <= {"main"}, session.id
        assert not +waiting, short(*(Counter(path) for path in +waiting))

    def _paths(self, session: Trajectory) -> dict[str, tuple[str, ...]]:
        """Of each turn, what was asked and said from the beginning to it, call by call."""
        paths: dict[str, tuple[str, ...]] = {}
        for call in session.calls:
            if call.status == "answered":
                paths[call.id] = (*paths.get(call.follows or "", ()), self.exchange(answer_id(call)))
        return paths

    def check_tools(self) -> None:
        """Each tool call is in its session, joined to what the model asked for, with what the agent was told; and the
        shop was asked for no other.

        Of the same call that several ask for at the same moment, nobody can say which is whose; nor where one of them
        is a reply that its agent never had, which the gateway cannot know. These are `astray`.
        """
        called = {(s.id, call.tool_use_id): call for s in self.sessions for call in s.tool_calls if call.tool_use_id}
        assert len(called) == sum(len(session.tool_calls) for session in self.sessions), self._unjoined()
        recorded = Counter(_result(vars_of(call), call.text) for call in called.values())
        asked = {use.id: session.id for session, call in self._turns() for use in _uses(call)}
        for told in self._told():
            if told["result"].startswith(LOST):
                continue
            recorded[_result(told, told["result"])] -= 1
            call = called.get((asked[told["call"]], told["call"]))
            if call is not None:
                assert (call.name, dict(call.arguments)) == (told["tool"], told["arguments"])
            self.astray += call is None or call.text != told["result"]
        assert all(count >= 0 for count in recorded.values()), -recorded
        booked, known = Counter(map(_key, self.booked)), Counter(_key(vars_of(call)) for call in called.values())
        lost = Counter(_key(told) for told in self._told() if told["result"].startswith(LOST))
        assert not booked - known - lost, booked - known - lost  # an intent is written while its call is made

    def _told(self) -> Iterable[Mapping[str, Any]]:
        return (told for conversation in self.conversations.values() for told in conversation.tools)

    def _turns(self) -> Iterable[tuple[Trajectory, Call]]:
        return (turn for turns in self.answered.values() for turn in turns)

    def _unjoined(self) -> list[tuple[str, str, Mapping[str, Any], str]]:
        return [
            (s.id, call.name, call.arguments, call.status)
            for s in self.sessions
            for call in s.tool_calls
            if not call.tool_use_id
        ]


def answer_id(call: Call) -> str:
    """The id that the model's server gave an answer."""
    return str(json.loads(call.response_envelope or b"{}").get("id"))


def ids_of(said: Mapping[str, Any]) -> list[str]:
    return [call["id"] for call in said.get("tool_calls") or ()]


def _uses(call: Call) -> Iterable[Any]:
    return call.message.tool_uses if call.message is not None else ()


def vars_of(call: ToolCall) -> dict[str, Any]:
    return {"tool": call.name, "arguments": call.arguments}


def _key(call: Mapping[str, Any]) -> str:
    return json.dumps([call["tool"], call["arguments"]], sort_keys=True)


def _result(call: Mapping[str, Any], text: str) -> str:
    return f"{_key(call)} {text}"


def short(*counters: Counter[str]) -> str:
    """The ends of what was asked and said, to be read."""
    return "\n--\n".join(" | ".join(exchange[-60:] for exchange in counter) for counter in counters)
