"""The corpus that ships: big enough, well formed, and answerable from its own pages."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from drawbar import Task
from drawbar_wiki_search.answers import contains
from drawbar_wiki_search.corpus import QUESTIONS, articles, open_corpus
from drawbar_wiki_search.pages import Page, split_sections
from drawbar_wiki_search.questions import load_questions, side

PAGES = {page.id: page for page in articles()}
TASKS = list(load_questions(QUESTIONS))


def test_it_has_at_least_150_articles_and_200_questions_of_which_70_need_two_pages() -> None:
    assert len(PAGES) >= 150
    assert len(TASKS) >= 200
    assert sum(len(task.info["pages"]) > 1 for task in TASKS) >= 70


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_an_article_has_150_to_500_words_in_sections_and_no_markup(page: Page) -> None:
    sections = list(split_sections(page.id, page.text))
    assert 150 <= len(page.text.split()) <= 500
    assert len(sections) >= 3
    assert not re.search(r"[*_`\[\]<>|{}]", page.text)


@pytest.mark.parametrize("task", TASKS, ids=[task.key for task in TASKS])
def test_an_answer_stands_in_its_supporting_pages_and_not_in_the_question(task: Task) -> None:
    pages = [PAGES[page_id] for page_id in task.info["pages"]]
    assert any(contains(f"{page.title}\n{page.text}", task.answer) for page in pages)
    for form in (task.answer, *task.info["aliases"]):
        assert not contains(str(task.prompt), form)


def test_keys_and_questions_are_unique() -> None:
    assert max(Counter(task.key for task in TASKS).values()) == 1
    assert max(Counter(task.prompt for task in TASKS).values()) == 1


def test_the_split_is_deterministic_disjoint_and_leaves_both_sides_enough() -> None:
    train, test = ({t.key for t in load_questions(QUESTIONS, split)} for split in ("train", "test"))
    assert not train & test
    assert train | test == {task.key for task in TASKS}
    assert min(len(train), len(test)) >= 50
    assert side("What is the capital of France?") == "test"  # must never change: models were trained on it


def test_every_article_is_found_first_by_its_title() -> None:
    index = open_corpus()
    assert len(index) == len(PAGES)
    missed = [page.id for page in PAGES.values() if page.id not in [hit.page_id for hit in index.search(page.title, 3)]]
    assert missed == []
