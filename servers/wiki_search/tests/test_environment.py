"""The environment as a whole: fit for use, its options, its judge, questions of one's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from anyio import to_thread

from drawbar import Environment
from drawbar.errors import ConfigurationError
from drawbar.testing import says, serve_chat
from drawbar.validation import validate
from drawbar_wiki_search.corpus import articles
from drawbar_wiki_search.environment import load_environment
from drawbar_wiki_search.index import WikiIndex

OWN: list[dict[str, Any]] = [
    {"question": "Where was Einstein born?", "answer": "Ulm", "aliases": [], "key": ""},
    {"question": "When was he born?", "answer": "1879", "aliases": ["14 March 1879"], "key": "einstein-birth"},
]


@pytest.mark.slow
async def test_every_question_of_the_test_split_can_be_solved_and_none_for_free() -> None:
    assert (await validate(load_environment())).problems == []


@pytest.mark.slow
async def test_every_question_of_the_train_split_can_be_solved_and_none_for_free() -> None:
    assert (await validate(load_environment(split="train"))).problems == []


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_questions_of_ones_own_come_from_jsonl_or_parquet(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"questions{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(OWN), path)
    else:
        path.write_bytes(b"\n".join(map(orjson.dumps, OWN)))
    born, when = load_environment(questions=str(path), split="all").iter_tasks()
    assert (born.prompt, born.answer) == (OWN[0]["question"], "Ulm")
    assert (when.key, when.info["aliases"]) == ("einstein-birth", ["14 March 1879"])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b'{"question": "Who?", "answer": "A"}\n{"question": ""}', "line 2: no question and no answer"),
        (b'{"question": "Who?", "answer": "A"}\n{"question"', "line 2: not JSON"),
        (b"[1]", "line 1: not a JSON object"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=complaint):
        list(load_environment(questions=str(path), split="all").iter_tasks())


def test_a_missing_index_or_questions_file_is_said_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no wiki index at"):
        load_environment(index=str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        list(load_environment(questions=str(tmp_path / "none.jsonl")).iter_tasks())


async def test_a_judge_can_decide_in_place_of_the_words(tmp_path: Path) -> None:
    async with serve_chat([says("It names the same river.\nVERDICT: RIGHT")]) as server:
        command = ["run", "servers/wiki_search", "-n", "2", "--json", "--env-option", "scorer=judge"]
        judge = ["--judge-model", "wise-1", "--base-url", server.base_url, "--model", "baseline"]
        report = await _drawbar([*command, *judge], tmp_path)
        assert report["reward"]["mean"] == 1.0
        asked = [request.body for request in server.requests]
    assert [body["model"] for body in asked] == ["wise-1", "wise-1"]
    assert "Right answer:" in asked[0]["messages"][0]["content"]


async def test_a_judge_without_a_verdict_gives_no_score(tmp_path: Path) -> None:
    async with serve_chat([says("Hard to tell.")]) as server:
        command = ["run", "servers/wiki_search", "-n", "1", "--retries", "0", "--json", "--env-option", "scorer=judge"]
        report = await _drawbar([*command, "--base-url", server.base_url, "--model", "baseline"], tmp_path, status=1)
    assert report["invalid"] == 1
    assert report["reward"]["mean"] is None


def test_both_scorers_are_named_alike_so_that_reports_can_be_compared() -> None:
    matched, judged = (load_environment(scorer=scorer) for scorer in ("match", "judge"))
    assert list(matched.scoring.scorers) == list(judged.scoring.scorers)
    assert _version(matched) != _version(judged)


def test_the_shipped_corpus_is_indexed_once_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load_environment()
    [built] = (tmp_path / "drawbar" / "wiki_search").iterdir()
    before = built.stat().st_mtime_ns
    load_environment()
    assert built.stat().st_mtime_ns == before
    assert len(WikiIndex(built)) == len(list(articles()))


def _version(environment: Environment) -> str:
    return environment.rubric_version


async def _drawbar(words: list[str], folder: Path, status: int = 0) -> Any:
    root = Path(__file__).parents[3]
    run = [sys.executable, "-c", "from drawbar.cli import main; main()", *words, "--store", str(folder / "drawbar.db")]
    done = await to_thread.run_sync(
        lambda: subprocess.run(run, cwd=root, env=os.environ, capture_output=True, timeout=120, check=False)
    )
    assert done.returncode == status, done.stderr.decode()
    return orjson.loads(done.stdout)
