"""Task files: JSONL and Parquet, and errors that say file, row and what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from drawbar import Limits, TaskFile
from drawbar.errors import ConfigurationError


def written(folder: Path, *lines: str) -> TaskFile:
    path = folder / "tasks.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    return TaskFile(path)


def test_a_line_is_a_task_and_columns_have_their_usual_names(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        '\ufeff{"key": "a", "prompt": "One?", "answer": "1", "system": "Be brief.", "info": {"n": 1}}',
        "",
        '{"id": 7, "question": "Two?", "answer": ["2", "two"], "pages": [3], "limits": {"turns": 4}}',
    )
    for _ in range(2):  # it can be gone through again
        one, two = file
        assert (one.key, one.prompt, one.answer, one.system, one.info) == ("a", "One?", "1", "Be brief.", {"n": 1})
        assert (two.key, two.prompt, two.answer, two.limits) == ("7", "Two?", ["2", "two"], Limits(turns=4))
        assert two.info == {"pages": [3]}


def test_chat_messages_are_a_prompt(tmp_path: Path) -> None:
    (task,) = written(tmp_path, '{"prompt": [{"role": "user", "content": "Hi"}]}')
    assert task.messages == [{"role": "user", "content": "Hi"}]


def test_a_task_without_a_key_gets_one_from_its_content(tmp_path: Path) -> None:
    one, two = written(tmp_path, '{"prompt": "1"}', '{"prompt": "2"}')
    assert one.key == one.hash[:12] != two.key


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'prompt': 1}", r"line 2: not JSON, at column 2"),
        ("[1]", r"line 2: a task is a JSON object, not a list"),
        ('{"answer": "1"}', r"line 2: the task has no prompt.*`question`; it has answer"),
        ('{"prompt": null, "question": " "}', r"line 2: .*has no prompt"),
        ('{"prompt": 3}', r"line 2: `prompt` is a text or a list of chat messages, not a number"),
        ('{"prompt": "1", "question": "2"}', r"line 2: it has both `prompt` and `question`"),
        ('{"prompt": "1", "key": "first"}', r"line 2: the key 'first' repeats; it is that of line 1 too"),
        ('{"prompt": "1", "info": "x"}', r"line 2: `info` is an object, not a text"),
        ('{"prompt": "1", "limits": {"turn": 3}}', r"line 2: there is no limit `turn`. Did you mean 'turns'"),
        ('{"prompt": "1", "limits": {"turns": 0}}', r"line 2: The limit `turns` is a number above 0, not 0"),
    ],
)
def test_a_bad_line_is_told_by_file_number_and_fault(tmp_path: Path, line: str, message: str) -> None:
    file = written(tmp_path, '{"prompt": "fine", "key": "first"}', line)
    with pytest.raises(ConfigurationError, match=r"tasks\.jsonl, " + message):
        list(file)


def test_a_file_that_is_not_there_or_of_another_kind_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no task file"):
        TaskFile(tmp_path / "tasks.jsonl")
    (tmp_path / "tasks.csv").write_text("prompt\n1\n")
    with pytest.raises(ConfigurationError, match=r"\.jsonl, .*\.parquet files, not from \.csv"):
        TaskFile(tmp_path / "tasks.csv")


def test_parquet_rows_are_tasks(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = {"question": ["One?", "Two?"], "answer": ["1", None], "pages": [[1, 2], []]}
    parquet.write_table(arrow.table(rows), tmp_path / "tasks.parquet")
    one, two = TaskFile(tmp_path / "tasks.parquet")
    assert (one.prompt, one.answer, one.info) == ("One?", "1", {"pages": [1, 2]})
    assert (two.prompt, two.answer, two.info) == ("Two?", None, {"pages": []})


def test_a_parquet_row_without_a_prompt_and_a_damaged_file_are_told(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "tasks.parquet"
    parquet.write_table(arrow.table({"question": ["One?", None]}), path)
    with pytest.raises(ConfigurationError, match=r"tasks\.parquet, row 2: the task has no prompt"):
        list(TaskFile(path))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ConfigurationError, match=r"tasks\.parquet: damaged, or not a Parquet file"):
        list(TaskFile(path))
