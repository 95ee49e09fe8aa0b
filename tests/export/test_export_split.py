"""Two files of one export, with no task on both sides; and what is made unrecognisable in either."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.export.exported import begun, export, fallen
from tests.export.rollouts import rollouts
from tests.export.stories import plain_story

from drawbar.capture.pseudonyms import Pseudonyms
from drawbar.errors import ConfigurationError
from drawbar.export import manifest
from drawbar.export.choice import Choice
from drawbar.export.engine import Wanted
from drawbar.export.format import format_named
from drawbar.export.run import export as write
from drawbar.export.sides import sides
from drawbar.export.survey import Seen
from drawbar.export.writing import target
from drawbar.record.store import Store


def both(store: Store, format: str = "trl", share: float = 0.4, **choice: Any) -> dict[str, set[str]]:
    """What is asked on each side."""
    made = begun(store, format, choice=Choice(split=share, **choice))
    return {
        side: {(row.get("messages") or row["prompt"])[0]["content"] for page in made.pages(side=side) for row in page}
        for side in made.sides
    }


def test_a_task_is_on_one_side_whatever_else_there_is(store: Store) -> None:
    for number in range(20):
        rollouts(store, f"t{number}", [1.0, 0.0])
    found = both(store)
    assert found["train"] & found["test"] == set()
    assert len(found["train"] | found["test"]) == 20
    assert 2 <= len(found["test"]) <= 14
    for number in range(20, 30):
        rollouts(store, f"t{number}", [1.0])
    later = both(store)
    assert (found["train"] <= later["train"], found["test"] <= later["test"]) == (True, True)
    assert both(store, "trl-dpo")["train"] <= later["train"]
    assert both(store, share=0.8)["test"] >= later["test"]


def test_a_live_session_is_on_the_side_of_its_user(store: Store) -> None:
    for number in range(30):
        metadata = json.dumps({"user": f"user {number % 6}"}).encode()
        plain_story(store, f"{number % 6}: question {number}", metadata=metadata, started=float(number)).end()
    found = both(store)
    users = [{text.partition(":")[0] for text in asked} for asked in found.values()]
    assert not users[0] & users[1]
    assert all(users)


def test_a_live_session_is_on_the_side_of_the_one_that_it_goes_on_from(store: Store) -> None:
    for number in range(10):
        before = plain_story(store, f"{number}: first", started=float(number)).end()
        plain_story(store, f"{number}: then", continues=before, started=100.0 + number).end()
    found = both(store)
    families = [{text.partition(":")[0] for text in asked} for asked in found.values()]
    assert not families[0] & families[1]
    assert all(families)


def test_a_live_session_without_a_user_is_where_the_one_before_it_is(store: Store) -> None:
    for number in range(10):
        metadata = json.dumps({"user": f"user {number}"}).encode()
        before = plain_story(store, f"{number}: first", metadata=metadata, started=float(number)).end()
        plain_story(store, f"{number}: then", continues=before, started=100.0 + number).end()
    found = both(store)
    assert sum(map(len, found.values())) == 20
    families = [{text.partition(":")[0] for text in asked} for asked in found.values()]
    assert not families[0] & families[1]


def test_what_would_be_on_both_sides_is_where_it_was_first(store: Store) -> None:
    for number in range(8):
        metadata = json.dumps({"user": f"user {number}"}).encode()
        plain_story(store, "Hi?", f"Hello {number}.", metadata=metadata, started=float(number)).end()
    made = begun(store, "trl", choice=Choice(split=0.5))
    rows = {side: [row for page in made.pages(side=side) for row in page] for side in made.sides}
    assert sorted(map(bool, rows.values())) == [False, True]
    assert made.tally.fallen["torn"] == 8 - sum(map(len, rows.values())) > 0


SEEN = st.lists(
    st.builds(
        Seen, id=st.uuids().map(str), environment=st.none(), task=st.integers(0, 7), reward=st.none(),
        turns=st.just(1), length=st.none(), words=st.just(b""), offered=st.just(b""),
        user=st.sampled_from([None, b"a", b"b", b"c"]), family=st.sampled_from([b"f", b"g", b"h", b"i"]),
    ),
    max_size=30,
)  # fmt: skip


@given(SEEN, st.floats(0.05, 0.95))
def test_nobody_and_nothing_is_on_both_sides(seen: list[Seen], share: float) -> None:
    hashes = [f"hash {number}" if number < 4 else None for number in range(8)]
    found = sides(seen, hashes, share)
    placed: dict[object, set[str]] = defaultdict(set)
    for each in seen:
        if each.id in found:
            live = each.task >= 4
            names = [("task", each.task), ("family", each.family if live else each.id), ("user", live and each.user)]
            for name in names:
                placed[name if name[1] else each.id].add(found[each.id])
    assert all(len(on) == 1 for on in placed.values())
    assert all(each.id in found for each in seen if each.task < 4)
    assert sides(seen[: len(seen) // 2], hashes, share).items() <= found.items()


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, 2.0])
def test_a_share_that_is_none_is_refused(store: Store, share: float) -> None:
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        begun(store, choice=Choice(split=share))


def test_both_files_stand_in_one_manifest(store: Store, tmp_path: Path) -> None:
    for number in range(12):
        rollouts(store, f"t{number}", [1.0])
    format = format_named("trl")
    wanted = Wanted(format=format, choice=Choice(split=0.5))
    tally, beside = write(store, wanted, target(tmp_path / "data.jsonl.gz", None, format), licenses={})
    assert beside == tmp_path / "data.jsonl.gz.manifest.json"
    said = json.loads(beside.read_text())
    assert [file["name"] for file in said["files"]] == ["data.train.jsonl.gz", "data.test.jsonl.gz"]
    assert sum(file["rows"] for file in said["files"]) == tally.rows == 12
    assert said["query"]["choice"]["split"] == 0.5
    assert manifest.differences(beside) == []
    (tmp_path / "data.test.jsonl.gz").write_bytes(b"")
    assert len(manifest.differences(beside)) == 1


def test_a_disk_that_is_full_leaves_neither_file(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from drawbar.export.draft import Draft

    for number in range(12):
        rollouts(store, f"t{number}", [1.0])
    write_through = Draft.write

    def full(self: Draft, data: bytes) -> int:
        if "test" in self.path.name:
            raise OSError(28, "No space left on device")
        return write_through(self, data)

    monkeypatch.setattr(Draft, "write", full)
    format = format_named("trl")
    wanted, path = Wanted(format=format, choice=Choice(split=0.5)), tmp_path / "data.jsonl"
    with pytest.raises(OSError, match="No space"):
        write(store, wanted, target(path, None, format), licenses={})
    assert [file.name for file in tmp_path.iterdir() if "data" in file.name] == []


def test_personal_data_becomes_the_same_pseudonym_everywhere(store: Store, tmp_path: Path) -> None:
    mail = "ada@lovelace.example.com"
    plain_story(store, f"I am {mail}.", "person1@pseudonym.example was here before.").end()
    plain_story(store, f"Write to {mail}, please, and to bob@babbage.example.com.", "Done.").end()
    rows, _ = export(store, "trl", redact=Pseudonyms())
    text = json.dumps(rows)
    assert (mail in text, "babbage" in text) == (False, False)
    [first, second] = [row["messages"][0]["content"] for row in rows]
    name = first.removeprefix("I am ").rstrip(".")
    assert name.endswith("@pseudonym.example")
    assert name in second
    assert name != "person1@pseudonym.example", "that one stands for somebody else"
    format = format_named("trl")
    wanted = Wanted(format=format, redact=Pseudonyms())
    _, beside = write(store, wanted, target(tmp_path / "a.jsonl", None, format), licenses={})
    assert beside is not None
    said = json.loads(beside.read_text())
    assert [(each["what"], each["values"]) for each in said["redactions"]] == [("e-mail address", 2)]
    assert mail not in (tmp_path / "a.jsonl").read_text()


def test_what_is_told_in_other_forms_than_words_cannot_be_redacted(store: Store) -> None:
    for name in ("rl", "raw"):
        with pytest.raises(ConfigurationError, match="nothing can be replaced"):
            begun(store, name, redact=Pseudonyms())
    with pytest.raises(ConfigurationError, match="takes every session"):
        begun(store, "raw", choice=Choice(per_task=1))


def test_redacting_and_splitting_go_together(store: Store) -> None:
    for number in range(12):
        rollouts(store, f"ada{number}@lovelace.example.com", [1.0])
    made = begun(store, "trl", redact=Pseudonyms(), choice=Choice(split=0.5))
    rows = {side: [row for page in made.pages(side=side) for row in page] for side in made.sides}
    assert all(rows.values())
    assert "lovelace" not in json.dumps(rows)
    assert (made.tally.rows, fallen(made.tally)) == (12, {})
