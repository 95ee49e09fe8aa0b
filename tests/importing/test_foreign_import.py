"""Files of other programs become sessions that can be looked at, scored and exported like any other."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.export.exported import export
from tests.importing.imported import PICTURE, take

from drawbar.errors import ConfigurationError
from drawbar.record.filter import where
from drawbar.record.store import Store
from drawbar.trajectory import Trajectory
from drawbar.wire.message import Media

GOLDEN = Path(__file__).parent / "golden"
FILES = ("sums.eval", "traces.jsonl", "trajectory.json")


def _sessions(store: Store) -> list[Trajectory]:
    return [store.trajectory(row.id) for row in store.select(where(""), newest_first=False)]


def _write(path: Path, *rows: object) -> Path:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def _roles(session: Trajectory) -> list[str]:
    return [message.role for message in session.messages]


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_program_adds_its_sessions_once(store: Store, name: str) -> None:
    first = take(store, GOLDEN / name)
    assert first.whole
    assert first.added > 0
    again = take(store, GOLDEN / name)
    assert (again.added, again.known) == (0, first.added)
    found = {finding.severity for session in _sessions(store) for finding in session.health}
    assert found <= {"note"}, "their health is good"


@pytest.mark.parametrize("name", FILES)
def test_a_file_under_another_name_brings_nothing_new(store: Store, tmp_path: Path, name: str) -> None:
    added = take(store, GOLDEN / name).added
    if name == "trajectory.json":
        shutil.copytree(GOLDEN / "images", tmp_path / "images")
    copy = shutil.copy(GOLDEN / name, tmp_path / "copied")
    assert take(store, Path(copy)).known == added


@pytest.mark.parametrize("name", FILES)
def test_tool_calls_have_both_their_sides(store: Store, name: str) -> None:
    take(store, GOLDEN / name)
    for session in _sessions(store):
        (call,) = session.tool_calls
        assert (call.name, call.arguments, call.text) == ("add", {"x": 2, "y": 3}, "5")
        assert (call.joined_by, call.seen) == ("id", "same")


@pytest.mark.parametrize("name", FILES)
def test_system_prompts_reasoning_pictures_and_tools_are_kept(store: Store, name: str) -> None:
    take(store, GOLDEN / name)
    session = _sessions(store)[-1]
    said = [node.message for node in session.nodes.values()]
    assert said[0].role == "system"
    assert said[0].text == "You add numbers."
    assert any(call.message is not None and call.message.reasoning for call in session.calls)
    assert any(isinstance(block, Media) for message in said for block in message.blocks)
    assert all(call.tools is not None for call in session.calls if call.thread is None)


def test_a_log_of_inspect_is_a_run_with_a_session_for_each_sample(store: Store) -> None:
    take(store, GOLDEN / "sums.eval")
    (run,) = store.runs()
    assert (run.environment, run.model, run.status, run.rollouts) == ("sums", "mockllm/model", "finished", 1)
    first, second = sorted(_sessions(store), key=lambda session: session.task.key if session.task else "")
    assert first.task is not None
    assert (first.task.prompt, first.task.answer, first.task.info) == ("What is 2 + 3?", "5", {"level": 1})
    assert [(score.name, score.weight) for score in first.scores] == [("includes", 1.0), ("match", 0.0)]
    assert (first.reward, second.reward) == (1.0, 0.0)
    assert _roles(first) == ["system", "user", "assistant", "tool", "assistant"]
    assert [call.prompt_tokens for call in first.calls] == [24, 30], "what was read from a cache is part of it"
    assert [call.cached_tokens for call in first.calls] == [4, None]
    assert first.calls[1].follows == first.calls[0].id
    assert first.metadata["imported"]["format"] == "inspect"
    assert first.metadata["level"] == 1


def test_a_log_without_events_is_read_from_its_messages(store: Store, tmp_path: Path) -> None:
    sample = {
        "id": 7, "epoch": 2, "input": "Hi?", "target": ["Ho"], "metadata": {},
        "scores": {"judge": {"value": {"a": 1, "b": "C"}}},
        "messages": [
            {"role": "user", "content": "Hi?", "source": "input"},
            {"role": "assistant", "content": [{"type": "text", "text": "attachment://x"}], "source": "generate"},
        ],
        "attachments": {"x": "Ho."}, "limit": {"type": "token", "limit": 9},
    }  # fmt: skip
    with zipfile.ZipFile(tmp_path / "old.eval", "w", zipfile.ZIP_DEFLATED) as log:
        log.writestr("header.json", orjson.dumps({"status": "error", "eval": {"task": "old", "eval_id": "e"}}))
        log.writestr("samples/7_epoch_2.json", orjson.dumps(sample))
        log.writestr("samples/8_epoch_2.json", b'{"id": 8, "messages": [')
    outcome = take(store, tmp_path / "old.eval")
    assert (outcome.added, outcome.damaged, outcome.refused[0].place) == (1, 1, "samples/8_epoch_2.json")
    (session,) = _sessions(store)
    assert session.completion == "Ho."
    assert (session.stop, session.rollout) == ("limit_tokens", 1)
    assert {score.name: score.value for score in session.scores} == {"judge/a": 1.0, "judge/b": 1.0}


def test_a_sample_of_an_early_log_has_a_transcript_and_one_score(store: Store, tmp_path: Path) -> None:
    said = {"role": "assistant", "content": "Ho."}
    event = {
        "event": "model", "model": "m", "input": [{"role": "user", "content": "attachment://x"}], "tools": [],
        "config": {"temperature": 0.5}, "output": {"choices": [{"message": said, "stop_reason": "max_tokens"}]},
    }  # fmt: skip
    transcript = {"events": [event], "content": {"x": "Hi?"}}
    sample = {"id": 1, "epoch": 1, "input": "Hi?", "transcript": transcript, "score": {"value": "nonsense"}}
    with zipfile.ZipFile(tmp_path / "early.eval", "w") as log:
        log.writestr("_journal/start.json", orjson.dumps({"eval": {"task": "old", "run_id": "e"}}))
        log.writestr("samples/1_epoch_1.json", orjson.dumps(sample))
    assert take(store, tmp_path / "early.eval").added == 1
    (session,) = _sessions(store)
    assert [message.text for message in session.messages] == ["Hi?", "Ho."]
    assert session.calls[0].finish == "length"
    (score,) = session.scores
    assert (score.value, score.error) == (None, "its value is no number: nonsense")


def test_a_log_whose_end_is_missing_says_so(store: Store, tmp_path: Path) -> None:
    (tmp_path / "cut.eval").write_bytes((GOLDEN / "sums.eval").read_bytes()[:3000])
    outcome = take(store, tmp_path / "cut.eval")
    assert (outcome.added, outcome.damaged) == (0, 1)
    assert "end may be missing" in outcome.refused[0].why


def test_traces_of_verifiers_keep_their_graph_tokens_and_rewards(store: Store) -> None:
    outcome = take(store, GOLDEN / "traces.jsonl")
    assert outcome.losses.to_json() == {"model calls without a message": {"times": 2, "conversations": 2}}
    first, second = sorted(_sessions(store), key=lambda session: str(session.metadata["imported"]["id"]))
    assert len(list(first.branches)) == 2
    tokens = first.calls[0].tokens
    assert tokens is not None
    assert (tokens.prompt_token_ids, tokens.token_ids, tokens.logprobs) == ((1, 2, 3, 4, 5), (6, 7), (-0.5, -0.25))
    assert [call.prompt_tokens for call in first.calls] == [5, 8, 5]
    assert {score.name: (score.value, score.weight) for score in first.scores} == {
        "exact": (1.0, 2.0), "style": (None, 1.0), "length": (8.0, 0.0),
    }  # fmt: skip
    assert first.task is not None
    assert (first.task.prompt, first.task.answer, first.task.system) == ("What is 2 + 3?", "5", "You add numbers.")
    assert (first.environment, first.rollout, second.rollout) == ("sums", 0, 1)
    assert first.run == second.run == store.runs()[0].id


def test_results_of_earlier_verifiers_are_read_too(store: Store, tmp_path: Path) -> None:
    row = {
        "example_id": 3, "prompt": [{"role": "user", "content": "2 + 3?"}], "answer": "5", "task": "sums",
        "reward": 0.5,
        "completion": [
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "5"},
            {"role": "assistant", "content": "5."},
        ],
        "metrics": {"turns": 2.0},
    }  # fmt: skip
    assert take(store, _write(tmp_path / "results.jsonl", row)).formats == {}
    (session,) = _sessions(store)
    assert (session.reward, len(session.calls), len(session.tool_calls)) == (0.5, 2, 1)
    assert session.task is not None
    assert (session.task.key, session.task.answer) == ("3", "5")


def test_a_trajectory_keeps_its_sub_agents_pictures_and_token_ids(store: Store) -> None:
    take(store, GOLDEN / "trajectory.json")
    (session,) = _sessions(store)
    assert [thread.kind for thread in session.threads] == ["main", "sub_agent"]
    assert (session.harness, session.model, session.cost) == ("terminus", "m", 0.01)
    urls = [block.url for message in session.messages for block in message.blocks if isinstance(block, Media)]
    assert [url.partition(",")[0] for url in urls] == ["data:image/png;base64"]
    tokens = session.calls[0].tokens
    assert tokens is not None
    assert tokens.token_ids == (6, 7)
    assert session.metadata["imported"]["version"] == "ATIF-v1.8"
    assert session.metadata["team"] == "blue"


def test_pictures_outside_a_trajectory_s_folder_are_not_read(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    value = orjson.loads((GOLDEN / "trajectory.json").read_bytes().replace(b"images/a.png", b"../secret.png"))
    outcome = take(store, _write(folder / "a.json", value))
    assert outcome.losses.to_json() == {
        "pictures and sounds whose files are not there": {"times": 1, "conversations": 1}
    }


def test_an_observation_without_a_call_is_what_the_user_said(store: Store, tmp_path: Path) -> None:
    value = {
        "schema_version": "ATIF-v1.2", "session_id": "s", "agent": {"name": "terminus", "version": "1"},
        "steps": [
            {"step_id": 1, "source": "user", "message": "List them."},
            {"step_id": 2, "source": "agent", "message": "ls", "is_copied_context": True},
            {"step_id": 3, "source": "agent", "message": "ls", "observation": {"results": [{"content": "a.txt"}]}},
            {"step_id": 4, "source": "agent", "message": "a.txt"},
        ],
    }  # fmt: skip
    take(store, _write(tmp_path / "a.jsonl", value))
    (session,) = _sessions(store)
    assert _roles(session) == ["user", "assistant", "assistant", "user", "assistant"]
    assert len(session.calls) == 2, "what was copied from another trajectory is only read"


def test_chat_files_are_a_conversation_on_each_line(store: Store, tmp_path: Path) -> None:
    asks = {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"x": 2}'}}]}  # fmt: skip
    asked = {"role": "user", "content": [{"type": "text", "text": "What is it?"}, PICTURE]}
    full: dict[str, Any] = {
        "messages": [{"role": "system", "content": "Be brief."}, asked, asks,
                     {"role": "tool", "tool_call_id": "c", "content": "5"}, {"role": "assistant", "content": "5."}],
        "tools": [{"type": "function", "function": {"name": "add", "parameters": {}}}], "parallel_tool_calls": False,
    }  # fmt: skip
    unsaid = {"role": "assistant", "content": "A draft.", "weight": 0}
    read = {"messages": [{"role": "user", "content": "Hi?"}, unsaid, {"role": "assistant", "content": "Hello."}]}
    nobody = {"messages": [{"role": "user", "content": "Hi?"}]}
    outcome = take(store, _write(tmp_path / "a.jsonl", full, {**read, "mood": "good"}, full, nobody))
    assert (outcome.added, outcome.known, outcome.damaged) == (2, 1, 1)
    assert outcome.refused[0].place == "line 4"
    assert list(outcome.losses.to_json()) == ["the field `mood`"]
    rows, tally = export(store, "openai")
    assert [tally.trained, tally.messages] == [3, 8]
    assert full | {"messages": [*full["messages"][:2], {k: v for k, v in asks.items() if k != "reasoning_content"},
                                *full["messages"][3:]]} in rows  # fmt: skip
    assert read in rows


def test_imported_sessions_can_be_exported_for_training(store: Store) -> None:
    for name in FILES:
        take(store, GOLDEN / name)
    rows, tally = export(store, "openai", waived=frozenset({"invalid_rollout"}))
    assert tally.sessions == len(rows) == 5
    assert all(row["tools"][0]["function"]["name"] == "add" for row in rows)
    _, tally = export(store, "openai")
    assert tally.fallen == {"invalid_rollout": 2}, "a weighted score of theirs has no value"


def test_a_file_of_no_known_format_names_those_that_are(store: Store, tmp_path: Path) -> None:
    for content in (b"name,value\n1,2\n", b"", b'{"rows": []}\n', b"PK\x03\x04 not a log"):
        (tmp_path / "a.bin").write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"no format.*raw, inspect, verifiers, atif, chat"):
            take(store, tmp_path / "a.bin")


@pytest.mark.parametrize(
    "row",
    [
        {"schema_version": "ATIF-v1.8", "agent": {}, "steps": [{"source": "agent"}, 5]},
        {"id": "e", "task": {}, "traces": [{"nodes": [{"parent": 0, "message": {"role": "user"}, "sampled": True}]}]},
        {"id": "e", "task": {}, "traces": [7]},
        {"messages": [{"role": "assistant", "tool_calls": 7}]},
        {"messages": [{"role": "assistant", "content": {"a": 1}}]},
    ],
)
def test_nonsense_is_told_and_what_follows_it_is_read(store: Store, tmp_path: Path, row: object) -> None:
    good = orjson.loads((GOLDEN / "trajectory.json").read_bytes()) if "steps" in row else None  # type: ignore[operator]
    if "traces" in row:  # type: ignore[operator]
        good = orjson.loads((GOLDEN / "traces.jsonl").read_bytes().splitlines()[0])
    good = good or {"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}]}
    outcome = take(store, _write(tmp_path / "a.jsonl", row, good))
    assert outcome.sessions >= 1
    assert outcome.damaged + outcome.added == 2
