"""How an alert stands, and what a new observation changes. Pure: given what was, what is seen and when, it says what
is.

An alert is `ok`, `pending` (it is bad, but not yet for long enough) or `firing`. One that fires stays so until it is
good again (`clear`), whatever happens in between: a process that is started anew, another gateway that looks, a time
in which too little is seen to say anything.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import structs

from drawbar.alerts.rule import AlertRule
from drawbar.ids import new_id
from drawbar.record.alerts import Standing
from drawbar.record.observing import Seen

Kind: TypeAlias = Literal["firing", "resolved"]


def step(rule: AlertRule, before: Standing, seen: Seen, now: float) -> tuple[Standing, Kind | None]:
    """How it stands now, and what is to be told. What has not changed is the same object."""
    if seen.value is None or seen.count < rule.fewest:
        return (_turned(before, "ok", seen, now), None) if before.state == "pending" else (before, None)
    if before.state == "firing":
        return _still(rule, before, seen, seen.value, now)
    if not rule.bad(seen.value):
        return (_turned(before, "ok", seen, now), None) if before.state == "pending" else (before, None)
    since = before.since if before.state == "pending" else now
    if now - since < rule.lasting:
        return (before if before.state == "pending" else _turned(before, "pending", seen, now)), None
    fired = _turned(before, "firing", seen, now)
    return structs.replace(fired, since=since, incident=new_id("inc"), told=now, repeated=0), "firing"


def _still(rule: AlertRule, before: Standing, seen: Seen, value: float, now: float) -> tuple[Standing, Kind | None]:
    if rule.good(value):
        return _turned(before, "ok", seen, now), "resolved"
    if rule.repeat is None or before.told is None or now - before.told < rule.repeat:
        return before, None
    told = structs.replace(
        before, told=now, repeated=before.repeated + 1, value=value, count=seen.count, revision=before.revision + 1
    )
    return told, "firing"


def _turned(before: Standing, state: str, seen: Seen, now: float) -> Standing:
    return structs.replace(
        before, state=state, since=now, value=seen.value, count=seen.count, revision=before.revision + 1
    )
