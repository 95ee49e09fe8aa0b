"""What trace viewers and other frameworks are given of the same session, told in each dialect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec.structs import replace
from tests.export.exported import export
from tests.export.stories import (
    ANSWER,
    LOOKS_UP,
    PICTURE,
    QUESTION,
    SCHEMA,
    SYSTEM,
    THOUGHT,
    TOLD,
    Story,
    answers,
    chat,
    plain_story,
    says,
    shows,
    tell,
)
from tests.importing.imported import export_raw, take

from drawbar.errors import ConfigurationError
from drawbar.export.format import format_named
from drawbar.export.manifest import differences, path_of
from drawbar.export.writing import target
from drawbar.record.filter import where
from drawbar.record.store import Store
from drawbar.trajectory import Trajectory
from drawbar.wire.message import Media

Told = Callable[..., str]
URL = f"data:image/png;base64,{PICTURE}"
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}


@pytest.mark.parametrize("dialect", TOLD)
def test_atif_has_a_step_for_each_turn_and_results_where_they_were_asked_for(
    store: Store, told: Told, dialect: str
) -> None:
    session = told(dialect, harness="loop")
    [row], tally = export(store, "atif")
    assert (row["schema_version"], row["session_id"]) == ("ATIF-v1.8", session)
    assert (row["agent"]["name"], row["agent"]["tool_definitions"]) == ("loop", [TOOL])
    steps = row["steps"]
    assert [(step["step_id"], step["source"]) for step in steps] == [
        (1, "system"), (2, "user"), (3, "agent"), (4, "agent"),
    ]  # fmt: skip
    assert (steps[0]["message"], steps[3]["message"]) == (SYSTEM, ANSWER)
    picture = {"type": "image", "source": {"media_type": "image/png", "path": URL}}
    assert steps[1]["message"] == [{"type": "text", "text": QUESTION}, picture]
    asked = [(use["tool_call_id"], use["function_name"], use["arguments"]) for use in steps[2]["tool_calls"]]
    assert asked == [(id, "look_up", given) for id, given, _ in LOOKS_UP]
    shown = [(result["source_call_id"], result["content"]) for result in steps[2]["observation"]["results"]]
    assert shown == [(id, words) for id, _, words in LOOKS_UP]
    assert steps[2]["reasoning_content"] == THOUGHT
    assert steps[2]["metrics"]["prompt_tokens"] == 100
    assert row["final_metrics"]["total_completion_tokens"] == 20
    assert set(tally.losses.to_json()) <= {"signatures of reasoning"}


@pytest.mark.parametrize("dialect", TOLD)
def test_the_hub_is_given_a_header_and_a_line_for_each_message(store: Store, told: Told, dialect: str) -> None:
    session = told(dialect)
    [row], tally = export(store, "hf-traces")
    header, *lines = row["lines"]
    assert (header["type"], header["harness"], header["id"]) == ("session", "drawbar", f"{session}/main")
    assert (header["name"], header["tools"]) == (QUESTION, [TOOL])
    said = [line["message"] for line in lines]
    assert {line["type"] for line in lines} == {"message"}
    assert [message["role"] for message in said] == ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert [message["content"] for message in said] == [
        SYSTEM, QUESTION, "", *(words for _, _, words in LOOKS_UP), ANSWER,
    ]  # fmt: skip
    assert said[2]["reasoningContent"] == THOUGHT
    calls = [(call["id"], orjson.loads(call["function"]["arguments"])) for call in said[2]["toolCalls"]]
    assert calls == [(id, given) for id, given, _ in LOOKS_UP]
    assert [message["toolCallId"] for message in said[3:5]] == [id for id, _, _ in LOOKS_UP]
    assert said[5]["model"] == "m"
    assert "pictures, sounds and files that the format has no place for" in tally.losses.to_json()


@pytest.mark.parametrize("dialect", TOLD)
def test_verifiers_is_given_an_episode_with_a_graph_of_messages(store: Store, told: Told, dialect: str) -> None:
    told(dialect, environment="quiz")
    [row], _ = export(store, "verifiers")
    (trace,) = row["traces"]
    nodes = trace["nodes"]
    assert [(node["parent"], node["sampled"]) for node in nodes] == [
        (None, False), (0, False), (1, True), (2, False), (3, False), (4, True),
    ]  # fmt: skip
    assert nodes[2]["message"]["reasoning_content"] == THOUGHT
    uses = nodes[2]["message"]["tool_calls"]
    assert [(use["id"], use["name"], orjson.loads(use["arguments"])) for use in uses] == [
        (id, "look_up", given) for id, given, _ in LOOKS_UP
    ]
    assert [call["node"] for call in trace["calls"]] == [2, 5]
    assert (row["env"], row["ok"]) == ({"id": "quiz"}, True)


def _scored(store: Store) -> str:
    story = tell(
        store, "chat", harness="loop", environment="quiz", metadata=b'{"team": "blue"}', run="run_1",
        task=orjson.dumps({"prompt": QUESTION, "answer": "both", "key": "k", "system": SYSTEM, "info": {"level": 1}}),
    )  # fmt: skip
    story.score(0.5, weight=2.0, explanation="half right")
    story.score(3.0, "length", kind="metric", weight=0.0)
    story.score(1.0, "thumb", kind="feedback", source="feedback", weight=0.0, rubric_version="")
    return story.end()


def _only(store: Store) -> Trajectory:
    (row,) = store.select(where(""))
    return store.trajectory(row.id)


@pytest.mark.parametrize("format", ["atif", "verifiers"])
def test_what_was_exported_can_be_imported_with_all_that_was_said_and_its_scores(
    store: Store, tmp_path: Path, format: str
) -> None:
    before = store.trajectory(_scored(store))
    there = Store.open(tmp_path / "there.db")
    assert take(there, export_raw(store, tmp_path / "a.jsonl", format=format)).added == 1
    after = _only(there)
    there.close()
    assert [message.text for message in after.messages] == [message.text for message in before.messages]
    assert [message.tool_uses for message in after.messages] == [message.tool_uses for message in before.messages]
    assert [message.reasoning for message in after.messages] == [message.reasoning for message in before.messages]
    assert [b for m in after.messages for b in m.blocks if isinstance(b, Media)]
    assert (after.reward, after.harness, after.stop) == (1.0, "loop", "completed")
    assert {"correct", "length"} <= {score.name for score in after.scores}
    assert after.task is not None
    assert (after.task.prompt, after.task.answer, after.task.system) == (QUESTION, "both", SYSTEM)
    assert [call.prompt_tokens for call in after.calls] == [100, 100]


def _told_tokens(store: Store, prompts: tuple[list[int], ...]) -> str:
    story, messages = Story(store), [{"role": "user", "content": "Hi?"}]
    for number, prompt in enumerate(prompts):
        reply = says(f"Hello {number}.")
        row = story.exchange({"model": "m", "messages": messages}, answers(reply))
        told = {"told": {"prompt_token_ids": prompt, "token_ids": [70 + number], "logprobs": [-0.5]}}
        envelope, blobs = story._graph.blob(orjson.dumps({"drawbar": told}))
        story.rows[story.rows.index(row)] = replace(row, response_envelope=envelope)
        story.rows += blobs
        messages = [*messages, reply, {"role": "user", "content": f"And {number}?"}]
    return story.end()


def test_token_ids_go_with_the_replies_that_they_are_of(store: Store) -> None:
    _told_tokens(store, ([1, 2], [1, 2, 70, 3]))
    [row], _ = export(store, "atif")
    metrics = [step["metrics"] for step in row["steps"] if step["source"] == "agent"]
    assert [(it["prompt_token_ids"], it["completion_token_ids"]) for it in metrics] == [
        ((1, 2), (70,)), ((1, 2, 70, 3), (71,)),
    ]  # fmt: skip
    [row], _ = export(store, "verifiers")
    nodes = [node for node in row["traces"][0]["nodes"] if node["sampled"]]
    assert [(node["token_ids"], node["mask"], node["logprobs"]) for node in nodes] == [
        ([1, 2, 70], [False, False, True], [-0.5]), ([3, 71], [False, True], [-0.5]),
    ]  # fmt: skip


def test_token_ids_that_do_not_fit_together_are_left_out_and_counted(store: Store) -> None:
    _told_tokens(store, ([1, 2], [9, 9]))
    [row], tally = export(store, "verifiers")
    assert all("token_ids" not in node for node in row["traces"][0]["nodes"])
    assert [what for what in tally.losses.to_json() if what.startswith("token ids")]


def test_a_reply_that_another_branch_trains_is_only_read(store: Store) -> None:
    story, ask = Story(store), says(None, ("c1", {"query": "one"}))
    story.exchange(chat("Who?"), answers(ask, "tool_calls"))
    for words in ("Ada.", "Bob."):
        story.exchange(chat("Who?", ask, shows("c1", words)), answers(says(f"It is {words}")))
    story.end()
    rows, _ = export(store, "atif", branches=True)
    copied = [[step.get("is_copied_context", False) for step in row["steps"]] for row in rows]
    assert sorted(copied) == [[False, False, False], [False, True, False]]
    rows, _ = export(store, "verifiers", branches=True)
    assert sorted(sum(node["sampled"] for node in row["traces"][0]["nodes"]) for row in rows) == [1, 2]


def _folder(store: Store, path: Path, format: str) -> dict[str, bytes]:
    export_raw(store, path, format=format)
    return {file.name: file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def test_a_folder_has_a_file_for_each_conversation_and_a_manifest_beside_it(
    store: Store, told: Told, tmp_path: Path
) -> None:
    sessions = [told(), plain_story(store).end()]
    files = _folder(store, tmp_path / "hub", "hf-traces")
    assert set(files) == {f"{session}.main.jsonl" for session in sessions}
    lines = files[f"{sessions[1]}.main.jsonl"].splitlines()
    assert [orjson.loads(line)["type"] for line in lines] == ["session", "message", "message"]
    assert differences(path_of(tmp_path / "hub")) == []
    (tmp_path / "hub" / f"{sessions[1]}.main.jsonl").write_bytes(b"{}")
    assert len(differences(path_of(tmp_path / "hub"))) == 1
    assert sorted(it.name for it in tmp_path.iterdir() if it.name.startswith(".")) == []


def test_pictures_of_trajectories_become_files_beside_them(store: Store, told: Told, tmp_path: Path) -> None:
    session = told()
    files = _folder(store, tmp_path / "atif", "atif")
    (name,) = set(files) - {f"{session}.main.json"}
    parts = orjson.loads(files[f"{session}.main.json"])["steps"][1]["message"]
    assert parts[1]["source"] == {"media_type": "image/png", "path": f"media/{name}"}
    assert files[name].startswith(b"\x89PNG")
    other = Store.open(tmp_path / "other.db")
    assert take(other, tmp_path / "atif" / f"{session}.main.json").added == 1
    urls = [block.url for message in _only(other).messages for block in message.blocks if isinstance(block, Media)]
    other.close()
    assert urls == [URL]


def test_a_folder_that_cannot_be_written_leaves_nothing(
    store: Store, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told()

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        export_raw(store, tmp_path / "hub", format="hf-traces")
    assert [it.name for it in tmp_path.iterdir() if not it.name.startswith("drawbar.db")] == []


def test_the_hub_s_files_cannot_be_one_file(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.parquet"):
        with pytest.raises(ConfigurationError, match="name a folder"):
            target(tmp_path / name, None, format_named("hf-traces"))
    assert target(tmp_path / "a.jsonl.gz", None, format_named("atif")).kind == "jsonl"


def test_harbor_s_own_validator_takes_what_is_exported(store: Store, tmp_path: Path) -> None:
    validator = pytest.importorskip("harbor.utils.trajectory_validator")
    for dialect in TOLD:
        tell(store, dialect).end()
    _told_tokens(store, ([1, 2], [1, 2, 70, 3]))
    _folder(store, tmp_path / "atif", "atif")
    for file in (tmp_path / "atif").glob("*.json"):
        checked = validator.TrajectoryValidator()
        assert checked.validate(file), checked.errors


def test_verifiers_own_reader_takes_what_is_exported(store: Store, tmp_path: Path) -> None:
    traces = pytest.importorskip("verifiers.v1.utils.trace_store")
    trace = pytest.importorskip("verifiers.v1.trace")
    for dialect in TOLD:
        tell(store, dialect, harness="loop", environment="quiz").end()
    _scored(store)
    _told_tokens(store, ([1, 2], [1, 2, 70, 3]))
    (tmp_path / "out").mkdir()
    export_raw(store, tmp_path / "out" / "traces.jsonl", format="verifiers")
    episodes = traces.read_episodes(tmp_path / "out", trace.WireTrace)
    assert len(episodes) == len(TOLD) + 2
    assert {episode.traces[0].num_turns for episode in episodes} == {2}
    assert sorted(episode.traces[0].reward for episode in episodes)[-1] == 1.0
    branch = episodes[-1].traces[0].branches[0]
    assert (branch.token_ids, branch.sampled_mask) == ([1, 2, 70, 3, 71], [False, False, True, False, True])


def test_datasets_sees_a_folder_as_traces_of_agents(store: Store, told: Told, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    pytest.importorskip("teich")  # which `datasets` reads traces with
    sessions = {f"{told()}/main", f"{plain_story(store).end()}/main"}
    _folder(store, tmp_path / "hub", "hf-traces")
    found = datasets.load_dataset("json", data_dir=str(tmp_path / "hub"), split="train", cache_dir=str(tmp_path / "c"))
    assert set(found["session_id"]) == sessions
