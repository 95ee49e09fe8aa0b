"""What is chosen and paired in SQLite is chosen and paired in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from tests.export.exported import begun, fallen
from tests.export.rollouts import looked_up, rollout, rollouts
from tests.export.stories import plain_story
from tests.record.conftest import postgres, postgres_url  # noqa: F401  # fixtures

from drawbar.export.choice import Choice, dedupe, selector
from drawbar.export.task_filter import tasks_where
from drawbar.record.feedback import Feedback
from drawbar.record.store import Store


@pytest.fixture
def stores(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[Store]]:
    """Both, with the same sessions in them but for their ids."""
    found = [Store.open(tmp_path / "drawbar.db"), Store.open(str(request.getfixturevalue("postgres_url")))]
    for store in found:
        for number in range(6):
            rollouts(store, f"t{number}", [1.0] * (number % 4) + [0.0] * 2)
        looked_up(store, "tools", "one", "Ada.", 1.0)
        looked_up(store, "tools", "one", "Bob.", 0.0)
        corrected = rollout(store, "corrected", "Bob.", 0.0).end()
        store.write(Feedback(correction="Ada.").rows(corrected, None))
        before = plain_story(store, "First?", metadata=b'{"user":"ada"}', started=1.0).end()
        liked = plain_story(store, "Then?", continues=before, started=2.0).end()
        store.write(Feedback(thumbs="up").rows(liked, None))
    yield found
    for store in found:
        store.close()


CHOICES = {
    "trl": Choice(tasks=tasks_where("solve_rate between 0.1 and 0.9"), select=selector("correct"), split=0.5),
    "trl-kto": Choice(dedupe=dedupe("near"), split=0.4),
    "trl-dpo": Choice(dedupe=dedupe("exact"), per_task=99, split=0.4),
    "trl-grpo": Choice(tasks=tasks_where("pass_at_2 > 0")),
}


@pytest.mark.parametrize("format", CHOICES)
def test_both_databases_choose_the_same(stores: list[Store], format: str) -> None:
    told = []
    for store in stores:
        made = begun(store, format, choice=CHOICES[format])
        rows = {
            side: sorted(orjson.dumps(row) for page in made.pages(side=side) for row in page) for side in made.sides
        }
        told.append((rows, fallen(made.tally), made.tally.rows))
    assert told[0] == told[1]
    assert told[0][2]
