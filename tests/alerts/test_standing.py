"""When an alert fires, when it keeps quiet and when it is over: the rules, without any time passing."""

from __future__ import annotations

from typing import Any

import pytest

from drawbar.alerts.rule import AlertRule
from drawbar.alerts.standing import step
from drawbar.errors import ConfigurationError
from drawbar.record.alerts import Standing
from drawbar.record.observing import Seen


def rule(**given: Any) -> AlertRule:
    return AlertRule(**{"name": "low", "measure": "reward", "below": 0.5, "last": 10, "at_least": 2, **given})


def told(rule: AlertRule, *seen: tuple[float, float | None], count: int = 10) -> list[str]:
    """What is told at each of these observations (when, what), and how it stands then: `firing+` is told."""
    standing, found = Standing(name=rule.name, since=0.0), []
    for now, value in seen:
        after, kind = step(rule, standing, Seen(value=value, count=count), now)
        assert after.revision - standing.revision == (0 if after is standing else 1)
        standing = after
        found.append(standing.state + ("" if kind is None else "+" if kind == standing.state else "-"))
    return found


def test_it_fires_once_stays_quiet_and_is_resolved_once() -> None:
    seen = ((1.0, 0.9), (2.0, 0.4), (3.0, 0.3), (4.0, 0.2), (5.0, 0.6), (6.0, 0.7))
    assert told(rule(), *seen) == ["ok", "firing+", "firing", "firing", "ok-", "ok"]


def test_between_the_limit_and_clear_nothing_changes() -> None:
    seen = ((1.0, 0.55), (2.0, 0.4), (3.0, 0.55), (4.0, 0.69), (5.0, 0.7), (6.0, 0.55))
    assert told(rule(clear=0.7), *seen) == ["ok", "firing+", "firing", "firing", "ok-", "ok"]


def test_it_must_be_bad_all_the_time_before_it_fires() -> None:
    seen = ((1.0, 0.4), (40.0, 0.4), (50.0, 0.6), (60.0, 0.4), (119.0, 0.4), (120.0, 0.4))
    assert told(rule(lasting=60.0), *seen) == ["pending", "pending", "ok", "pending", "pending", "firing+"]


def test_what_fires_is_told_again_only_after_the_time_for_that() -> None:
    seen = ((1.0, 0.4), (50.0, 0.4), (101.0, 0.4), (150.0, 0.4), (201.0, 0.4), (202.0, 0.6))
    assert told(rule(repeat=100.0), *seen) == ["firing+", "firing", "firing+", "firing", "firing+", "ok-"]


def test_too_few_observations_say_nothing_neither_bad_nor_good() -> None:
    low = rule(lasting=10.0, repeat=1.0)
    pending, _ = step(low, Standing(name="low", since=0.0), Seen(value=0.1, count=2), 1.0)
    assert step(low, pending, Seen(value=0.1, count=1), 20.0)[0].state == "ok"
    firing, _ = step(low, pending, Seen(value=0.1, count=2), 20.0)
    assert firing.since == 1.0
    for few in (Seen(value=0.9, count=1), Seen(value=None)):
        assert step(low, firing, few, 30.0) == (firing, None)


def test_all_messages_of_one_time_have_one_incident() -> None:
    low = rule(repeat=1.0)
    standing, incidents = Standing(name="low", since=0.0), []
    for now, value in ((1.0, 0.1), (3.0, 0.1), (4.0, 0.9), (5.0, 0.1)):
        standing, _ = step(low, standing, Seen(value=value, count=9), now)
        incidents.append(standing.incident)
    assert incidents[0] == incidents[1] == incidents[2] != incidents[3]


def test_what_must_not_be_much_fires_above_its_limit() -> None:
    errors = AlertRule(name="errors", measure="error_rate", above=0.1, clear=0.05, last=50, at_least=10)
    assert told(errors, (1.0, 0.1), (2.0, 0.11), (3.0, 0.06), (4.0, 0.05)) == ["ok", "firing+", "firing", "ok-"]
    cost = AlertRule(name="cost", measure="cost", above=5.0)
    assert told(cost, (1.0, 6.0), (2.0, 0.0), count=0) == ["firing+", "ok-"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"measure": "rewards"}, "nothing is measured as 'rewards'. Did you mean 'reward'"),
        ({"measure": "score"}, "nothing is measured as 'score'"),
        ({"above": 0.9}, "one of `below` and `above`"),
        ({"below": None}, "one of `below` and `above`"),
        ({"clear": 0.4}, "not less than `below`: not 0.4"),
        ({"at_least": 11}, "of the last 10 there are never 11"),
        ({"where": "rewrd < 1"}, "no column 'rewrd'"),
        ({"measure": "cost", "rubric": "v1"}, "of no rubric"),
        ({"measure": "recorder_failing", "below": None, "where": "model = m"}, "of the gateway itself"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        rule(**given)
