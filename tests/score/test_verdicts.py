"""How a judge's reply is read: no verdict is better than a wrong one."""

from __future__ import annotations

import pytest

from drawbar.verdicts import find_verdict

YES_NO = ("yes", "no")
GRADES = ("A", "B", "C")
WORDS = ("correct", "incorrect", "partly correct")


@pytest.mark.parametrize(
    ("reply", "verdicts", "wanted"),
    [
        ("yes", YES_NO, "yes"),
        ("  YES.\n", YES_NO, "yes"),
        ("**No**", YES_NO, "no"),
        ("Yes\n\nThe dates agree, and so does the place.", YES_NO, "yes"),
        ("The dates differ.\n\nno", YES_NO, "no"),
        ("Verdict: yes, because the dates agree", YES_NO, "yes"),
        ("**Verdict:** *No* (the dates differ)", YES_NO, "no"),
        ("My verdict is yes.", YES_NO, "yes"),
        ('{"reason": "same date", "verdict": "yes"}', YES_NO, "yes"),
        ("<think>no, no. Verdict: no</think>\nyes", YES_NO, "yes"),
        ("Verdict: yes\nOn reflection that was hasty.\nVerdict: no", YES_NO, "no"),
        ("B", GRADES, "B"),
        ("(C).", GRADES, "C"),
        ("[[A]]", GRADES, "A"),
        (r"So the grade is \boxed{B}", GRADES, "B"),
        ("The final answer is A.", GRADES, "A"),
        ("Grade - not given\nScore = C", GRADES, "C"),
        ("incorrect", WORDS, "incorrect"),
        ("Judgement: partly correct", WORDS, "partly correct"),
        ("Rating: 10", ("1", "10"), "10"),
        ("Rating: 1", ("1", "10"), "1"),
        ("a", ("a", "A"), "a"),
    ],
)
def test_a_reply_that_gives_a_verdict_is_read(reply: str, verdicts: tuple[str, ...], wanted: str) -> None:
    assert find_verdict(reply, verdicts) == wanted


@pytest.mark.parametrize(
    ("reply", "verdicts"),
    [
        ("", YES_NO),
        ("I cannot say yes or no to this.", YES_NO),
        ("There is no doubt about it.", YES_NO),
        ("A good answer, all in all.", GRADES),
        ("The answer is not correct", WORDS),
        ("Verdict: A or B", GRADES),
        ("Reference answer: yes", YES_NO),
        ("Rating: 1.5", ("1", "10")),
        ("Verdict: maybe", YES_NO),
        ("<think>Verdict: yes", YES_NO),
        ("Verdict: A", ("a", "b", "B")),
    ],
)
def test_a_reply_that_gives_none_is_not_guessed_at(reply: str, verdicts: tuple[str, ...]) -> None:
    assert find_verdict(reply, verdicts) is None
