"""A gateway in this process, served on the loopback, for tests of the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from drawbar.environment import Environment
from drawbar.gateway import Gateway
from drawbar.proxy.failures import RetryPolicy
from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings
from drawbar.record.store import Store
from drawbar.rollout.access import LocalAccess
from drawbar.serving import serving

Reach = Callable[..., AbstractAsyncContextManager[LocalAccess]]
"""`async with reach(environment) as access`; every call opens the same store again."""


@pytest.fixture
def reach(tmp_path: Path) -> Reach:
    @asynccontextmanager
    async def opened(
        environment: Environment,
        *,
        base_url: str | None = None,
        store: Store | None = None,
        concurrency: int | None = None,
    ) -> AsyncIterator[LocalAccess]:
        models = Models(in_process=environment.models, base_url=base_url, concurrency=concurrency)
        settings = Settings(retries=RetryPolicy(attempts=1))
        kept = store or Store.open(tmp_path / "runs.db")
        try:
            gateway = Gateway(kept, models, environments={environment.name: environment}, settings=settings)
            async with gateway, serving(gateway) as url:
                yield LocalAccess(gateway, url)
        finally:
            kept.close()

    return opened


@pytest.fixture
def read(tmp_path: Path) -> Callable[[], Store]:
    """Opens the store to look at it; the test closes it."""
    return lambda: Store.open(tmp_path / "runs.db", read_only=True)
