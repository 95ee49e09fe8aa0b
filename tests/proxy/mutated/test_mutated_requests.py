"""Requests that no agent sends: each is answered as its dialect has it and leaves one row; the gateway goes on."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest
from tests.proxy.mutated.mutations import Mutator, answers

if TYPE_CHECKING:
    from tests.proxy.mutated.conftest import Bench
    from tests.proxy.mutated.in_memory import Heard

PATHS: Final = {
    "chat": ("/v1/chat/completions",),
    "responses": ("/v1/responses",),
    "messages": ("/v1/messages",),
    "gemini": (
        "/v1beta/models/g:generateContent",
        "/v1beta/models/g:streamGenerateContent",
        "/v1/tunedModels/a/b:generateContent",
    ),
}
MEANT: Final = {400, 404, 413}
"""What a request is refused with when there is something wrong with it."""
FEW_AND_MANY: Final = [150, pytest.param(10_000, marks=pytest.mark.slow)]
BATCH: Final = 25
"""Requests that are sent at once, in a session of their own."""


def batches(dialect: str, count: int) -> Iterator[list[tuple[str, bytes]]]:
    """So many bodies, with a name for each: a wrong type in every field, and then whatever the mutator thinks of."""
    mutator = Mutator.of_requests(dialect)
    systematic = [(f"{dialect} type {at}", body) for at, body in enumerate(mutator.wrong_types())]
    random.Random(dialect).shuffle(systematic)
    drawn = ((f"{dialect} seed {at}", mutator.body(random.Random(f"{dialect}{at}"))) for at in itertools.count())
    bodies = itertools.islice(itertools.chain(systematic[: count // 3], drawn), count)
    while batch := list(itertools.islice(bodies, BATCH)):
        yield batch


def is_native(dialect: str, heard: Heard) -> bool:
    """Whether an error is in the shape that the dialect's SDKs read."""
    body = json.loads(heard.body)
    wanted = {"gemini": {"code", "message", "status"}, "messages": {"type", "message"}}
    return wanted.get(dialect, {"message", "code"}) <= body["error"].keys() and (
        dialect != "messages" or body["type"] == "error"
    )


@pytest.mark.parametrize("count", FEW_AND_MANY)
@pytest.mark.parametrize("dialect", PATHS)
async def test_no_request_is_a_failure_of_ours_or_goes_unrecorded(bench: Bench, dialect: str, count: int) -> None:
    bench.liar.usual.parts = [answers(dialect)[0]]
    memory = bench.memory(count // BATCH)
    for number, batch in enumerate(batches(dialect, count)):
        paths = itertools.cycle(PATHS[dialect])
        asked = [{"path": next(paths), "body": body} for _, body in batch]
        _, heard = await bench.turns(asked, sets_fields=number % 2 == 1)
        for (name, body), one in zip(batch, heard, strict=True):
            assert one.status == 200 or one.status in MEANT, (name, one.status, one.body[:200], body[:200])
            assert one.status == 200 or is_native(dialect, one), (name, one.body)
        memory.look()
    memory.must_not_have_grown()
    await bench.still_works()
