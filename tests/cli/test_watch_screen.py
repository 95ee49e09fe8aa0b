"""What `drawbar watch` draws, at any size, and which keys mean what."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from drawbar.cli.watch_keys import keys_in
from drawbar.cli.watch_plain import Plain
from drawbar.cli.watch_screen import HELP, Picture
from drawbar.watching.board import Board
from drawbar.watching.changes import Begun, Gone, Pulse, RecorderState, Rewarded, Trouble, Watched

NOW = 10_000.0


def session(id: str, **fields: Any) -> Watched:
    given: dict[str, Any] = {
        "run": None, "environment": None, "task": None, "agent": "codex", "model": "gpt", "origin": "content",
        "user": None, "release": None, "tags": [], "status": "open", "stop": None, "started": NOW - 60, "ended": None,
        "heard": NOW - 5, "doing": None, "turns": 3, "calls": 3, "failed_calls": 0, "tool_calls": 0, "tool_errors": 0,
        "prompt_tokens": 1200, "completion_tokens": 34, "cost": None, "reward": None, "rubric": None, "scores": {},
        "feedback": {}, "health": "unknown", "findings": [],
    }  # fmt: skip
    return Watched(id=id, **{**given, **fields})


def over(id: str, **fields: Any) -> Watched:
    return session(id, **{"status": "ended", "stop": "completed", "ended": NOW - 2, "health": "good", **fields})


def pulse(**fields: Any) -> Pulse:
    given: dict[str, Any] = {"time": NOW, "open": 1, "under_way": 0, "per_second": 2.5, "error_rate": 0.04}
    return Pulse(**{**given, "window": 60.0, "rewards": [], **fields})


def picture(*changes: Any, **fields: Any) -> Picture:
    board = Board()
    board.take([Begun(store="s", where=""), *changes])
    return Picture(board, "drawbar.db", **fields)


def drawn(shown: Picture, width: int, height: int) -> list[str]:
    page = Console(file=StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    page.print(shown.draw(width, height, NOW))
    assert isinstance(page.file, StringIO)
    return page.file.getvalue().splitlines()


def test_a_wide_terminal_tells_all() -> None:
    rewards = [Rewarded(rubric="abcdef0123456", sessions=4, mean=0.5, low=0.25, high=0.75)]
    lines = drawn(
        picture(
            session("ses_0123456789abc", doing="tool search", tool_calls=2, cost=0.5, user="ada", tags=["beta"]),
            over("x", reward=0.5, rubric="abcdef", scores={"a": 1.0, "b": 0.0}, feedback={"thumbs": 1.0, "csat": 4}),
            pulse(rewards=rewards, recorder=RecorderState(lag=0.002, waiting=1, failing=False)),
        ),
        200, 14,
    )  # fmt: skip
    text = "\n".join(lines)
    assert "1 open session · 0 calls under way · 2.50 calls/s · 4.0% failed · recorder lag 2 ms, 1 row waiting" in text
    assert "reward 0.500 (0.250 to 0.750) of 4 by abcdef01" in text
    assert lines[4].split()[:6] == ["ses_0123456789", "1m", "5s", "tool", "search", "codex"]
    assert all(word in lines[4] for word in ("1.2k", "$0.5000", "ada #beta"))
    assert all(word in lines[7] for word in ("0.500", "good", "thumbs up, csat 4", "a 1 b 0"))
    assert (len(lines), lines[-1].strip()) == (14, HELP)


@pytest.mark.parametrize(("width", "height"), [(200, 50), (80, 24), (60, 12), (40, 10), (20, 5), (10, 3), (1, 1)])
def test_at_any_size_lines_are_as_long_and_as_many_as_fit(width: int, height: int) -> None:
    shown = picture(
        *(session(f"ses_{n}", user="日本語" * 9, doing="tool " + "x" * 99) for n in range(60)),
        *(over(f"end_{n}", findings=["failed_call"] * 9, health="defect") for n in range(60)), pulse(),
    )  # fmt: skip
    lines = drawn(shown, width, height)
    assert len(lines) == height
    assert max(Console().render_lines(line, pad=False)[0][0].cell_length if line else 0 for line in lines) <= width


def test_a_narrow_terminal_leaves_out_what_matters_least() -> None:
    lines = drawn(picture(session("ses_0123456789abc", user="ada"), pulse()), 60, 20)
    heading = next(line for line in lines if "heard" in line)
    assert all(word in heading for word in ("doing", "turns", "agent"))
    assert not any(word in heading for word in ("user", "session"))


def test_nothing_that_a_client_says_steers_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;x\x07\u202eevil\n"
    shown = picture(
        session("ses_1", agent=evil, model=evil, user=evil, tags=[evil], doing=f"tool {evil}", task=evil),
        over("ses_2", stop=evil, feedback={evil: 1.0}, scores={evil: 1.0, "b": 0.0}, findings=[evil]), pulse(),
    )  # fmt: skip
    for text in (
        "\n".join(drawn(shown, 250, 20)),
        "\n".join(Plain().lines([pulse(), *shown.board.open, over("x", stop=evil)])),
    ):
        assert "evil" in text
        assert not {"\x1b", "\x07", "\u202e"} & set(text)


def test_the_chosen_session_is_kept_in_sight() -> None:
    shown = picture(*(session(f"ses_{n:02}", started=NOW - n, heard=NOW - n) for n in range(50)), pulse())
    drawn(shown, 100, 20)
    shown.choose(1)
    assert shown.chosen == "ses_00"
    shown.choose(30)
    assert shown.chosen == "ses_30"
    assert any(line.startswith("ses_30") for line in drawn(shown, 100, 20))
    shown.choose(1000)
    assert shown.chosen == "ses_49"
    shown.choose(-1000)
    assert shown.chosen == "ses_00"


def test_open_sessions_are_ordered_as_is_asked() -> None:
    board = Board()
    board.take([session("a", heard=1.0, turns=9, agent="b"), session("b", heard=2.0, turns=1, agent="a")])
    orders = []
    for _ in range(6):
        orders.append((board.order, "".join(each.id for each in board.open)))
        board.next_order()
    assert orders[0] == ("last call", "ba")
    assert dict(orders)["turns"] == "ab"
    assert dict(orders)["agent"] == "ba"
    board.reversed = True
    assert [each.id for each in board.open] == ["a", "b"]


def test_a_board_forgets_what_is_gone_and_all_when_it_begins_again() -> None:
    board = Board()
    board.take([session("a"), session("b"), Gone(id="a"), pulse(), Trouble(message="away")])
    assert ([each.id for each in board.open], board.trouble) == (["b"], "away")
    board.take([Begun(store="s", where=""), pulse()])
    assert (board.open, board.trouble) == ([], None)


def test_what_is_amiss_is_said() -> None:
    assert "the disk is full" in "\n".join(drawn(picture(Trouble(message="the disk is full")), 80, 10))
    assert "the disk is full" in "\n".join(drawn(picture(pulse(), Trouble(message="the disk is full")), 80, 10))
    shown = picture(pulse(), typed="modle = x", mistake="there is no column 'modle'", paused=NOW)
    lines = drawn(shown, 100, 10)
    assert "filter: modle = x" in lines[-1]
    assert "there is no column 'modle'" in lines[-1]
    assert "paused" in lines[0]


def test_keys_are_told_apart() -> None:
    assert keys_in("q\x1b[A\x1b[B\x1bOA\r\x7f\x1b[6~é\x00\x1b") == [
        "q", "up", "down", "up", "enter", "backspace", "page down", "é", "escape",
    ]  # fmt: skip


def test_without_a_terminal_each_thing_that_happens_is_a_line() -> None:
    plain = Plain()

    def said(*changes: Any) -> list[str]:
        return [line.partition(" ")[2] for line in plain.lines(changes)]

    assert said(Begun(store="s", where=""), session("ses_old"), pulse()) == [
        "1 open session · 0 calls under way · 2.50 calls/s · 4.0% failed · no rewards yet"
    ]
    assert said(session("ses_new", user="ada"), pulse(time=NOW + 1)) == ["ses_new opened: codex · gpt · ada"]
    assert said(over("ses_new"), pulse(time=NOW + 2)) == ["ses_new ended: completed after 58s, 3 turns, 1.2k tokens"]
    assert said(over("ses_new", reward=0.5, rubric="r")) == ["ses_new reward 0.500 by r"]
    assert said(over("ses_new", reward=0.5, rubric="r", feedback={"thumbs": 0.0})) == ["ses_new feedback: thumbs down"]
    assert said(Trouble(message="away"), Trouble(message="away")) == ["away"]
    assert len(said(pulse(time=NOW + 11))) == 1
