"""The environment: index, tasks, rubric and the two models that need no LLM."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from drawbar import Environment, Limits
from drawbar.testing import for_agents
from drawbar_wiki_search.baseline import baseline
from drawbar_wiki_search.corpus import QUESTIONS, open_corpus
from drawbar_wiki_search.index import WikiIndex
from drawbar_wiki_search.oracle import oracle
from drawbar_wiki_search.questions import Split, load_questions
from drawbar_wiki_search.rubric import JUDGE, JUDGED, MATCHED
from drawbar_wiki_search.tools import WikiTools

SYSTEM = """\
Answer the question from the wiki, which you can search with your tools. A question may need more than one page. \
When you know the answer, give it in this form, and nothing after it:

Answer: the answer, as short as it can be
Sources: the page ids that it rests on, separated by commas"""


def load_environment(
    index: str = "", questions: str = "", split: Split = "test", scorer: Literal["match", "judge"] = "match"
) -> Environment:
    """Wiki search.

    Args:
        index: A folder made by `drawbar-wiki-index`; empty: the corpus that ships with the environment.
        questions: A JSONL or Parquet file with `question` and `answer`; empty: the questions that ship with it.
        split: `train`, `test` or `all`; a question's side depends on its content alone.
        scorer: How an answer is found right: `match` by its words, `judge` by an LLM (`--judge-model` says which).
    """
    wiki = WikiIndex(Path(index)) if index else open_corpus()
    tools = WikiTools(wiki)
    return Environment(
        name="wiki_search",
        version="0.1.0",
        description="Answer questions by searching a wiki.",
        tools=[tools.search_pages, tools.view_sections, tools.read_section],
        tasks=lambda: load_questions(Path(questions) if questions else QUESTIONS, split),
        rubric=JUDGED if scorer == "judge" else MATCHED,
        judge=JUDGE if scorer == "judge" else None,
        system=SYSTEM,
        limits=Limits(turns=20),
        models={"baseline": for_agents(baseline), "oracle": for_agents(oracle)},
        default_model="baseline",
    )
