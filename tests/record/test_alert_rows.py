"""How alerts stand, in a store that gateways share: each change is written once, each message delivered by one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from msgspec import structs

from drawbar.record import alerts
from drawbar.record.alerts import MOST_WAITING, AlertMessage, AlertTable, Standing
from drawbar.record.store import Store


def message(id: str, alert: str = "low", webhook: str = "ops", due: float = 1.0, created: float = 1.0) -> AlertMessage:
    return AlertMessage(id=id, alert=alert, webhook=webhook, body=b"{}", due=due, created=created)


FIRED = Standing(name="low", state="firing", since=1.0, value=0.25, count=7, revision=1)


def test_of_several_that_see_a_change_one_writes_it(store: Store) -> None:
    table = AlertTable(store)
    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(lambda n: table.change(FIRED, [message(f"msg_{n}")]), range(8)))
        again = structs.replace(FIRED, state="ok", revision=2)
        second = list(pool.map(lambda n: table.change(again, [message(f"msg_1{n}")]), range(8)))
    assert (first.count(True), second.count(True)) == (1, 1)
    assert table.standings() == {"low": again}
    assert (table.standing("low"), table.standing("other")) == (again, None)
    assert (table.waiting(["ops"], 5.0), table.waiting(["chat"], 5.0)) == (2, 0)


def test_a_message_is_taken_by_one_and_by_another_when_that_one_is_gone(store: Store) -> None:
    table = AlertTable(store)
    table.change(FIRED, [message("msg_1")])
    [found] = table.due(["ops"], now=5.0)
    with ThreadPoolExecutor(8) as pool:
        taken = [each for each in pool.map(lambda _: table.take(found, until=20.0), range(8)) if each is not None]
    assert [each.attempts for each in taken] == [1]
    assert table.due(["ops"], now=19.0) == []
    [late] = table.due(["ops"], now=20.0)
    assert late.attempts == 1
    table.settle(structs.replace(late, state="sent"))
    assert table.due(["ops"], now=1e9) == []
    assert [each.state for each in table.newest("low")] == ["sent"]


def test_an_alerts_messages_come_in_order_and_others_do_not_wait_for_them(store: Store) -> None:
    table = AlertTable(store)
    table.change(FIRED, [message("msg_1", due=100.0), message("msg_2", webhook="chat")])
    table.change(structs.replace(FIRED, revision=2), [message("msg_3")])
    table.change(
        structs.replace(FIRED, name="cost"), [message("msg_4", alert="cost"), message("msg_5", webhook="gone")]
    )
    assert [each.id for each in table.due(["ops", "chat"], now=50.0)] == ["msg_2", "msg_4"]
    assert [each.id for each in table.due(["ops"], now=100.0)] == ["msg_1", "msg_4"]


def test_what_waits_for_a_webhook_is_bounded_and_what_is_long_past_forgotten(store: Store) -> None:
    table = AlertTable(store)
    many = [message(f"msg_{n:05}") for n in range(MOST_WAITING + 20)]
    assert table.change(FIRED, many)
    assert table.waiting(["ops"], 5.0) == MOST_WAITING
    assert [each.id for each in table.due(["ops"], now=5.0)] == ["msg_00020"]
    late = alerts.STALE + 10.0
    assert table.due(["ops"], now=late) == []
    table.change(structs.replace(FIRED, revision=2), [message("msg_9", webhook="chat", created=late)])
    [told] = [each for each in table.newest("low") if each.webhook == "ops"]
    assert (told.state, told.error) == ("failed", "nobody delivered it within a day")
    later = alerts.KEPT + 20.0
    table.change(structs.replace(FIRED, revision=3), [message("msg_9a", webhook="chat", created=later)])
    assert [each.webhook for each in table.newest("low")] == ["chat"]
