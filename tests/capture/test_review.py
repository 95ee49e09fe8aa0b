"""A person goes through tasks in a terminal: keys, edits, and what a closed terminal loses, which is nothing."""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.capture.made import candidate

from drawbar.capture.candidate import Candidate
from drawbar.capture.review_edit import from_text, to_text
from drawbar.capture.review_terminal import edit_file, review
from drawbar.errors import ConfigurationError


class Typed:
    """A keyboard on which this is typed; then its person goes away."""

    def __init__(self, *typed: str) -> None:
        self._typed = list(typed)

    def key(self) -> str:
        return self._next()

    def line(self, prompt: str) -> str:
        return self._next()

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _next(self) -> str:
        if not self._typed:
            raise EOFError
        return self._typed.pop(0)


class Sitting:
    """Somebody sits down at the candidates, types, and leaves."""

    def __init__(self, path: Path, candidates: list[Candidate]) -> None:
        self.path = path
        self.candidates = candidates
        self.seen = self.words = ""

    def type(self, *typed: str, edits: Iterable[Callable[[str], str]] = ()) -> list[Candidate] | None:
        coming = iter(edits)

        def edit(file: Path) -> None:
            file.write_text(next(coming)(file.read_text("utf-8")), "utf-8")

        screen = io.StringIO()
        console = Console(file=screen, width=100, height=40, force_terminal=True, color_system=None)
        try:
            return review(self.candidates, self.path, console, Typed(*typed), edit)
        finally:
            self.seen = screen.getvalue()
            self.words = " ".join(self.seen.split())


@pytest.fixture
def sitting(tmp_path: Path) -> Sitting:
    return Sitting(tmp_path / "shop.review.jsonl", [candidate(name, f"I am {name}.") for name in ("ada", "bob", "eve")])


def names(found: list[Candidate] | None) -> list[str] | None:
    return None if found is None else [each.session for each in found]


def test_what_is_dropped_is_gone_and_the_others_are_kept(sitting: Sitting) -> None:
    assert names(sitting.type("k", "d", "k", "w")) == ["ada", "eve"]
    assert "2 kept, 1 dropped" in sitting.seen


def test_whoever_leaves_goes_on_where_they_were(sitting: Sitting) -> None:
    assert sitting.type("d", "q") is None
    assert sitting.type("k") is None, "the terminal was closed"
    assert names(sitting.type("d", "w")) == ["bob"]
    assert "3 of 3" in sitting.seen
    assert names(sitting.type("w")) == ["bob"], "all is decided already"


def test_leaving_at_the_end_writes_nothing(sitting: Sitting) -> None:
    assert sitting.type("k", "k", "k", "q") is None


def test_decisions_can_be_undone_one_by_one_also_those_of_before(sitting: Sitting) -> None:
    sitting.type("d", "d", "q")

    assert names(sitting.type("u", "u", "k", "k", "k", "w")) == ["ada", "bob", "eve"]
    assert sitting.type("u", "u", "u", "u", "q") is None
    assert "nothing to undo" in sitting.seen


def test_the_last_decision_can_be_undone_after_all_is_decided(sitting: Sitting) -> None:
    assert names(sitting.type("k", "k", "k", "u", "d", "w")) == ["ada", "bob"]


def test_back_and_on_look_at_tasks_without_deciding(sitting: Sitting) -> None:
    assert sitting.type("n", "d", "b", "b", "d", "q") is None
    assert names(sitting.type("f", "y")) == ["eve"]


def test_a_decision_can_be_made_anew(sitting: Sitting) -> None:
    assert names(sitting.type("d", "b", "k", "k", "k", "w")) == ["ada", "bob", "eve"]


def test_finishing_keeps_what_is_open_and_asks_first(sitting: Sitting) -> None:
    assert names(sitting.type("d", "f", "n", "f", "y")) == ["bob", "eve"]
    assert "2 are not decided yet and will be kept" in sitting.seen


def test_a_search_goes_to_the_next_that_has_the_words(sitting: Sitting) -> None:
    assert names(sitting.type("/", "AM EVE", "d", "f", "y")) == ["ada", "bob"]
    sitting.type("/", "nobody")
    assert "No task has 'nobody' in it." in sitting.seen


def test_searching_for_nothing_searches_again(sitting: Sitting) -> None:
    sitting.type("/", "i am", "/", "", "d", "q")

    assert json.loads(sitting.path.read_text())["session"] == "eve"


def test_all_that_a_decision_needs_is_shown(sitting: Sitting) -> None:
    sitting.candidates = [
        candidate(
            "ses_1", "Where is my parcel?\x1b[2J", system="You work in a shop.", user_turns=("And the other?",),
            answer="It is lost.", answer_source="correction", recorded="It is here.", reward=0.25, environment="shop",
            model="gpt-9", user="ada", tags=("vip",), feedback={"thumbs": 0.0, "comment": "wrong"}, tool_errors=1,
            tools={"shop.find": 2}, merged=(candidate("ses_2", "Where's my parcel?"), candidate("ses_3")),
        )
    ]  # fmt: skip
    sitting.type("m", " ")

    for text in (
        "ses_1",
        "You work in a shop.",
        "Where is my parcel?",
        "And the other?",
        "Answer (correction)",
        "It is lost.",
        "It is here.",
        "reward 0.25",
        "environment shop",
        "model gpt-9",
        "user ada",
        "tags vip",
        "thumbs down",
        "comment: wrong",
        "shop.find (2x)",
        "1 failed",
        "2 near duplicates",
        "Where's my",
    ):
        assert text in sitting.words
    assert "parcel?\x1b[2J" not in sitting.seen, "what users wrote gives no orders to the terminal"


def test_long_texts_are_shortened_until_all_is_asked_for(sitting: Sitting) -> None:
    sitting.candidates = [candidate("a", "\n".join(f"line {n}" for n in range(200)))]
    sitting.type("q")
    assert "line 2" in sitting.seen
    assert "line 150" not in sitting.seen
    assert "characters; m shows all" in sitting.seen
    sitting.type("m", "x", "q")
    assert "line 199" in sitting.seen


def test_an_edited_task_is_kept_as_it_was_edited_also_later(sitting: Sitting) -> None:
    def edit(text: str) -> str:
        return text.replace("I am ada.", "I am Ada Lovelace.") + 'answer = "Hello, Ada."\ntags = ["good"]\n'

    assert sitting.type("e", "q", edits=[edit]) is None
    (found, *_) = sitting.type("f", "y") or []

    assert found.request == "I am Ada Lovelace."
    assert (found.answer, found.answer_source, found.tags) == ("Hello, Ada.", "correction", ("good",))


def test_an_edit_can_be_undone_and_edited_again(sitting: Sitting) -> None:
    one, two = (lambda text, n=n: text.replace("I am ada.", f"{n}").replace("1", f"{n}") for n in (1, 2))
    found = sitting.type("e", "e", "u", "f", "y", edits=[one, two])

    assert found is not None
    assert found[0].request == "1"


def test_what_is_wrong_with_an_edit_is_said_and_can_be_mended(sitting: Sitting) -> None:
    wrong = [
        lambda text: text.replace('prompt = "', 'prompt = " "x'),
        lambda text: 'prompt = "hi"\nanswr = "x"\n',
        lambda text: 'prompt = ""\n',
        lambda text: "prompt = 3\n",
        lambda text: 'system = "x"\n',
        lambda text: 'prompt = "a"\ninfo_json = "[1"\n',
        lambda text: 'prompt = "a"\nanswer = "x"\nanswer_json = "1"\n',
        lambda text: 'prompt = "a"\n[[user_turns]]\nrole = "user"\n',
        lambda text: 'prompt = "a"\n[[user_turns]]\nbody = "user"\n',
    ]
    found = sitting.type(*["e"] * 10, "f", "y", edits=[*wrong, lambda text: 'prompt = "mended"\n'])

    assert found is not None
    assert found[0].request == "mended"
    for text in (
        "not TOML",
        "answr: there is no such key. Did you mean 'answer'",
        "no prompt",
        "line 1, prompt: expected",
        "no request of a user",
        "info_json: not JSON, at its line 1",
        "either `answer` or `answer_json`",
        "either `content` or `json`",
        "body",
    ):
        assert text in sitting.words


def test_a_bad_edit_can_be_left(sitting: Sitting) -> None:
    found = sitting.type("e", "a", "f", "y", edits=[lambda text: "nonsense"])

    assert found == sitting.candidates


def test_an_edit_that_changes_nothing_decides_nothing(sitting: Sitting) -> None:
    sitting.type("e", "q", edits=[lambda text: text])

    assert "Nothing was changed." in sitting.seen
    assert not sitting.path.exists()


MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.text(min_size=1)}),
    min_size=1,
    max_size=3,
)


@given(MESSAGES, st.none() | st.text(min_size=1), st.none() | st.text(min_size=1) | st.integers(), st.lists(st.text()))
def test_whatever_a_task_says_it_survives_the_editor(
    messages: list[dict[str, Any]], system: str | None, answer: Any, turns: list[str]
) -> None:
    opening = (
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        *messages,
        {"role": "user", "content": "?"},
    )
    before = candidate(
        "a", opening=opening, system=system, answer=answer, answer_source="accepted" if answer is not None else None,
        user_turns=tuple(turns), tags=("x", 'y"'), info={"a": ["'''", None]},
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        file = Path(folder) / "task.toml"
        file.write_text(to_text(before), "utf-8", newline="")
        assert from_text(file, before) == before


@given(st.text(min_size=1).filter(str.strip))
def test_whatever_a_user_asks_it_survives_the_editor(text: str) -> None:
    before = candidate("a", text)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "task.toml"
        file.write_text(to_text(before), "utf-8", newline="")
        assert from_text(file, before) == before


def test_decisions_are_for_their_owner_and_survive_a_torn_line(sitting: Sitting) -> None:
    sitting.type("d", "q")
    assert stat.S_IMODE(sitting.path.stat().st_mode) == 0o600
    with sitting.path.open("a") as file:
        file.write('{"session":"bob","deci')

    assert sitting.type("k", "q") is None
    assert names(sitting.type("f", "y")) == ["bob", "eve"]


def test_decisions_hold_for_a_capture_of_other_sessions_too(sitting: Sitting) -> None:
    sitting.type("d", "q")
    sitting.candidates = [candidate("new"), *sitting.candidates[:2]]

    assert names(sitting.type("f", "y")) == ["new", "bob"]
    sitting.candidates = [candidate("new")]
    sitting.type("u", "q")
    assert "nothing to undo" in sitting.seen, "what is not here is not undone here"


def test_a_file_that_is_no_journal_is_refused(sitting: Sitting) -> None:
    sitting.path.write_text('{"session": "ada", "decision": "keep"}\n{"a": 1}\n')

    with pytest.raises(ConfigurationError, match=r"review\.jsonl, line 2: no decision"):
        sitting.type("q")
    sitting.path.unlink()
    sitting.path.mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        sitting.type("q")


def test_a_decision_that_cannot_be_kept_is_not_taken(sitting: Sitting) -> None:
    sitting.path = sitting.path.parent / "gone" / "shop.review.jsonl"

    with pytest.raises(ConfigurationError, match="cannot be kept"):
        sitting.type("k")


def test_without_a_terminal_there_is_no_review(sitting: Sitting) -> None:
    with pytest.raises(ConfigurationError, match="needs a terminal"):
        review(sitting.candidates, sitting.path, Console(file=io.StringIO()))


def test_the_editor_is_the_one_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a file.toml"
    file.write_text("a")
    monkeypatch.setenv("EDITOR", "false")
    monkeypatch.setenv("VISUAL", "sed -i s/a/b/")
    edit_file(file)
    assert file.read_text() == "b"

    monkeypatch.delenv("VISUAL")
    with pytest.raises(ConfigurationError, match="false ended with 1"):
        edit_file(file)
    monkeypatch.setenv("EDITOR", "no-such-editor")
    with pytest.raises(ConfigurationError, match="no editor no-such-editor"):
        edit_file(file)
    monkeypatch.delenv("EDITOR")
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(ConfigurationError, match="export EDITOR=nano"):
        edit_file(file)
