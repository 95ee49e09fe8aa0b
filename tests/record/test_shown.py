"""What the model saw of a tool's result, held against what the server said."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from drawbar.record.asked import Shown
from drawbar.record.findings import FINDINGS
from drawbar.record.said import Said
from drawbar.record.shown import compare
from drawbar.record.store import Store

if TYPE_CHECKING:
    from tests.record.conftest import Recording


def said(*texts: str, structured: Any = None) -> Said:
    return Said(texts, (), structured)


def dumped(value: Any, **options: Any) -> str:
    return orjson.dumps(value, **options).decode()


ROWS = {"zone": "Ghent", "days": [{"rain": True, "mm": 2.0}, {"rain": False, "mm": 0.5}], "note": 'it is "wet"\nso'}
TURNED = {"note": 'it is "wet"\nso', "days": [{"mm": 2, "rain": True}, {"mm": 0.5, "rain": False}], "zone": "Ghent"}
PRETTY = dumped(ROWS, option=orjson.OPT_INDENT_2)
PAGE = "\n".join(f"line {n}: what is written in this line of the page, {n * n}" for n in range(200))
WORDS = 'say "Ä", it\'s\nnow: C:\\new \U0001f600 & <b>'


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (said("Ada, 1843"), "Ada, 1843"),
        (said("Ada, 1843"), "  Ada, 1843\n"),
        (said(""), ""),
        (said('{"a": 1}', structured={"a": 1}), '{"a":1}'),
        (said("in words", structured={"a": 1}), '{"a":1}'),
        (said(PRETTY), dumped(ROWS)),
        (said(PRETTY, structured=ROWS), dumped(TURNED)),
        (said("one", "two"), "one\ntwo"),
    ],
)
def test_a_result_that_is_shown_as_it_was_given_is_the_same(given: Said, shown: str) -> None:
    assert compare(given, Shown(shown)) == "same"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (said("Ada, 1843"), '{"result":"Ada, 1843"}'),
        (said("Ada, 1843"), "Wall time: 0.01 seconds\nOutput:\nAda, 1843"),
        (said("line\nline"), "[TextContent(type='text', text='line\\nline')]"),
        (said(WORDS), f"<untrusted_context>\n{WORDS}\n</untrusted_context>"),
        (said(WORDS), dumped({"result": WORDS})),
        (said(WORDS), dumped({"content": dumped([{"text": WORDS}])})),
        (said(WORDS), ascii([WORDS])),
        (said(WORDS), repr({"output": WORDS})),
        (said(WORDS), WORDS.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")),
        (said("\x1b[31mred\x1b[0m words"), "red words"),
        (said("one", "two"), '[{"type":"text","text":"one"},{"type":"text","text":"two"}]'),
        (said("words", structured=ROWS), f"structured: {dumped(TURNED)}"),
        (said("words", structured=ROWS), dumped({"result": TURNED})),
        (said(PRETTY), dumped({"content": [{"type": "text", "text": dumped(TURNED)}]})),
        (said(PAGE), "\n".join(f"{n:5}→{line}" for n, line in enumerate(PAGE.splitlines(), 1))),
        (said("42"), "The result is 42."),
        (said(""), "(search completed with no output)"),
        (said("all of it\r\nhere"), "<system>all of it\nhere</system>"),
    ],
)  # fmt: skip
def test_a_result_that_is_shown_whole_in_another_form_is_wrapped(given: Said, shown: str) -> None:
    assert compare(given, Shown(shown)) == "wrapped"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (said("words " * 1000), "words " * 100 + "[900 words left out]"),
        (said(f"{'a' * 500}{'b' * 500}{'c' * 500}"), f"{'a' * 500}\n...\n{'c' * 500}"),
        (said(PAGE), PAGE[:3000]),
        (said(PAGE), PAGE[-3000:]),
        (said(PAGE), f"Output too large (10 KB). Saved to: /tmp/{'x' * 300}/out.txt\n{PAGE[:500]}"),
        (said(PAGE), dumped({"content": [{"text": PAGE[:2000] + "\n…8,000 characters cut…\n" + PAGE[-2000:]}]})),
        (said(PAGE), "\n".join(line for n, line in enumerate(PAGE.splitlines()) if n % 2)),
    ],
)
def test_a_result_of_which_a_part_is_shown_is_truncated(given: Said, shown: str) -> None:
    assert compare(given, Shown(shown)) == "truncated"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (said("the answer is forty-two, said the oracle"), "the answer is forty-two, as I say. " * 9),
        (said(PAGE), PAGE.replace("line 77: what is written", "line 77: what was wanted")),
        (said(PRETTY, structured=ROWS), dumped({**ROWS, "zone": "Bath"})),
        (said("Ada Lovelace wrote the first program in 1843"), "Charles Babbage wrote the first program in 1837"),
    ],
)
def test_a_result_that_is_shown_in_other_words_is_altered(given: Said, shown: str) -> None:
    assert compare(given, Shown(shown)) == "altered"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (said("Ada, 1843"), "Grace, 1952"),
        (said("42"), "Error 1427"),
        (said(PAGE), "Tool execution aborted"),
        (said("Ada, 1843"), "[Old tool result content cleared]"),
    ],
)
def test_a_result_that_has_nothing_in_common_with_what_was_said_is_invented(given: Said, shown: str) -> None:
    assert compare(given, Shown(shown)) == "invented"


def test_nothing_in_place_of_a_result_is_missing() -> None:
    assert compare(said("Ada, 1843"), Shown(" ")) == "missing"


def test_pictures_count_as_shown_when_any_came_with_the_words_or_their_data_stands_in_them() -> None:
    data = "iVBORw0KGgo="
    given = Said.of({"content": [{"type": "text", "text": "a map"}, {"type": "image", "data": data, "mimeType": "x"}]})
    assert compare(given, Shown("a map", media=1)) == "same"
    assert compare(given, Shown(f"a map, data:image/png;base64,{data}")) == "wrapped"
    assert compare(given, Shown("a map")) == "truncated"
    assert compare(Said((), (data,)), Shown("", media=1)) == "same"
    assert compare(Said((), (data,)), Shown("[image]")) == "truncated"


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("shown", "seen"),
    [
        ([{"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "a map"}, PICTURE]}], "same"),
        (
            [
                {"role": "tool", "tool_call_id": "a", "content": "a map"},
                {"role": "user", "content": [{"type": "text", "text": "The picture:"}, PICTURE]},
            ],
            "same",
        ),
        ([{"role": "tool", "tool_call_id": "a", "content": "a map"}], "truncated"),
    ],
)
def test_a_picture_may_stand_in_the_result_or_follow_it(
    sqlite_store: Store, recording: Recording, shown: list[dict[str, Any]], seen: str
) -> None:
    question, asks = recording.user("Where?"), recording.says(None, ("a", "search", {"q": 1}))
    recording.call([question], asks)
    picture = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
    recording.tool_call({"q": 1}, orjson.dumps({"content": [{"type": "text", "text": "a map"}, picture]}))
    recording.call([question, asks, *shown], recording.says("There."))
    assert [c.seen for c in recording.read(sqlite_store).tool_calls] == [seen]


def test_what_a_server_embeds_and_links_to_is_said_too() -> None:
    blocks = [
        {"type": "resource", "resource": {"uri": "file:///a", "text": "its words"}},
        {"type": "resource", "resource": {"uri": "file:///b", "blob": "AAAA"}},
        {"type": "resource_link", "uri": "file:///c", "name": "c"},
        "no block",
    ]
    given = Said.of({"content": blocks, "structuredContent": {"a": 1}})
    assert given == Said(("its words", "file:///c"), ("AAAA",), {"a": 1})
    assert Said.of({"content": "no list"}) == Said()


@pytest.mark.parametrize("seen", ["same", "wrapped", "truncated", "altered", "invented", "missing"])
def test_what_is_not_shown_as_it_was_said_is_a_finding_about_that_call(
    sqlite_store: Store, recording: Recording, seen: str
) -> None:
    shown = {
        "same": PAGE, "wrapped": f"> {PAGE}", "truncated": PAGE[:4000], "altered": PAGE.replace("page", "book"),
        "invented": "so be it", "missing": None,
    }[seen]  # fmt: skip
    recording.with_tool(shown, recording.gave(PAGE))
    found = recording.read(sqlite_store)
    [tool_call] = found.tool_calls
    assert tool_call.seen == seen
    assert [(f.name, f.tool_call, f.call) for f in found.health] == (
        [] if seen in ("same", "wrapped") else [(f"{seen}_tool_result", tool_call.id, found.calls[0].id)]
    )
    assert {finding.name for finding in found.health} <= FINDINGS.keys()


def test_the_result_is_compared_as_the_server_gave_it_not_as_we_handed_it_on(
    sqlite_store: Store, recording: Recording
) -> None:
    recording.with_tool("Ada", recording.gave("Ada", structuredContent={"a": 1}), shown=recording.gave("Ada"))
    [tool_call] = recording.read(sqlite_store).tool_calls
    assert tool_call.seen == "same"
    assert tool_call.result == {"content": [{"type": "text", "text": "Ada"}], "structuredContent": {"a": 1}}
    assert tool_call.shown == {"content": [{"type": "text", "text": "Ada"}]}


def test_what_the_gateway_said_in_a_servers_place_is_held_against_what_was_shown(
    sqlite_store: Store, recording: Recording
) -> None:
    gave_up = recording.gave("The tool did not answer within 3 s.", isError=True)
    recording.with_tool("All is well", None, shown=gave_up, status="failed", cause="tool_timeout", error="3 s")
    [tool_call] = recording.read(sqlite_store).tool_calls
    assert tool_call.seen == "invented"


def test_a_result_that_the_model_was_never_asked_about_again_is_not_missing(
    sqlite_store: Store, recording: Recording
) -> None:
    recording.call([recording.user("Who?")], recording.says(None, ("call_1", "wiki_search", {"query": "it"})))
    recording.tool_call({"query": "it"}, recording.gave("Ada"))
    found = recording.read(sqlite_store)
    assert (found.tool_calls[0].tool_use_id, found.tool_calls[0].seen) == ("call_1", None)
    assert found.health == []


@pytest.mark.slow
@pytest.mark.parametrize("shown", ["{[" * 500_000, "a\n" * 500_000, "\\" * 1_000_000, "&amp;" * 200_000, PAGE * 90])
def test_a_megabyte_is_compared_in_the_time_that_reading_it_takes(shown: str) -> None:
    given = said("\n".join(f"row {n}: {n * n} words of it" for n in range(35_000)), structured={"rows": [1] * 200_000})
    begun = time.process_time()
    assert compare(given, Shown(shown)) in ("altered", "invented")
    assert time.process_time() - begun < 5
