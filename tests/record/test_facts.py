"""Many sessions at once: what is read of each is what is read of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from drawbar.record.facts import FactReader, NodeFacts
from drawbar.record.filter import where
from drawbar.record.rows import ScoreRow
from drawbar.record.store import Store

if TYPE_CHECKING:
    from tests.record.conftest import Recording

New = Callable[..., "Recording"]


def _recorded(store: Store, new_recording: New, count: int = 3) -> list[str]:
    found = []
    for number in range(count):
        recording = new_recording(id=f"ses_{number}")
        recording.with_tool("Ada, 1843 " + "x" * 600, recording.gave("Ada, 1843"))
        recording.rows.append(
            ScoreRow(
                id="x", session=recording.id, name="correct", kind="reward", value=number / 2, weight=1.0,
                rubric_version="v", source="rollout", created=3.0,
            )
        )  # fmt: skip
        store.write(recording.rows)
        found.append(recording.id)
    return found


def test_sessions_calls_and_scores_are_read_by_the_page(store: Store, new_recording: New) -> None:
    ids = _recorded(store, new_recording)
    reader = FactReader(store)
    assert reader.ids() == ids
    assert reader.ids(where("reward >= 0.5")) == ids[1:]
    facts = reader.sessions([ids[2], "ses_unknown", ids[0]])
    assert [(each.id, each.status, bool(each.valid), each.findings) for each in facts] == [
        (ids[2], "open", False, None), (ids[0], "open", False, None),
    ]  # fmt: skip
    calls = reader.calls(ids)
    for id in ids:
        assert [call.id for call in calls[id]] == [call.id for call in store.trajectory(id).calls]
    assert {id: [score.value for score in scores] for id, scores in reader.scores(ids).items()} == {
        ids[0]: [0.0], ids[1]: [0.5], ids[2]: [1.0],
    }  # fmt: skip


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
def test_messages_are_read_from_their_leaves_to_their_roots(store: Store, new_recording: New, together: bool) -> None:
    ids = _recorded(store, new_recording)
    reader = FactReader(store)
    calls = reader.calls(ids)
    leaves = [leaf for id in ids if (leaf := calls[id][-1].reply) is not None]
    roots = [first for id in ids if (first := calls[id][0].request) is not None] if together else []
    paths = reader.paths([*leaves, b"unknown"], beginnings=roots, about=4 * together)
    assert paths.pop() is None
    for id, leaf, path in zip(ids, leaves, paths, strict=True):
        assert path is not None
        assert [
            (node, parent, dialect, reader.unpacked(body)) for node, parent, dialect, body in path
        ] == [(it.id, it.parent, it.dialect, it.body) for it in store.trajectory(id).path(leaf)]  # fmt: skip


def test_messages_that_are_known_are_not_read_again(store: Store, new_recording: New) -> None:
    [id] = _recorded(store, new_recording, 1)
    reader = FactReader(store)
    [*_, last] = reader.calls([id])[id]
    assert last.reply is not None
    known: dict[bytes, NodeFacts] = {last.reply: (last.reply, None, "chat", b"known")}
    assert reader.paths([last.reply], known) == [list(known.values())]
    [path] = reader.paths([last.reply])
    assert path is not None
    assert len(path) > 1


def test_more_than_one_query_holds_is_asked_in_several(store: Store, new_recording: New) -> None:
    ids = _recorded(store, new_recording, 7)
    reader = FactReader(store)
    asked = [f"ses_none_{n}" for n in range(1000)] + ids
    assert [facts.id for facts in reader.sessions(asked)] == ids
