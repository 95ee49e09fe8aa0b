"""Stores to import into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.record.conftest import postgres, postgres_url  # noqa: F401  # fixtures

from drawbar.record.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "drawbar.db")
    yield store
    store.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "other.db")
    yield store
    store.close()


@pytest.fixture
def open_store() -> Iterator[Callable[[str | Path], Store]]:
    """Opens stores, and closes them."""
    opened: list[Store] = []

    def open(url: str | Path) -> Store:
        opened.append(Store.open(url))
        return opened[-1]

    yield open
    for store in opened:
        store.close()
