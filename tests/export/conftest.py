"""A store to export from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.export.stories import tell

from drawbar.record.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "drawbar.db")
    yield store
    store.close()


@pytest.fixture
def told(store: Store) -> Callable[..., str]:
    """Records a session in a dialect; its id."""
    return lambda dialect="chat", **fields: tell(store, dialect, **fields).end()
