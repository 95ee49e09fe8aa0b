"""The quick way through an export and the long one write the same bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.export.stories import Story, answers, chat, says, shows

from drawbar.export import sample
from drawbar.export.branches import Extent, samples
from drawbar.export.format import format_named
from drawbar.export.losses import Losses
from drawbar.export.sample import Sample
from drawbar.export.straight import StraightReader
from drawbar.record.facts import FactReader
from drawbar.record.store import Store
from drawbar.wire.tolerant import dump

WORDS = st.text(min_size=1, max_size=12) | st.sampled_from(
    ['"', "\\u00e9", "a/b\n", "\U0001f600\u2028", "\\", '{"a":1}']
)
QUESTIONS = WORDS | st.lists(WORDS.map(lambda words: {"type": "text", "text": words}), min_size=1, max_size=2)
EXTRAS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {}, optional={"refusal": st.none() | WORDS, "annotations": st.just([]), "reasoning_content": WORDS}
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
USES = st.lists(st.tuples(st.dictionaries(WORDS, VALUES, max_size=2), WORDS), max_size=2)
TURNS = st.lists(st.tuples(QUESTIONS, USES, WORDS, EXTRAS), min_size=1, max_size=3)
CONVERSATIONS = st.lists(st.tuples(st.none() | st.sampled_from(["system", "developer"]), TURNS), min_size=1, max_size=4)


def _told(store: Store, opening: str | None, turns: list[Any]) -> str:
    """Record a conversation, each request with all that was said before; its id."""
    story = Story(store)
    said: list[Any] = [] if opening is None else [{"role": opening, "content": "Be brief."}]
    for number, (question, uses, answer, extras) in enumerate(turns):
        said.append({"role": "user", "content": question})
        if uses:
            ids = [f"call_{number}_{place}" for place in range(len(uses))]
            asks = says(None, *((id, given) for id, (given, _) in zip(ids, uses, strict=True)), **extras)
            story.exchange(chat(*said), answers(asks, "tool_calls"))
            said += [asks, *(shows(id, words) for id, (_, words) in zip(ids, uses, strict=True))]
        last = says(answer, **extras)
        story.exchange(chat(*said), answers(last))
        said.append(last)
    return story.end()


def _written(format: str, found: Sample) -> tuple[list[bytes], Any]:
    losses = Losses()
    rows = [dump(row) for row in format_named(format).rows(found, losses)]
    losses.keep()
    return rows, losses.to_json()


@pytest.mark.parametrize("format", ["openai", "trl", "trl-completion", "sharegpt"])
@settings(max_examples=15, deadline=None)
@given(CONVERSATIONS)
def test_a_row_is_the_same_whichever_way_it_was_made(format: str, conversations: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "drawbar.db")
        ids = {_told(store, opening, turns) for opening, turns in conversations}
        reader = FactReader(store)
        facts = reader.sessions(reader.ids())
        quick = {it.facts.id: it for it in StraightReader(reader, parallel=True).samples(facts)}
        assert quick.keys() == ids
        for each in facts:
            [whole] = samples(store.trajectory(each.id), each, Extent())
            with patch.object(sample, "plain", lambda body, *, objects: None):
                expected = _written(format, whole)
            assert _written(format, quick[each.id]) == expected
        store.close()


def test_messages_of_the_commonest_kind_take_the_quick_way(store: Store) -> None:
    id = _told(store, "system", [("Who?", [({"name": "a"}, "Ada")], "Ada.", {"refusal": None})])
    reader = FactReader(store)
    [found] = StraightReader(reader).samples(reader.sessions([id]))
    assert [orjson.dumps(said.plain(objects=False)) for said in found.said] == [
        b'{"role":"system","content":"Be brief."}',
        b'{"role":"user","content":"Who?"}',
        b'{"role":"assistant","content":null,"tool_calls":[{"id":"call_0_0","type":"function",'
        b'"function":{"name":"look_up","arguments":"{\\"name\\":\\"a\\"}"}}]}',
        b'{"role":"tool","tool_call_id":"call_0_0","content":"Ada"}',
        b'{"role":"assistant","content":"Ada."}',
    ]
