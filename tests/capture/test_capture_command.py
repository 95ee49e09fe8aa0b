"""`drawbar capture`: what it refuses, what it leaves out, and how its folder comes and goes."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.capture.conftest import Office, document, tasks
from tests.cli.conftest import Ended

from drawbar.capture.spool import Spool
from drawbar.record.rows import CallRow, SessionRow
from drawbar.record.store import Store

Drawbar = Callable[..., Ended]
Record = Callable[..., Any]


@pytest.fixture
def recorded(record: Record) -> str:
    """A session in which an order was asked for; its id."""

    async def work(office: Office) -> str:
        await office.agent().say("Where is order 7?")
        return await office.end()

    session: str = record(work)
    return session


def files(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_the_manifest_says_what_it_was_made_of(drawbar: Drawbar, recorded: str) -> None:
    captured = drawbar("capture", "desk", "-o", "env", "--where", "model = desk", "--seed", "3", "--json")
    assert captured.json == {
        "name": "desk", "folder": "env", "sessions": 1, "left_out": {}, "tasks": 1, "merged": 0, "answers": {},
        "with_user_turns": 0, "tools": 1, "calls": 1, "reconstructed_calls": 1,
    }  # fmt: skip
    manifest = document("env", "manifest.json")
    assert (manifest["query"], manifest["seed"], manifest["sessions"]) == ("model = desk", 3, [recorded])
    assert manifest["counts"]["tasks"] == 1
    written = files("env")
    assert set(manifest["files"]) == set(written) - {"manifest.json"}
    for name, told in manifest["files"].items():
        assert told == {"sha256": sha256(written[name]).hexdigest(), "bytes": len(written[name])}


def test_the_same_sessions_give_the_same_files(drawbar: Drawbar, recorded: str) -> None:
    for folder in ("one", "two"):
        Path(folder).mkdir()  # an empty folder may be there
        assert drawbar("capture", "desk", "-o", f"{folder}/env").status == 0
    one, two = document("one/env", "manifest.json"), document("two/env", "manifest.json")
    assert one["files"].pop("README.md") != two["files"].pop("README.md")  # it names its folder
    assert one["files"] == two["files"]


def test_nothing_is_written_over(drawbar: Drawbar, recorded: str) -> None:
    assert drawbar("capture", "desk", "-o", "env").status == 0
    again = drawbar("capture", "desk", "-o", "env")
    assert again.status == 2
    assert "is not empty. Take another name, or --force" in again.err
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years of work")
    forced = drawbar("capture", "desk", "-o", "mine", "--force")
    assert forced.status == 2
    assert "is no captured environment: --force replaces only those" in forced.err
    assert files("mine") == {"thesis.txt": b"years of work"}


def test_a_rubric_that_somebody_has_edited_stays_when_it_is_captured_again(drawbar: Drawbar, recorded: str) -> None:
    assert drawbar("capture", "desk", "-o", "env").status == 0
    rubric = Path("env/rubric.py")
    rubric.write_text(rubric.read_text() + "\n# mine\n")
    Path("env/left.txt").write_text("of before")
    assert drawbar("capture", "other", "-o", "env", "--force").status == 0
    assert rubric.read_text().endswith("# mine\n")
    assert 'name = "other"' in Path("env/environment.toml").read_text()
    assert not Path("env/left.txt").exists()
    told = document("env", "manifest.json")["files"]["rubric.py"]
    assert told["sha256"] != sha256(rubric.read_bytes()).hexdigest()  # so that it stays the next time too
    assert drawbar("capture", "other", "-o", "env", "--force").status == 0
    assert rubric.read_text().endswith("# mine\n")


def test_a_full_disk_leaves_nothing_and_what_was_there_stays(
    drawbar: Drawbar, recorded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert drawbar("capture", "desk", "-o", "env").status == 0
    before, around = files("env"), sorted(path.name for path in Path().iterdir())

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("drawbar.capture.folder.write", full)
    failed = drawbar("capture", "desk", "-o", "env", "--force")
    assert (failed.status, files("env")) == (2, before)
    assert "cannot be written: No space left on device. Nothing is left of it." in failed.err
    assert drawbar("capture", "desk", "-o", "new").status == 2
    assert sorted(path.name for path in Path().iterdir()) == around
    monkeypatch.setattr(Spool, "add", full)
    assert "Recorded calls cannot be kept for the while" in drawbar("capture", "desk", "-o", "new").err


def test_a_dry_run_says_what_would_be_captured_and_writes_nothing(drawbar: Drawbar, recorded: str) -> None:
    told = drawbar("capture", "desk", "-o", "env", "--dry-run")
    assert told.out.startswith("1 task and 1 tool call would be captured of 1 session.\n")
    assert "Run it" not in told.out
    assert drawbar("capture", "desk", "-o", "env", "--dry-run", "--json").json["folder"] is None
    assert not Path("env").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Desk!"], "lower-case letters"),
        (["desk", "--mode", "strickt"], "Did you mean 'strict'"),
        (["desk", "--mode", "fall-through"], "needs a live server"),
        (["desk", "--where", "model = none"], "No session meets `model = none`"),
        (["desk", "--where", "modle = x"], "Did you mean"),
        (["desk", "--env", "none.py"], "none.py"),
    ],
)
def test_a_mistake_is_told_before_anything_is_read(
    drawbar: Drawbar, recorded: str, arguments: list[str], said: str
) -> None:
    ended = drawbar("capture", *arguments, "-o", "env")
    assert ended.status == 2
    assert said in " ".join(ended.err.split())
    assert not Path("env").exists()


def test_sessions_that_are_no_examples_are_left_out_and_counted_by_reason(drawbar: Drawbar, record: Record) -> None:
    async def work(office: Office) -> None:
        agent = office.agent()
        await agent.say("Where is order 7?")
        await office.end()
        cut = office.agent()
        cut.said.append({"role": "user", "content": "Where is order 8?"})
        await cut.ask(cut.said)  # it asked for a tool, and that was that
        await office.end()
        await office.agent().say("Where is order 9?")  # still under way

    record(work)
    captured = drawbar("capture", "desk", "-o", "env", "--json")
    assert (captured.json["tasks"], captured.json["left_out"]) == (1, {"no answer": 1, "still under way": 1})
    readme = Path("env/README.md").read_text()
    assert "| no answer | 1 | ses_" in readme
    everything = drawbar("capture", "desk", "-o", "all", "--all", "--json").json
    assert (everything["tasks"], everything["left_out"]) == (3, {})
    assert [task["prompt"] for task in tasks("all")] == [f"Where is order {number}?" for number in (7, 8, 9)]


def test_when_no_session_can_become_a_task_it_says_why(drawbar: Drawbar, record: Record) -> None:
    async def work(office: Office) -> None:
        await office.agent().say("Where is order 9?")

    record(work)
    refused = drawbar("capture", "desk", "-o", "env")
    assert refused.status == 2
    assert "None of 1 session can become a task: still under way (1). --all takes those" in refused.err


def test_defects_and_requests_without_an_answer_leave_a_session_out(drawbar: Drawbar, recorded: str) -> None:
    store = Store.open("drawbar.db")
    row = store.session(recorded)
    (first, second) = store.trajectory(recorded).calls
    assert row is not None
    for id, status in (("ses_failed", "failed"), ("ses_lost", "answered")):
        store.write(
            [
                SessionRow(id=id, started=row.started + 1, ended=row.started + 2, status="ended"),
                CallRow(id=f"{id}_1", session=id, seq=0, dialect="chat", path="/", model="desk", request=first.request,
                        reply=second.reply if status == "answered" else None, status=status, started=row.started + 1),
                *([CallRow(id=f"{id}_2", session=id, seq=1, dialect="chat", path="/", model="desk",
                           request=second.request, reply=None, status="answered", started=row.started + 2)]
                  if status == "answered" else []),
            ]
        )  # fmt: skip
    store.close()
    left = drawbar("capture", "desk", "-o", "env", "--json").json["left_out"]
    assert left == {"its last request was not answered": 1, "defect: missing_reply": 1}


def test_servers_that_are_asked_say_which_of_their_tools_only_read(drawbar: Drawbar, record: Record) -> None:
    Path("shop.py").write_text(
        """
from drawbar import Environment
from mcp.server import MCPServer
from mcp.types import ToolAnnotations


async def look_up(order: int) -> str:
    return ""


def server() -> MCPServer:
    made = MCPServer("shop")
    made.add_tool(look_up, description="The shop's own words.", annotations=ToolAnnotations(read_only_hint=True))
    return made


from drawbar import PythonServer

environment = Environment(name="shop", servers={"shop": PythonServer(server=server)})
"""
    )

    async def work(office: Office) -> None:
        await office.agent(through_gateway=True).say("Where is order 7?")
        await office.end()

    record(work)
    assert drawbar("capture", "desk", "-o", "env", "--env", "shop.py").status == 0
    (tool,) = document("env", "tools.json")["shop"]["tools"]
    assert (tool["description"], tool["schema_from"]) == ("The shop's own words.", "server")
    (line,) = [json.loads(line) for line in Path("env/cassette.jsonl").read_text().splitlines()[1:]]
    assert line["write"] is False


def test_settings_of_the_cassette_the_judge_and_the_user_are_in_the_environment(
    drawbar: Drawbar, record: Record
) -> None:
    async def work(office: Office) -> None:
        agent = office.agent()
        await agent.say("Where is order 7?")
        await agent.say("Thanks.")
        await office.end()

    record(work)
    captured = drawbar(
        "capture", "desk", "-o", "env", "--mode", "nearest", "--ignore", "**.at", "--read-only", "look_*",
        "--max-misses", "2", "--judge-model", "gpt-5-mini", "--user-model", "gpt-5-nano",
    )  # fmt: skip
    assert captured.status == 0, captured.err
    assert captured.out.endswith("drawbar run env --model MODEL\n")
    shown = drawbar("env", "show", "env", "--json").json
    assert shown["judge"] == "gpt-5-mini"
    written = Path("env/environment.toml").read_text()
    for line in ('mode = "nearest"', 'ignore = ["**.at"]', 'read_only = ["look_*"]', "max_misses = 2",
                 'mode = "model"\nmodel = "gpt-5-nano"'):  # fmt: skip
        assert line in written
    recording = json.loads(Path("env/cassette.jsonl").read_text().splitlines()[1])
    assert recording["write"] is False
