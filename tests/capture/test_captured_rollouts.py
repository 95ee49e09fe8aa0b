"""Rollouts become an environment as live sessions do; and tasks of several conversations at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.capture.conftest import LOOK_UP, Office, document, tasks
from tests.cli.conftest import Ended

from drawbar.record.rows import SessionRow
from drawbar.record.store import Store

Drawbar = Callable[..., Ended]
Record = Callable[..., Any]


def test_a_rollout_keeps_its_tasks_prompt_and_answer(drawbar: Drawbar) -> None:
    assert drawbar("run", "quiz.py", "-q").status == 0
    captured = drawbar("capture", "again", "-o", "env", "--where", "reward = 1")
    assert captured.status == 0, captured.err
    first, second = tasks("env")
    assert (first["prompt"], first["answer"], first["info"]["answer_source"]) == ("Question 1", "yes", "task")
    assert first["key"].startswith("q1-")
    assert second["info"]["reward"] == 1.0
    assert document("env", "tools.json")["quiz"]["reconstructed"] is False
    lines = [json.loads(line) for line in Path("env/cassette.jsonl").read_text().splitlines()[1:]]
    assert [line["task"] for line in lines] == [first["key"], second["key"]]


def test_rollouts_of_one_task_are_a_family_and_attempts_that_were_given_up_are_left_out(drawbar: Drawbar) -> None:
    assert drawbar("run", "quiz.py", "-r", "2", "-n", "1", "-q").status == 0
    store = Store.open("drawbar.db")
    rows = store.sessions()
    store.write([SessionRow(**{**fields(row), "attempt": 1}) for row in rows[:1]])
    store.write([SessionRow(**{**fields(rows[0]), "id": "ses_given_up", "started": 1.0})])
    store.close()
    captured = drawbar("capture", "again", "-o", "env", "--near", "0", "--json").json
    assert (captured["tasks"], captured["left_out"]) == (2, {"its model was not asked": 1})
    assert {task["info"]["family"] for task in tasks("env")} == {"task quiz q0"}


def fields(row: SessionRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


def test_sessions_that_continue_one_another_are_a_family(drawbar: Drawbar, record: Record) -> None:
    async def work(office: Office) -> str:
        agent = office.agent()
        await agent.say("Where is order 7?")
        first = await office.end()
        await agent.say("And order 8?")
        await office.end()
        return first

    first = record(work)
    assert drawbar("capture", "desk", "-o", "env").status == 0
    one, two = tasks("env")
    assert (one["info"]["family"], two["info"]["family"]) == (first, first)
    assert [message["role"] for message in two["prompt"]] == ["user", "assistant", "tool", "assistant", "user"]


def test_a_compaction_is_no_turn_of_the_user(drawbar: Drawbar, record: Record) -> None:
    async def work(office: Office) -> None:
        agent = office.agent()
        await agent.say("Where is order 7?")
        summarize = [*agent.said, {"role": "user", "content": "Sum this up."}]
        reply = await agent.ask(summarize, tools=[], model="summary")
        agent.said[1:] = [{"role": "user", "content": f"So far: {reply['content']}"}]
        await agent.say("And order 8?")
        await office.end()

    record(work)
    assert drawbar("capture", "desk", "-o", "env").status == 0
    (task,) = tasks("env")
    assert (task["prompt"], task["user_turns"]) == ("Where is order 7?", ["And order 8?"])


def test_a_sub_agents_tool_calls_are_in_the_cassette_and_its_request_is_no_task(
    drawbar: Drawbar, record: Record
) -> None:
    async def work(office: Office) -> None:
        agent = office.agent(offered=[DELEGATE])
        agent.said.append({"role": "user", "content": "Find my parcel, please."})
        asked = await agent.ask(agent.said, model="boss")
        helper = office.agent(said=[{"role": "system", "content": "You are a helper."}], offered=[LOOK_UP])
        found = await helper.say(json.loads(asked["tool_calls"][0]["function"]["arguments"])["job"])
        agent.said += [asked, {"role": "tool", "tool_call_id": asked["tool_calls"][0]["id"], "content": found}]
        agent.said.append(await agent.ask(agent.said, model="boss"))
        await office.end()

    record(work)
    assert drawbar("capture", "desk", "-o", "env", "--where", "").status == 0
    (task,) = tasks("env")
    assert task["prompt"] == "Find my parcel, please."
    assert task["info"]["tools"] == {"agent.delegate": 1, "agent.look_up": 1}
    found = document("env", "tools.json")["agent"]["tools"]
    assert [tool["name"] for tool in found] == ["delegate", "look_up"]


DELEGATE = {
    "type": "function",
    "function": {
        "name": "delegate",
        "description": "Let a helper do it.",
        "parameters": {"type": "object", "properties": {"job": {"type": "string"}}},
    },
}
