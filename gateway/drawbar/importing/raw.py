"""Our own raw exports: a session on each line, as `record.archive` tells it."""

from __future__ import annotations

from collections.abc import Iterator

from drawbar.importing.opening import Source
from drawbar.importing.packet import Damage, Item, Packet
from drawbar.record import archive


def recognises(source: Source) -> bool:
    return any(value.get("drawbar") == "session" for value in source.first_values())


def read(source: Source) -> Iterator[Item]:
    for line in source.lines():
        if line.why is not None:
            yield Damage(line.place, line.why)
            continue
        try:
            archived = archive.from_json(line.value)
        except ValueError as error:
            yield Damage(line.place, str(error))
            continue
        yield Packet(line.place, archived, by_content=False)
