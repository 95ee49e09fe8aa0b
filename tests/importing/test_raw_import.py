"""Raw exports go from store to store, and nothing is lost on the way."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import orjson
import pytest
from msgspec.structs import replace
from sqlalchemy import func, select
from tests.export.stories import Story, answers, chat, plain_story, says
from tests.importing.imported import all_of, export_raw, full_story, take

from drawbar.record import schema
from drawbar.record.filter import where
from drawbar.record.store import Store


def _counts(store: Store) -> dict[str, int]:
    with store.reading() as connection:
        tables = {table.name: table for table in schema.TABLES.values()} | {"label": schema.label}
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in tables.items()
        }


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_a_session_comes_out_of_a_raw_export_as_it_went_in(
    store: Store, other: Store, tmp_path: Path, name: str
) -> None:
    session = full_story(store)
    outcome = take(other, export_raw(store, tmp_path / name))
    assert (outcome.added, outcome.whole) == (1, True)
    assert all_of(other, session) == all_of(store, session)
    assert _counts(other) == _counts(store)
    assert [row.id for row in other.select(where("metadata.tags = 'a' and score.correct = 0.5"))] == [session]


def test_what_came_through_postgresql_is_what_went_in(
    store: Store, postgres_url: str, open_store: Callable[[str | Path], Store], tmp_path: Path
) -> None:
    session = full_story(store)
    postgresql, back = open_store(postgres_url), open_store(tmp_path / "back.db")
    there = export_raw(store, tmp_path / "there.jsonl")
    assert take(postgresql, there).added == 1
    assert all_of(postgresql, session) == all_of(store, session)
    again = export_raw(postgresql, tmp_path / "back.jsonl")
    assert again.read_bytes() == there.read_bytes()
    assert take(back, again).added == 1
    assert all_of(back, session) == all_of(store, session)


def test_a_file_that_is_imported_twice_adds_nothing(store: Store, other: Store, tmp_path: Path) -> None:
    full_story(store)
    plain_story(store).end()
    file = export_raw(store, tmp_path / "a.jsonl")
    take(other, file)
    before = _counts(other)
    again = take(other, file)
    assert (again.added, again.known, again.scores, again.whole) == (0, 2, 0, True)
    assert _counts(other) == before
    assert take(store, file).known == 2, "nor does it where it came from"


def test_open_sessions_and_those_in_bad_health_are_part_of_it(store: Store, other: Store, tmp_path: Path) -> None:
    left = plain_story(store).leave_open()
    bad = Story(store)
    bad.exchange(chat("Hi?"), None)
    ended = bad.end("upstream_unavailable")
    assert take(other, export_raw(store, tmp_path / "a.jsonl")).added == 2
    for id in (left, ended):
        assert other.trajectory(id) == store.trajectory(id)


def test_scores_that_came_later_are_added_to_a_session_that_is_there(
    store: Store, other: Store, tmp_path: Path
) -> None:
    session = full_story(store)
    take(other, export_raw(store, tmp_path / "a.jsonl"))
    score = store.scores([session])[session][0]
    store.write([replace(score, id="score_new", rubric_version="v2", value=1.0, created=score.created + 5)])
    outcome = take(other, export_raw(store, tmp_path / "b.jsonl"))
    assert (outcome.added, outcome.known, outcome.scores) == (0, 1, 1)
    assert other.trajectory(session).reward == 1.0


def test_a_session_that_is_there_with_other_content_is_refused_by_name(
    store: Store, other: Store, tmp_path: Path
) -> None:
    session = full_story(store)
    plain_story(store).end()
    file = export_raw(store, tmp_path / "a.jsonl")
    row = store.session(session)
    assert row is not None
    other.write([replace(row, error="another end")])
    outcome = take(other, file)
    assert (outcome.added, outcome.conflicts, outcome.refused[0].session) == (1, 1, session)
    assert session in outcome.refused[0].why
    assert other.session(session) == replace(row, error="another end")


def test_a_run_that_is_there_with_other_content_keeps_its_name(store: Store, other: Store, tmp_path: Path) -> None:
    session = full_story(store)
    run = store.run("run_1")
    assert run is not None
    file = export_raw(store, tmp_path / "a.jsonl")
    other.write([replace(run, harness="another")])
    refused = take(other, file)
    assert (refused.conflicts, "run_1" in refused.refused[0].why, other.session(session)) == (1, True, None)
    other.write([replace(run, status="running", ended=None)])
    assert take(other, file).added == 1
    found = other.run("run_1")
    assert found is not None
    assert found.status == "running", "a run that goes on is left as it is"


@pytest.mark.parametrize("damage", [b'{"drawbar": "session", "ver', b"\xff\xfe", b"[]", b'{"drawbar": "session"}'])
def test_a_damaged_line_is_told_with_its_number_and_harms_no_other(
    store: Store, other: Store, tmp_path: Path, damage: bytes
) -> None:
    sessions = [plain_story(store, f"{number}?").end() for number in range(3)]
    file = export_raw(store, tmp_path / "a.jsonl")
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([lines[0], damage, lines[1], lines[2][:-40]]))
    outcome = take(other, file)
    assert (outcome.added, outcome.damaged) == (2, 2)
    assert [it.place for it in outcome.refused] == ["line 2", "line 4"]
    assert [other.session(id) is not None for id in sessions] == [True, True, False]


def test_a_changed_letter_is_noticed(store: Store, other: Store, tmp_path: Path) -> None:
    plain_story(store, answer="Hello.").end()
    file = export_raw(store, tmp_path / "a.jsonl")
    file.write_bytes(file.read_bytes().replace(b"Hello.", b"Hallo."))
    outcome = take(other, file)
    assert (outcome.added, outcome.damaged) == (0, 1)
    assert "damaged" in outcome.refused[0].why


def test_a_line_written_anew_by_another_program_is_the_same(store: Store, other: Store, tmp_path: Path) -> None:
    session = full_story(store)
    file = export_raw(store, tmp_path / "a.jsonl")
    value = orjson.loads(file.read_bytes())
    file.write_text(json.dumps(dict(reversed(value.items()))))
    assert take(other, file).added == 1
    assert other.trajectory(session) == store.trajectory(session)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_of_a_file_that_was_cut_off_what_is_whole_is_taken(
    store: Store, other: Store, tmp_path: Path, name: str
) -> None:
    for number in range(40):
        plain_story(store, Random(number).randbytes(4_000).hex()).end()
    file = export_raw(store, tmp_path / name)
    file.write_bytes(file.read_bytes()[:-200])
    outcome = take(other, file)
    assert outcome.added > 0
    assert outcome.damaged >= 1
    assert "cut off" in outcome.refused[-1].why


def test_the_store_that_is_imported_into_redacts(store: Store, other: Store, tmp_path: Path) -> None:
    session = plain_story(store, "My number is 4711.", "So it is 4711.").end()
    file = export_raw(store, tmp_path / "a.jsonl")
    outcome = take(other, file, lambda body: body.replace(b"4711", b"[number]"))
    assert outcome.added == 1
    said = other.trajectory(session)
    assert [message.text for message in said.messages] == ["My number is [number].", "So it is [number]."]
    assert said.nodes.keys() == store.trajectory(session).nodes.keys(), "digests are those of what was said"
    again = take(other, file, lambda body: body.replace(b"4711", b"[number]"))
    assert (again.known, again.whole) == (1, True)


def test_thoughts_survive_where_the_same_words_were_said_after_others(
    store: Store, other: Store, tmp_path: Path
) -> None:
    def told(where: Store, thought: str) -> str:
        story = Story(where)
        story.exchange(chat("Hi?"), answers(says("Hello.", reasoning_content=thought)))
        return story.end()

    here, there = told(store, "One thought."), told(other, "Another.")
    take(other, export_raw(store, tmp_path / "a.jsonl"))
    assert other.trajectory(here).messages[-1].reasoning == "One thought."
    assert other.trajectory(there).messages[-1].reasoning == "Another."


def test_a_dry_run_counts_and_writes_nothing(store: Store, other: Store, tmp_path: Path) -> None:
    full_story(store)
    file = export_raw(store, tmp_path / "a.jsonl")
    before = _counts(other)
    assert take(other, file, dry=True).added == 1
    assert _counts(other) == before
    assert take(None, file).added == 1


def test_numbers_that_json_has_no_word_for_come_through(store: Store, other: Store, tmp_path: Path) -> None:
    story = plain_story(store)
    story.score(float("inf"))
    session = story.end()
    take(other, export_raw(store, tmp_path / "a.jsonl"))
    assert [score.value for score in other.trajectory(session).scores] == [float("inf")]


def test_a_later_version_is_refused_with_what_to_do(store: Store, other: Store, tmp_path: Path) -> None:
    plain_story(store).end()
    file = export_raw(store, tmp_path / "a.jsonl")
    file.write_bytes(gzip.compress(file.read_bytes().replace(b'"version":1', b'"version":2')))
    outcome = take(other, file)
    assert "newer" in outcome.refused[0].why
