"""The conversations of one session, told apart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from drawbar.sessions import Session
from drawbar.threads import Thread

if TYPE_CHECKING:
    from tests.proxy.conftest import House, Provider

Messages = list[dict[str, Any]]
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("task", "look")
]
PROMPT = "Find out which river flows through Ghent."
SUMMARY = "The user asked about rivers.\nThe Lys flows through Ghent, it was found.\nNothing else is left."


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def uses(*calls: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "role": "assistant", "content": None,
        "tool_calls": [
            {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for id, name, arguments in calls
        ],
    }  # fmt: skip


def result(id: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": text}


class Work:
    """A session in which an agent says what it likes, and is answered what it likes."""

    def __init__(self, house: House, provider: Provider, session: Session) -> None:
        self.house, self.session = house, session
        self.next: dict[str, Any] = {}
        self.status = 200

        async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            completion = provider.completion("")
            completion["choices"][0]["message"] = self.next
            return web.json_response(completion, status=self.status)

        provider.answer = answer

    async def call(
        self, messages: Messages, reply: dict[str, Any] | str, *, tools: bool = True, **headers: Any
    ) -> Messages:
        """One call; the conversation with its reply."""
        self.next = {"role": "assistant", "content": reply} if isinstance(reply, str) else reply
        body = {"model": "m", "messages": messages, **({"tools": TOOLS} if tools else {})}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.house.post(self.session, body, headers=named)
        assert response.status == self.status
        return [*messages, self.next]

    async def threads(self) -> list[Thread]:
        return list((await self.house.trajectory(self.session)).threads)

    async def told(self) -> list[tuple[str, list[int], str | None]]:
        """Of each thread its name, the positions of its calls, and whose it is."""
        return [(t.name, [call.seq for call in t.calls], t.parent) for t in await self.threads()]


@pytest.fixture
async def work(house: House, provider: Provider) -> Work:
    return Work(house, provider, await house.session())


async def test_one_conversation_is_the_main_thread(work: Work) -> None:
    said = await work.call([user("hi")], "hello")
    await work.call([*said, user("bye")], "so long")
    assert await work.told() == [("main", [0, 1], None)]


async def test_a_call_without_tools_beside_an_agent_with_tools_is_aside(work: Work) -> None:
    await work.call([user("Give this conversation a title: hi")], "Greetings", tools=False)
    said = await work.call([user("hi")], "hello")
    await work.call([*said, user("bye")], "so long")
    assert await work.told() == [("main", [1, 2], None), ("side call 1", [0], None)]
    assert (await work.house.trajectory(work.session)).completion == "so long"


async def test_a_last_answer_that_offers_no_tools_any_more_stays_in_its_conversation(work: Work) -> None:
    said = await work.call([user("hi")], "hello")
    await work.call([*said, user("now sum up")], "so it was", tools=False)
    assert await work.told() == [("main", [0, 1], None)]


async def test_a_question_aside_about_a_conversation_that_goes_on_is_told_apart(work: Work) -> None:
    said = await work.call([user("hi")], "hello")
    await work.call([*said, user("is the user content?")], "yes", tools=False)
    await work.call([*said, user("bye")], "so long")
    assert await work.told() == [("main", [0, 2], None), ("side call 1", [1], "main")]
    assert (await work.house.trajectory(work.session)).completion == "so long"


async def test_a_sub_agent_is_joined_to_the_tool_call_whose_words_it_begins_with(work: Work) -> None:
    said = await work.call([user("rivers!")], uses(("c1", "task", {"prompt": PROMPT}), ("c2", "look", {"at": "map"})))
    sub = await work.call([user(f"<reminder>be brief</reminder>\n{PROMPT}")], uses(("c3", "look", {"at": "Ghent"})))
    await work.call([*sub, result("c3", "a river")], "The Lys.")
    await work.call([*said, result("c1", "The Lys."), result("c2", "a map")], "It is the Lys.")
    main, agent = await work.threads()
    assert ([call.seq for call in main.calls], [call.seq for call in agent.calls]) == ([0, 3], [1, 2])
    assert (agent.kind, agent.name, agent.parent, agent.tool_use_id) == ("sub_agent", "sub-agent 1", "main", "c1")
    trajectory = await work.house.trajectory(work.session)
    assert trajectory.completion == "It is the Lys."
    assert "several_roots" not in {finding.name for finding in trajectory.health}


async def test_sub_agents_that_begin_alike_are_joined_to_one_tool_call_each(work: Work) -> None:
    await work.call([user("rivers!")], uses(("c1", "task", {"prompt": PROMPT}), ("c2", "task", {"prompt": PROMPT})))
    for name in ("one", "two"):
        headers: dict[str, Any] = {"x_claude_code_session_id": "s", "x_claude_code_agent_id": name}
        await work.call([user(PROMPT)], "The Lys.", **headers)
    agents = [thread for thread in await work.threads() if thread.kind == "sub_agent"]
    assert [thread.parent for thread in agents] == ["main", "main"]
    assert {thread.tool_use_id for thread in agents} == {"c1", "c2"}


async def test_a_result_that_names_a_sub_agent_tells_which_of_two_tool_calls_started_it(work: Work) -> None:
    """opencode's ways: results begin with the session of the sub-agent, and parallel ones begin in any order."""
    said = await work.call([user("go")], uses(("c1", "task", {"prompt": PROMPT}), ("c2", "task", {"prompt": PROMPT})))
    for name in ("ses_two", "ses_one"):
        named: dict[str, Any] = {"user_agent": "opencode/1", "x_session_id": name, "x_parent_session_id": "ses_main"}
        await work.call([user(PROMPT)], "The Lys.", **named)
    results = [result("c1", '<task id="ses_one">The Lys.</task>'), result("c2", '<task id="ses_two">The Lys.</task>')]
    await work.call([*said, *results], "It is the Lys.")
    agents = {thread.calls[0].thread: thread for thread in await work.threads() if thread.kind == "sub_agent"}
    assert {name: thread.tool_use_id for name, thread in agents.items()} == {"ses_one": "c1", "ses_two": "c2"}


async def test_threads_that_the_agent_names_are_kept_apart_whatever_they_say(work: Work) -> None:
    def names(agent: str, parent: str | None = None) -> dict[str, Any]:
        more = {"x_claude_code_parent_agent_id": parent} if parent is not None else {}
        return {"x_claude_code_session_id": "s", "x_claude_code_agent_id": agent, **more}

    await work.call([user("hi")], "hello")
    await work.call([user("hi")], "hello", **names("one"))
    await work.call([user("hi")], "hello", **names("two", parent="one"))
    said = await work.call([user("hi")], "hello", **names("one"))
    await work.call([*said, user("bye")], "so long", **names("one"))
    assert await work.told() == [
        ("main", [0], None), ("sub-agent 1", [1, 3, 4], "main"), ("sub-agent 2", [2], "sub-agent 1"),
    ]  # fmt: skip


async def test_a_compaction_is_told_apart_and_the_conversation_goes_on_after_it(work: Work) -> None:
    said = await work.call([user("hi")], "hello")
    said = await work.call([*said, user("rivers?")], "The Lys.")
    await work.call([*said, user("Summarise this conversation.")], SUMMARY)
    said = await work.call([user(f"This goes on from earlier work.\n<summary>{SUMMARY}</summary>")], "Ready.")
    await work.call([*said, user("bye")], "so long")
    assert await work.told() == [("main", [0, 1, 3, 4], None), ("compaction 1", [2], "main")]
    trajectory = await work.house.trajectory(work.session)
    assert trajectory.completion == "so long"
    assert "several_roots" not in {finding.name for finding in trajectory.health}


async def test_a_compaction_that_its_agent_names_is_believed(work: Work) -> None:
    turn: dict[str, Any] = {
        "x_codex_turn_metadata": json.dumps({"request_kind": "compaction"}),
        "session_id": "s",
        "thread_id": "s",
    }
    said = await work.call([user("hi")], "hello")
    await work.call([*said, user("hand over")], "It said hello.", **turn)
    await work.call([user("Another model worked on this. It said hello.")], "so long")
    assert [name for name, _, _ in await work.told()] == ["main", "compaction 1"]
    assert (await work.told())[0][1] == [0, 2]


async def test_a_history_that_was_made_shorter_is_not_written_anew(work: Work) -> None:
    """Codex' ways: what its user said stays, the summary takes the place of all the rest."""
    turn: dict[str, Any] = {
        "x_codex_turn_metadata": json.dumps({"request_kind": "compaction"}),
        "session_id": "s",
        "thread_id": "s",
    }
    said = await work.call([user("rivers?")], uses(("c1", "look", {"at": "Ghent"})))
    await work.call([*said, result("c1", "a river"), user("Create a handoff summary.")], SUMMARY, **turn)
    said = await work.call([user("rivers?"), user(f"Another model began this work. {SUMMARY}")], "The Lys.")
    await work.call([*said, user("bye")], "so long")
    assert await work.told() == [("main", [0, 2, 3], None), ("compaction 1", [1], "main")]
    assert not (await work.house.trajectory(work.session)).health


async def test_a_summary_that_takes_the_model_s_place_in_a_new_beginning_is_a_compaction(work: Work) -> None:
    """opencode's ways: another model sums up, and the conversation begins anew with that as its answer."""
    said = await work.call([user("rivers?")], uses(("c1", "look", {"at": "Ghent"})))
    await work.call([*said, result("c1", "a river")], "The Lys.")
    await work.call([user(f"<conversation>{PROMPT}</conversation> Sum up.")], SUMMARY, tools=False)
    summary = {"role": "assistant", "content": SUMMARY}
    anew = [user("What did we do so far?"), summary, {"role": "assistant", "content": "The Lys."}, user("Continue.")]
    said = await work.call(anew, "That is all there is to say of rivers.")
    await work.call([*said, user("bye")], "so long")
    assert await work.told() == [("main", [0, 1, 3, 4], None), ("compaction 1", [2], "main")]
    assert not (await work.house.trajectory(work.session)).health


async def test_a_fork_is_joined_to_the_tool_call_that_it_goes_on_from(work: Work) -> None:
    """Claude Code's ways: the sub-agent has its parent's conversation, and its task after it."""
    said = await work.call([user("rivers!")], uses(("c1", "task", {"prompt": PROMPT})))
    fork = [*said, result("c1", "That fork is you."), user(f"Your directive: {PROMPT}")]
    await work.call(fork, "The Lys.", x_claude_code_session_id="s", x_claude_code_agent_id="one")
    await work.call([*said, result("c1", "The Lys.")], "It is the Lys.")
    main, agent = await work.threads()
    assert [call.seq for call in main.calls] == [0, 2]
    assert (agent.name, agent.parent, agent.tool_use_id) == ("sub-agent 1", "main", "c1")


async def test_a_history_that_was_written_anew_is_the_same_conversation(work: Work) -> None:
    said = await work.call([user("a long enough question")], "a long enough answer")
    await work.call([*said, user("b")], "b!")
    await work.call([user("[resumed] a long enough question"), *said[1:], user("c")], "c!")
    assert await work.told() == [("main", [0, 1, 2], None)]


async def test_a_first_request_that_failed_and_was_sent_again_is_one_conversation(work: Work) -> None:
    for work.status in (400, 200, 200):
        await work.call([user("hi")], "hello")
    assert await work.told() == [("main", [0, 1, 2], None)]


async def test_conversations_that_have_nothing_to_do_with_each_other_are_both_shown(work: Work) -> None:
    await work.call([user("hi")], "hello")
    await work.call([user("another thing")], "sure")
    assert await work.told() == [("main", [0], None), ("conversation 2", [1], None)]
    assert "several_roots" in {finding.name for finding in (await work.house.trajectory(work.session)).health}
