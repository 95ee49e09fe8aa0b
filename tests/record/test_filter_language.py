"""What can be written in a filter, and what is said of a filter that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from drawbar.errors import ConfigurationError
from drawbar.record.filter import DEEPEST, EVERYTHING, MOST, equal, where
from drawbar.record.rows import SessionRow
from drawbar.record.store import Store

Make = Callable[..., SessionRow]
NOW = 1_796_083_200.0
"""2026-12-01, midnight in UTC."""
DAY = 86400.0


@pytest.fixture
def found(sqlite_store: Store, make_session: Make) -> Callable[[str], Sequence[str]]:
    """The sessions that a filter means among one of each of the last days: `d0` began now, `d1` a day ago, ..."""
    sqlite_store.write(
        [
            make_session(id=f"d{n}", started=NOW - n * DAY, ended=NOW - n * DAY + 90 if n else None, rollout=n)
            for n in range(10)
        ]
    )
    return lambda text: [row.id for row in sqlite_store.select(where(text, now=NOW))]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("started > 2d", ["d0", "d1"]),
        ("started >= 48h", ["d0", "d1", "d2"]),
        ("started < 1w", ["d8", "d9"]),
        ("started = 2026-11-30", ["d1"]),
        ("started = yesterday", ["d1"]),
        ("started = today", ["d0"]),
        ("started > 2026-11-29", ["d0", "d1"]),
        ("started <= 2026-11-23", ["d8", "d9"]),
        ("started between 2026-11-29 and 2026-11-30", ["d1", "d2"]),
        ("started >= 2026-12-01T01:00+01:00", ["d0"]),
        ("started >= '2026-12-01 00:00'", ["d0"]),
        (f"started >= {NOW:.0f}", ["d0"]),
        ("started > now", []),
        ("duration > 1min and started > 3d", ["d1", "d2"]),
        ("duration between 80 and 1.5min and started > 3d", ["d1", "d2"]),
        ("ended is null", ["d0"]),
        ("ended = null", ["d0"]),
        ("session != d3 AND NOT rollout > 3", ["d0", "d1", "d2"]),
        ("rollout = 1 or rollout = 2 and session = d1", ["d1"]),
        ("(rollout = 1 or rollout = 2) and session = d1", ["d1"]),
        ("rollout in (1, 2.0, 77)", ["d1", "d2"]),
        ("rollout not in (0, 1, 2, 3, 4, 5, 6, 7)", ["d8", "d9"]),
        ("session like 'd_' and session contains 9", ["d9"]),
        ("not not session = d1", ["d1"]),
        ("session=d1or rollout=2", ["d1"]),
        ("\n session == \t'd\\1'\n", ["d1"]),
    ],
)  # fmt: skip
def test_a_filter_means_what_it_says(found: Callable[[str], Sequence[str]], text: str, ids: Sequence[str]) -> None:
    if text == "session=d1or rollout=2":  # a word goes on until a space
        with pytest.raises(ConfigurationError, match="expected"):
            found(text)
    else:
        assert found(text) == ids


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_no_filter_means_every_session(found: Callable[[str], Sequence[str]], text: str) -> None:
    assert len(found(text)) == 10


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rewrad > 1", r"character 1: there is no column 'rewrad'. Did you mean 'reward'\?"),
        ("correct > 1", "A score is written score.correct"),
        ("reward > 1 and metric.x = 2", "character 16: there is no column 'metric'"),
        ("reward >> 1", "character 9: expected a value"),
        ("reward >", "at its end: expected a value"),
        ("reward", "reward must be compared with something"),
        ("reward > much", "character 10: expected a number, not 'much'"),
        ("reward > inf", "expected a number between"),
        ("(reward > 1", r"its end: expected `\)`"),
        ("reward > 1)", "character 11"),
        ("reward = 1 reward = 2", "character 12: expected .*`and`"),
        ("finding = emty_reply", "Did you mean 'empty_reply'"),
        ("health = ill", "character 10: expected one of its words"),
        ("score > 1", "'score' needs a name: score.NAME"),
        ("model.x = 1", "'model' has nothing after a dot"),
        ("model < 3", "model is text and takes =, in, is null, contains, like"),
        ("started > soon", "expected a time such as 7d"),
        ("duration > 7 days", "expected"),
        ("duration > long", "a length of time such as 30s"),
        ("metadata.age > old", "expected a number"),
        ("model = 'open", "expected a value"),
        ("valid = 1", "expected true or false"),
        ("valid > true", "takes ="),
        ("reward between 1", "its end: expected `and`"),
        ("reward in ()", "expected a value"),
        ("; drop table session", "character 1: expected a column"),
        ("x" * 60_000, "it may have 50000"),
        (" and ".join(["turns > 1"] * (MOST + 1)), f"may have {MOST} comparisons"),
        (f"turns in ({', '.join(['1'] * (MOST + 1))}) and turns = 1", f"may have {MOST} comparisons"),
        ("(" * 2000 + "turns = 1" + ")" * 2000, "deep"),
        ("not " * 2000 + "turns = 1", "deep"),
    ],
)
def test_of_a_filter_that_cannot_be_read_is_said_where_and_what_was_expected(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        where(text)


def test_the_place_of_a_mistake_is_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        where("turns = 1 and reward > much")
    _, line, mark = str(caught.value).split("\n")
    assert line[mark.index("^") :] == "much"


def test_the_largest_filters_are_still_read_by_each_database(store: Store, make_session: Make) -> None:
    store.write([make_session(id="one", model="m5")])
    for text in (
        " and ".join(["not turns > 1"] * MOST),
        " or ".join(["metadata.x = 3"] * (MOST // 2 - 1)) + " or turns = 0",
        f"model in ({', '.join(f'm{n}' for n in range(7000))})",
        "(" * DEEPEST + "turns = 0" + ")" * DEEPEST,
        "not " * DEEPEST + "turns = 0",
        "not (turns = 1 and not (upstream = a or " * (DEEPEST // 4) + "turns = 1" + "))" * (DEEPEST // 4),
    ):
        assert store.count(where(text)) == 1


@pytest.mark.parametrize("text", ["'; DROP TABLE session; --", "a' OR '1'='1", "\x00", "\ud800", "%s :x ? $1", "a\\"])
def test_no_text_of_a_filter_is_taken_for_sql(store: Store, make_session: Make, text: str) -> None:
    store.write([make_session(id="other", model="m"), make_session(id="same", model=text)])
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    stored = "\ufffd" if text == "\x00" else "?" if text == "\ud800" else text
    if store.url.startswith("sqlite") and text == "\x00":
        stored = "another"  # SQLite keeps it
    found = [row.model for row in store.select(where(f"model = {quoted}"))]
    assert found in ([stored], [])
    assert [row.id for row in store.select(where(f"metadata.{quoted} is null and model = m"))] == ["other"]
    assert store.count() == 2


def test_filters_are_put_together(found: Callable[[str], Sequence[str]], sqlite_store: Store) -> None:
    both = where("rollout < 4", now=NOW) & equal("session", "d2")
    assert [row.id for row in sqlite_store.select(both)] == ["d2"]
    assert (EVERYTHING & both) is both
    assert (both & EVERYTHING) is both
    assert sqlite_store.count(equal("run", None)) == 10
