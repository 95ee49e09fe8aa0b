"""What counts: the right answer; and what is worth knowing beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from drawbar import Judge, Rubric, Task, Trajectory, metric, reward
from drawbar.judging import Verdict
from drawbar_wiki_search.answers import final_answer, matches, normalise

JUDGE_TEMPLATE = """\
A question was asked, and its right answer is known. Decide whether the given answer is right: it must name the same \
thing as the right answer (or one of its other forms), whatever the wording, and must not hedge between several.

Question: {{ question }}
Right answer: {{ answer }}
Other forms: {{ info.aliases | join('; ') or 'none' }}
Given answer: {{ completion }}

Think in one sentence. Then end with one line: VERDICT: RIGHT or VERDICT: WRONG
"""
JUDGE = Judge(template=JUDGE_TEMPLATE, model="gpt-5-mini", verdicts={"RIGHT": 1.0, "WRONG": 0.0})


@reward
def answer_correct(completion: str, task: Task) -> float:
    """1 when the answer, or an alias of it, is given, with or without a sentence around it."""
    return float(matches(completion, [str(task.answer), *task.info.get("aliases", ())]))


@reward(name="answer_correct")
async def judged_answer_correct(completion: str, judge: Judge) -> Verdict | float:
    """1 when the judge finds the answer right; no answer is not worth asking about."""
    if not completion:
        return 0.0
    return await judge(completion=final_answer(completion))


@metric
def pages_read(trajectory: Trajectory) -> int:
    """Different pages of which a section was read."""
    return len(_read(trajectory))


@metric
def searches(trajectory: Trajectory) -> int:
    """Searches made."""
    return len(_calls(trajectory, "search_pages"))


@metric
def tool_errors(trajectory: Trajectory) -> int:
    """Tool calls that ended in an error."""
    return sum(call.is_error for call in trajectory.tool_calls)


@metric
def supporting_page_found(trajectory: Trajectory, task: Task) -> float | None:
    """The share of supporting pages of which a section was read; none where the task names no pages."""
    return _share(task.info.get("pages", ()), _read(trajectory))


@metric
def answer_tokens(completion: str) -> int:
    """Words in the final answer, as the answer matcher counts them."""
    return len(normalise(final_answer(completion)))


@metric
def citation(completion: str, task: Task) -> float | None:
    """The share of supporting pages whose page id the answer cites; none where the task names no pages."""
    return _share(task.info.get("pages", ()), re.findall(r"[\w-]+", completion))


METRICS = (pages_read, searches, tool_errors, supporting_page_found, answer_tokens, citation)
MATCHED = Rubric(answer_correct, *METRICS)
JUDGED = Rubric(judged_answer_correct, *METRICS)


def _calls(trajectory: Trajectory, tool: str) -> list[Any]:
    return [call for call in trajectory.tool_calls if call.tool == tool and not call.is_error]


def _read(trajectory: Trajectory) -> set[str]:
    return {str(call.arguments.get("section_id", "")).rpartition(":")[0] for call in _calls(trajectory, "read_section")}


def _share(wanted: Iterable[str], found: Iterable[str]) -> float | None:
    wanted = set(wanted)
    return len(wanted & set(found)) / len(wanted) if wanted else None
