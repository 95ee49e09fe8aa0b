"""Which sessions are exported, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.export.exported import export
from tests.export.stories import Story, answers, chat, plain_story, says, shows

from drawbar.errors import UnknownName
from drawbar.export.format import FORMATS, Format, format_named
from drawbar.export.healthy import FURTHER, RULES, meaning, waivers
from drawbar.record.findings import FINDINGS
from drawbar.record.rows import ToolCallRow
from drawbar.record.store import Store


def _empty(store: Store) -> None:
    plain_story(store, answer=" ").end()


def _cut(store: Store) -> None:
    story = Story(store)
    story.exchange(chat("Hi?"), answers(says("Hel"), "length"))
    story.end()


def _altered(store: Store, shown: str = "Carl") -> None:
    story = Story(store)
    asks = says(None, ("c1", {"query": "x"}))
    story.exchange(chat("Hi?"), answers(asks, "tool_calls"))
    story.rows.append(
        ToolCallRow(
            id="t", session=story.id, seq=0, server="s", tool="look_up", name="look_up", arguments=b'{"query":"x"}',
            result=b'{"content":[{"type":"text","text":"Ada Lovelace wrote the first program in 1843"}]}',
            status="answered", started=story.row.started + 0.6, ended=story.row.started + 0.7,
        )
    )  # fmt: skip
    story.exchange(chat("Hi?", asks, shows("c1", shown)), answers(says("So.")))
    story.end()


def _unasked(store: Store) -> None:
    story = Story(store)
    story.exchange(chat("Hi?", shows("nobody", "asked")), answers(says("So.")))
    story.end()


FALLS: dict[str, Callable[[Store], object]] = {
    "open": lambda store: plain_story(store).leave_open(),
    "invalid_rollout": lambda store: plain_story(store).end("harness_failed"),
    "empty_turn": _empty,
    "truncation": _cut,
    "unjoined_tool_result": _unasked,
}


@pytest.mark.parametrize("rule", FALLS)
def test_a_session_that_is_not_healthy_falls_to_a_rule_and_can_be_allowed(store: Store, rule: str) -> None:
    FALLS[rule](store)
    healthy = plain_story(store, "Healthy?").end()
    rows, tally = export(store)
    assert [row["messages"][0]["content"] for row in rows] == ["Healthy?"], healthy
    assert {name: count for name, count in tally.by_rule().items() if count} == {rule: 1}
    assert (tally.meant, tally.looked_at, tally.sessions) == (2, 2, 1)
    assert len(export(store, waived=waivers([rule]))[0]) == 2


def test_a_tool_result_in_other_words_is_no_training_data(store: Store) -> None:
    _altered(store, "Ada Lovelace wrote the first program in 1843")
    _altered(store, "Bob Lovelace wrote the second program in 1844")
    rows, tally = export(store)
    assert (len(rows), sum(tally.fallen.values())) == (1, 1)


def test_every_defect_falls_to_some_rule_and_every_rule_has_a_meaning() -> None:
    defects = {kind.name for kind in FINDINGS.values() if kind.severity == "defect"}
    covered = set[str]().union(*(rule.findings for rule in RULES.values()))
    assert defects <= covered <= set(FINDINGS)
    assert all(meaning(name) for name in (*RULES, *FURTHER))
    with pytest.raises(UnknownName, match="truncation"):
        waivers(["trunkation"])
    assert waivers(["all"]) == set(RULES)


def test_a_session_that_nobody_has_looked_at_is_looked_at(store: Store) -> None:
    plain_story(store).end(looked_at=False)
    plain_story(store, answer="").end(looked_at=False)
    rows, tally = export(store)
    assert (len(rows), tally.by_rule()["empty_turn"]) == (1, 1)


class _Scored:
    """A format that needs what not every session has."""

    name = "scored"
    columns = None

    def __init__(self, *needs: str) -> None:
        self.needs = frozenset(needs)

    def rows(self, sample: object, losses: object) -> list[dict[str, object]]:
        return [{"sample": sample}]


def _made(store: Store, *needs: str) -> tuple[list[dict[str, object]], dict[str, int]]:
    from drawbar.export.engine import Export, Wanted

    format: Format = _Scored(*needs)  # type: ignore[assignment]
    made = Export(store, Wanted(format=format))
    rows = [row for page in made.pages() for row in page]
    return rows, {name: count for name, count in made.tally.by_rule().items() if count}


def test_a_format_that_needs_rewards_gets_sessions_that_have_one(store: Store) -> None:
    for values in ([0.5, 0.25], [], [None]):
        story = plain_story(store)
        for number, value in enumerate(values):
            story.score(value, f"s{number}")
        story.end()
    rows, fallen = _made(store, "reward")
    assert fallen == {"no_reward": 1, "invalid_rollout": 1}  # a scorer failed: that does not count at all
    assert [row["sample"].grade.reward for row in rows] == [0.75]  # type: ignore[attr-defined]
    assert rows[0]["sample"].grade.rubric == "v1"  # type: ignore[attr-defined]


def test_a_format_that_needs_token_ids_gets_sessions_where_they_were_told(store: Store) -> None:
    plain_story(store).end()
    story = Story(store)
    story.exchange(chat("Hi?"), answers(says("Ids.")))
    body = b'{"id":"a","choices":[{"index":0,"token_ids":[1,2]}],"prompt_token_ids":[3]}'
    from drawbar.ids import digest
    from drawbar.record.rows import BlobRow, CallRow

    [call] = [row for row in story.rows if isinstance(row, CallRow)]
    story.rows.remove(call)
    fields = {name: getattr(call, name) for name in CallRow.__struct_fields__}
    story.rows += [CallRow(**{**fields, "response_envelope": digest(body)}), BlobRow(digest=digest(body), body=body)]
    told = story.end()
    rows, fallen = _made(store, "token_ids")
    assert fallen == {"no_token_ids": 1}
    assert [row["sample"].trajectory.id for row in rows] == [told]  # type: ignore[attr-defined]


def test_the_filter_and_the_limit_choose_sessions_and_a_seed_their_order(store: Store) -> None:
    for number in range(30):
        plain_story(store, str(number), model="m" if number % 3 else "n", started=float(number)).end()

    def asked(**wanted: object) -> list[int]:
        return [int(row["messages"][0]["content"]) for row in export(store, **wanted)[0]]  # type: ignore[arg-type]

    assert asked(filter="model = n") == list(range(0, 30, 3))
    assert asked(limit=4) == [0, 1, 2, 3]
    assert asked(seed=1) == asked(seed=1) != asked(seed=2)
    assert sorted(asked(seed=1)) == list(range(30))
    assert asked(seed=1, limit=5) == asked(seed=1)[:5]


def test_a_tally_says_whose_words_they_are_and_how_long(store: Store) -> None:
    for number in range(3):
        story = plain_story(store, str(number), environment="wiki", environment_version="2")
        story.score(1.0)
        story.end()
    said = export(store)[1].to_json()
    assert said["environments"] == {"wiki 2": 3}
    assert said["models"] == {"up/m": 3}
    assert said["rubric_versions"] == {"v1": 3}
    assert (said["tokens"]["sum"], said["trained_tokens"]["median"]) == (330, 10)
    assert said["sessions"] == {"meant": 3, "looked_at": 3, "left_out": {}, "exported": 3}


def test_every_format_is_what_its_name_says() -> None:
    for name in FORMATS:
        assert format_named(name).name == name
    with pytest.raises(UnknownName, match="sharegpt"):
        format_named("shargpt")
