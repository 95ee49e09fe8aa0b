"""Every export format is read by the libraries that its trainers read it with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.export.stories import Story, answers, chat, says, shows, tell

from drawbar.export.engine import Wanted
from drawbar.export.format import FORMATS, format_named
from drawbar.export.run import export
from drawbar.export.writing import target
from drawbar.record.rows import RunRow
from drawbar.record.store import Store
from drawbar.task import Task

datasets = pytest.importorskip("datasets")

ASKS = says(None, ("c1", {"query": "one"}))


def _with_tokens(message: dict[str, Any], prompt: list[int], ids: list[int]) -> dict[str, Any]:
    answer = answers(message)
    answer["choices"][0]["token_ids"] = ids
    answer["choices"][0]["logprobs"] = {"content": [{"token": "x", "logprob": -0.5} for _ in ids]}
    return {**answer, "prompt_token_ids": prompt}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Rollouts of two tasks that did well and badly, with tools, tokens and thumbs; one with a picture."""
    store = Store.open(tmp_path_factory.mktemp("store") / "drawbar.db")
    store.write([
        RunRow(id="run_1", environment="e", environment_version="1", rubric_version="v1", harness="loop", model="m",
               rollouts=4, config=b"{}", started=1.0)
    ])  # fmt: skip
    for key in ("a", "b"):
        task = Task(key=key, prompt=f"Who wrote {key}?", answer="Ada")
        for rollout in range(4):
            story = Story(store, run="run_1", environment="e", rollout=rollout, task_key=key, task_hash=task.hash,
                          task=task.to_json())  # fmt: skip
            said = says(f"It was {'Ada' if rollout % 2 else 'Bob'}, number {rollout}.")
            story.exchange(chat(task.prompt), _with_tokens(ASKS, [1, 2, 3], [4, 5]))
            story.exchange(chat(task.prompt, ASKS, shows("c1", "Ada.")), _with_tokens(said, [1, 2, 3, 4, 5, 6], [7, 8]))
            story.score(float(rollout % 2))
            story.score(float(rollout % 2), "thumbs", kind="feedback", source="feedback", weight=0.0)
            story.end()
    pictured = tell(store, "chat")
    pictured.score(1.0)
    pictured.end()
    yield store
    store.close()


def written(store: Store, name: str, path: Path) -> int:
    """How many rows of the format are in the file."""
    wanted = Wanted(format=format_named(name))
    tally, manifest = export(store, wanted, target(path, None, wanted.format), licenses={})
    assert manifest is not None, tally.to_json()
    return tally.rows


def loaded(kind: str, path: Path) -> Any:
    return datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=str(path.parent / "cache"))


@pytest.mark.parametrize("name", [name for name in FORMATS if not getattr(format_named(name), "alone", False)])
def test_datasets_reads_json_lines(name: str, store: Store, tmp_path: Path) -> None:
    rows = written(store, name, tmp_path / "rows.jsonl")
    assert len(loaded("json", tmp_path / "rows.jsonl")) == rows > 0


@pytest.mark.parametrize("name", FORMATS)
def test_datasets_reads_parquet(name: str, store: Store, tmp_path: Path) -> None:
    columns = format_named(name).columns
    if columns is None:
        pytest.skip("nothing reads this format as Parquet")
    rows = written(store, name, tmp_path / "rows.parquet")
    read = loaded("parquet", tmp_path / "rows.parquet")
    assert len(read) == rows
    assert set(columns) - set(read.column_names) <= {"images"}, "only pictures, where there are none, have no column"


@pytest.mark.parametrize("name", [name for name in FORMATS if name.startswith("trl")])
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_trl_takes_it_for_conversations_and_renders_each(name: str, kind: str, store: Store, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    from examples.close_the_loop.speech import make_tokenizer
    from trl.data_utils import is_conversational, maybe_apply_chat_template

    if kind == "parquet" and format_named(name).columns is None:
        pytest.skip("nothing reads this format as Parquet")
    written(store, name, tmp_path / f"rows.{kind}")
    tokenizer = make_tokenizer(["Who wrote it ? It was Ada ."])
    read = loaded("json" if kind == "jsonl" else "parquet", tmp_path / f"rows.{kind}")
    plain = [row for row in read if not row.get("images")]  # pictures are rendered by processors, not by tokenizers
    assert plain
    for row in plain:
        assert is_conversational(row)
        rendered = maybe_apply_chat_template({key: value for key, value in row.items() if value is not None}, tokenizer)
        texts = [rendered[key] for key in ("text", "prompt", "completion", "chosen", "rejected") if key in rendered]
        assert texts
        assert all(isinstance(text, str) for text in texts)
        assert "<|user|>Who wrote" in texts[0]


def test_what_reinforcement_learns_from_is_read_as_numbers(store: Store, tmp_path: Path) -> None:
    for kind, suffix in (("json", "jsonl"), ("parquet", "parquet")):
        written(store, "rl", tmp_path / f"rows.{suffix}")
        row = next(row for row in loaded(kind, tmp_path / f"rows.{suffix}") if row["reward"] == 1.0)
        assert (row["prompt_ids"], row["completion_ids"], row["loss_mask"]) == (
            [1, 2, 3],
            [4, 5, 6, 7, 8],
            [1, 1, 0, 1, 1],
        )
        assert row["logprobs"] == [-0.5, -0.5, 0.0, -0.5, -0.5]
        assert row["advantage_centered"] == 0.5
