"""`drawbar compare --live`: live traffic before and after, on the command line."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drawbar.record.rows import CallRow, Row, ScoreRow, SessionRow
from drawbar.record.store import Store


@pytest.fixture
def traffic(tmp_path: Path) -> None:
    """A week of good sessions and a day of bad ones, by two models, of which one stayed as it was."""
    store, now, rows = Store.open(tmp_path / "drawbar.db"), time.time(), list[Row]()
    for n in range(240):
        id, bad, model = f"s{n}", n % 2, ("old", "new")[n % 4 // 2]
        started = now - (3600 if bad else 86400 * 3) - n
        worth = 0.9 - n % 7 / 50 - (0.6 if bad and model == "new" else 0.0)
        rows += [
            SessionRow(id=id, environment="shop", model=model, started=started, ended=started + 9, status="ended"),
            CallRow(id="c", session=id, seq=0, dialect="chat", path="/", model=model, started=started,
                    ended=started + 1, status="answered", prompt_tokens=10),
            ScoreRow(id="r", session=id, name="ok", kind="reward", value=worth, weight=1.0, rubric_version="v1",
                     source="live", created=started),
        ]  # fmt: skip
    store.write(rows)
    store.close()


@pytest.mark.usefixtures("traffic")
def test_what_moved_comes_first_with_its_interval(drawbar: Callable[..., Any]) -> None:
    ended = drawbar("compare", "--live", "--before", "7d", "--after", "1d")
    assert ended.status == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0].startswith("before  20")
    assert lines[0].endswith("120 live sessions")
    reward = next(line for line in lines if line.startswith("reward"))
    assert reward.split()[:3] == ["reward", "0.8405", "0.5403"]
    assert reward.endswith("moved")
    turns = next(line for line in lines if line.startswith("turns"))
    assert "moved" not in turns
    assert "(Holm)" in ended.out


@pytest.mark.usefixtures("traffic")
def test_each_model_is_compared_for_itself_and_json_stands_alone(drawbar: Callable[..., Any]) -> None:
    found = drawbar("compare", "--live", "--by", "model", "--where", "environment = shop", "--json").json
    assert (found["correction"], found["level"]) == ("holm", 0.05)
    moved = {
        group["by"]["model"]: {metric["name"] for metric in group["metrics"] if metric["moved"]}
        for group in found["groups"]
    }
    assert moved == {"old": set(), "new": {"reward", "score.ok"}}
    assert found["tests"] == sum(metric["p"] is not None for group in found["groups"] for metric in group["metrics"])


@pytest.mark.usefixtures("traffic")
def test_where_there_is_too_little_it_says_so(drawbar: Callable[..., Any]) -> None:
    ended = drawbar("compare", "--live", "--before", "2020-01-01..2020-01-02", "--where", "model = new")
    assert "There are no live sessions before: nothing can be compared." in ended.out
    assert "only after" in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--live", "run_1"), "it takes neither runs nor --rubric"),
        (("run_1",), "Name two runs"),
        (("run_1", "run_2", "--by", "model"), "go with --live"),
        (("--live", "--after", "soon"), "--after soon: expected a length of time"),
        (("--live", "--by", "tag"), "Sessions cannot be counted by 'tag'"),
    ],
)
def test_what_cannot_be_meant_is_told(drawbar: Callable[..., Any], arguments: tuple[str, ...], said: str) -> None:
    ended = drawbar("compare", *arguments)
    assert ended.status == 2
    assert said in ended.err
