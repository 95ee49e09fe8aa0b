"""What live scores say of the judges that were asked for them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from drawbar.record import schema
from drawbar.record.store import Store


def judged(store: Store, rubric: str, since: float, others: Collection[str]) -> list[tuple[str, str, float, bytes]]:
    """The live scores of sessions that this rubric took up since then, for which judges were asked: session, id, time
    and usage (JSON). `others`: versions of other rubrics that score the same sessions. Raises `StoreError`."""
    score, scoring = schema.score, schema.live_scoring
    query = (
        select(score.c.session, score.c.id, score.c.created, score.c.usage)
        .join(scoring, scoring.c.session == score.c.session)
        .where(scoring.c.rubric == rubric, scoring.c.created > since, score.c.rubric_version.not_in(others))
        .where(score.c.source == "live", score.c.usage.is_not(None))
    )
    with store.reading() as connection:
        return [(row[0], row[1], row[2], bytes(row[3])) for row in connection.execute(query)]
