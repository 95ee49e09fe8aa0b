"""`drawbar feedback`: into a store, and to a gateway that is served."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from drawbar.cli.main import main
from drawbar.record.rows import AnswerRow, SessionRow
from drawbar.record.store import Store


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "drawbar.db"
    store = Store.open(path)
    rows = [SessionRow(id="ses_abcdef", started=time.time()), SessionRow(id="ses_other", started=time.time())]
    store.write([*rows, AnswerRow(name="chatcmpl-9", call="call_1", session="ses_other")])
    store.close()
    return path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["feedback", *arguments])
    return int(ended.value.code or 0)


def test_feedback_goes_into_the_store(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("ses_abc", "--store", str(place), "--thumbs", "up", "--correction", "42", "--json") == 0
    said = json.loads(capfd.readouterr().out)
    store = Store.open(place)
    scores = {score.name: score for score in store.trajectory("ses_abcdef").scores}
    assert (said["session"], len(said["ids"])) == ("ses_abcdef", 2)
    assert (scores["thumbs"].value, scores["correction"].explanation) == (1.0, "42")
    store.close()


def test_an_answer_is_found_by_its_id(place: Path) -> None:
    assert run("chatcmpl-9", "--store", str(place), "--score", "3", "--name", "csat") == 0
    store = Store.open(place)
    (score,) = store.trajectory("ses_other").scores
    assert (score.name, score.value, score.call) == ("csat", 3.0, "call_1")
    store.close()


def test_what_the_servers_configuration_redacts_is_not_kept(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("drawbar.toml").write_text("port = 1\n[redaction]\nsecret = 'sk-[a-z]+'\n")
    Path("other.toml").write_text("[redaction]\ncard = '[0-9]{16}'\n")
    said = ("--comment", "it said sk-first", "--correction", "sk-second")
    assert run("ses_abc", "--store", str(place), *said) == 0
    assert run("ses_oth", "--store", str(place), "--correction", "1234567890123456", "--config", "other.toml") == 0
    assert run("ses_oth", "--store", str(place), "--comment", "x", "--config", "nowhere.toml") == 2
    store = Store.open(place)
    scores = [score for session in ("ses_abcdef", "ses_other") for score in store.trajectory(session).scores]
    assert {(score.name, score.explanation) for score in scores} == {
        ("correction", "[secret]"), ("comment", "it said [secret]"), ("correction", "[card]"),
    }  # fmt: skip
    store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("drawbar.db*"))
    assert not [word for word in (b"sk-first", b"sk-second", b"1234567890123456") if word in kept]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing", "--thumbs", "up"], "nothing"),
        (["ses_abc"], "at least one"),
        (["ses_abc", "--thumbs", "maybe"], "up"),
    ],
)
def test_what_cannot_be_done_is_said(
    place: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert run(*arguments, "--store", str(place)) == 2
    assert says in capfd.readouterr().err


def test_a_gateway_that_is_not_there_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("ses_abc", "--gateway", "http://127.0.0.1:9", "--thumbs", "up") == 2
    assert "http://127.0.0.1:9" in capfd.readouterr().err
