"""Pseudonyms: what is found, that the same becomes the same everywhere, and that nothing of it is left."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.capture.made import candidate

from drawbar.capture.pseudonyms import Pseudonyms, pseudonymised
from drawbar.errors import ConfigurationError
from drawbar.tools.cassettes.format import Recording

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PRIVATE = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc=\n-----END RSA PRIVATE KEY-----"
FOUND = {
    "e-mail address": ["ada@example.com", "Ada.Lovelace+shop@mail.example.co.uk", "jörg@müller.de", "o'neil@x-y.io"],
    "phone number": ["+49 171 1234567", "+1 (555) 123-4567", "(555) 123-4567", "030 12345678", "01 23 45 67 89"],
    "card number": ["4111 1111 1111 1111", "5500005555555559", "3782-822463-10005", "6011000990139424"],
    "IBAN": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "ch93 0076 2011 6238 5295 7"],
    "IP address": ["192.168.0.12", "8.8.8.8"],
    "IPv6 address": ["2001:db8:85a3::8a2e:370:7334", "fe80::1ff:fe23:4567:890a"],
    "API key": ["sk-proj-abcdefghijklmnop123456", "AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1B2" * 9, "sk_live_" + "x" * 24],
    "token": [JWT],
    "private key": [PRIVATE],
    "login": ["postgres://ada:s3cret@db/shop"],
}
VALUES = [(kind, value) for kind, values in FOUND.items() for value in values]
HARMLESS = [
    "2026-11-22T10:31:07.123Z", "22.11.2026 10:30", "01/02/2026 10:30", "version 1.2.3", "127.0.0.1", "::1", "x[2::3]",
    "550e8400-e29b-41d4-a716-446655440000", "order 1042", "1790000000000", "4111111111111112", "3.14159265358979",
    "git@github.com:o/r.git", "foo@1.2.3", "@decorator", "a @ b", "std::vector<int>", "12:30:45", "ses_01jd8m5zk9",
    "0.0.0.0", "GB82WEST12345698765433", "call_4f9a", "$4,000,000.00", "12 + 30 - 4", "0123",
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), VALUES)
@pytest.mark.parametrize("around", ["{}", "It is {}.", "({}, he said)", '"{}"', "x\n{}\ty", "ID: {} please pay"])
def test_the_usual_is_found_wherever_it_stands(kind: str, value: str, around: str) -> None:
    names = Pseudonyms()
    text = around.format(value)
    names.learn(text)
    kept = names.text(text)

    assert [(row["what"], row["values"], row["places"]) for row in names.report()] == [(kind, 1, 1)]
    secret = "ada:s3cret" if kind == "login" else value
    assert secret not in kept
    assert kept.startswith(around.partition("{}")[0])
    assert kept.endswith(around.partition("{}")[2])


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert Pseudonyms().text(text) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@example.com", "Ada@Example.COM"),
        ("4111 1111 1111 1111", "4111111111111111"),
        ("DE89 3704 0044 0532 0130 00", "de89370400440532013000"),
        ("+49 171 1234567", "+49(171)123-4567"),
        ("2001:db8::1", "2001:0DB8:0:0:0:0:0:1"),
    ],
)
def test_however_it_is_written_it_becomes_the_same(one: str, other: str) -> None:
    names = Pseudonyms()

    assert names.text(one) == names.text(other) != names.text("bob@example.com")


def test_pseudonyms_have_the_form_of_what_they_stand_for() -> None:
    names = Pseudonyms()
    kept = {kind: names.text(values[0]) for kind, values in FOUND.items()}

    assert kept == {
        "e-mail address": "person1@pseudonym.example",
        "phone number": "+9990000001",
        "card number": "9999990000000014",
        "IBAN": "XX63000000000000000001",
        "IP address": "240.0.0.1",
        "IPv6 address": "2001:db8:ffff::1",
        "API key": "<API_KEY_1>",
        "token": "<TOKEN_1>",
        "private key": "<PRIVATE_KEY_1>",
        "login": "postgres://<LOGIN_1>@db/shop",
    }


def test_patterns_of_the_configuration_come_first_and_become_labels() -> None:
    names = Pseudonyms({"staff address": r"[\w.]+@corp\.example", "customer": r"K-\d{6}"})

    assert names.text("K-123456 wrote to eve@corp.example, K-654321 to ada@example.com, and K-123456 again.") == (
        "<CUSTOMER_1> wrote to <STAFF_ADDRESS_1>, <CUSTOMER_2> to person1@pseudonym.example, and <CUSTOMER_1> again."
    )


def test_only_the_patterns_if_the_usual_is_not_wanted() -> None:
    assert Pseudonyms({"a": "b+"}, personal=False).text("abbb ada@example.com") == "a<A_1> ada@example.com"


def test_matches_that_overlap_leave_nothing_of_either() -> None:
    names = Pseudonyms({"one": r"abc\d{4}", "two": r"\d{4}xyz"}, personal=False)

    assert names.text("abc1234xyz abc1234 1234xyz") == "<ONE_1> <ONE_2> <TWO_1>"


def test_a_bad_pattern_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no regular expression"):
        Pseudonyms({"a": "("})
    with pytest.raises(ConfigurationError, match="everywhere"):
        Pseudonyms({"a": "b*"})


def test_in_json_names_values_numbers_and_json_in_texts_are_looked_at() -> None:
    names = Pseudonyms({"customer": r"\d{6}"})
    inner = {"to": "ada@example.com", "note": "line\nada@example.com"}
    value = {
        "ada@example.com": [4111111111111111, 123456, 12.5, True, None, 0.4111111111111111],
        "arguments": json.dumps(inner, indent=1),
        "twice": json.dumps({"again": json.dumps(inner)}),
    }
    kept = names.value(value)
    name = "person1@pseudonym.example"

    assert kept[name] == [9999990000000014, "<CUSTOMER_1>", 12.5, True, None, 0.4111111111111111]
    assert kept["arguments"] == json.dumps({"to": name, "note": f"line\n{name}"}, indent=1), "its layout stays"
    assert json.loads(json.loads(kept["twice"])["again"])["note"] == f"line\n{name}"
    assert json.loads(names.text(json.dumps(value))) == json.loads(json.dumps(kept))


def test_escapes_in_what_is_no_json_are_not_taken_for_letters() -> None:
    names = Pseudonyms()
    plain = names.text("ada@example.com")

    assert names.text(r'{"cut": "line\nada@example.com\tbob') == rf'{{"cut": "line\n{plain}\tbob'
    assert names.text("https://x.example/?to=ada%40example.com") == f"https://x.example/?to={plain.replace('@', '%40')}"


def test_pictures_and_files_are_left_alone() -> None:
    encoded = "iVBOR+4912345678901" * 40

    assert Pseudonyms().value({"a": f"data:image/png;base64,{encoded}", "b": encoded}) == {
        "a": f"data:image/png;base64,{encoded}", "b": encoded,
    }  # fmt: skip


PIECES = st.one_of(
    st.sampled_from([value for _, value in VALUES] + HARMLESS),
    st.text(max_size=12),
    st.from_regex(r"[a-c.@:+ \-\d]{0,20}", fullmatch=True),
    st.sampled_from(["person1@pseudonym.example", "<API_KEY_1>", "<CODE_2>", "240.0.0.1", "+9990000001", "K-77"]),
)
TEXTS = st.lists(PIECES, max_size=8).map(" ".join) | st.lists(PIECES, max_size=5).map("".join)
JSON = st.recursive(
    TEXTS | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4) | inner.map(json.dumps),
    max_leaves=12,
)
PATTERNS = {"code": r"[KC]-\d+", "long number": r"\d{7,}"}


@given(JSON)
def test_what_has_passed_once_passes_unchanged(value: Any) -> None:
    once = Pseudonyms(PATTERNS).value(value)

    assert Pseudonyms(PATTERNS).value(once) == once


@given(st.lists(st.sampled_from([value for kind, value in VALUES if kind != "login"]), min_size=1, max_size=9))
def test_nothing_of_what_is_found_is_left(values: list[str]) -> None:
    kept = json.dumps(Pseudonyms().value([{"said": values, "as json": json.dumps(values)}, " | ".join(values)]))

    assert not [value for value in values if json.dumps(value)[1:-1] in kept.replace("\\\\", "\\")]


@given(st.lists(st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}\.(com|org)", fullmatch=True), min_size=1, max_size=20))
def test_different_values_become_different_and_the_same_the_same(addresses: list[str]) -> None:
    names = Pseudonyms()
    kept = [names.text(address) for address in addresses]

    assert len(set(kept)) == len(set(addresses))
    assert [names.text(address) for address in addresses] == kept


@given(JSON)
def test_json_stays_json_of_the_same_form(value: Any) -> None:
    def form(value: Any) -> Any:
        if isinstance(value, dict):
            return [form(each) for each in value.values()]
        return [form(each) for each in value] if isinstance(value, list) else type(value)

    text = json.dumps(value)
    kept = Pseudonyms().text(text)

    assert form(json.loads(kept)) == form(value)


def test_a_pseudonym_of_an_earlier_capture_is_not_given_to_somebody_else() -> None:
    names = Pseudonyms({"code": r"K-\d+"})
    value = [
        "ada@example.com",
        "person1@pseudonym.example and person3@pseudonym.example",
        "240.0.0.1",
        "8.8.8.8",
        "<CODE_1>",
        "K-7",
    ]
    names.learn(value)

    assert names.value(value) == [
        "person2@pseudonym.example", "person1@pseudonym.example and person3@pseudonym.example", "240.0.0.1",
        "240.0.0.2", "<CODE_1>", "<CODE_2>",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["a" * 200_000, "a." * 100_000, "a@" * 100_000, "a@a." * 50_000, "1 " * 100_000, "+1" * 100_000, "-" * 200_000,
     "0" * 200_000, "1:" * 100_000, "2001:" * 40_000, "eyJ" * 60_000, "eyJ.eyJ" * 30_000, "sk-" * 60_000,
     "-----BEGIN PRIVATE KEY-----" * 7_000, "DE89 " * 40_000, "://a:" * 40_000, "4111 " * 40_000, '"\\' * 100_000,
     "[" * 200_000, "1.1." * 50_000, "bearer " * 30_000, "Bearer " + "a" * 200_000, "a@" + "a-" * 100_000,
     "<API_KEY_" * 20_000, "XX" * 100_000, "+1 /" * 50_000],
)  # fmt: skip
def test_no_text_takes_long(text: str) -> None:
    began = time.process_time()
    Pseudonyms().text(text)

    assert time.process_time() - began < 8.0


def test_all_of_a_candidate_passes_and_its_recorded_calls_still_match() -> None:
    call = Recording(
        tool="mail",
        arguments={"to": "ada@example.com", "ada@example.com": 1},
        result=msgspec.Raw(
            b'{"content": [{"type":"text","text":"{\\"sent\\": \\"Ada@example.com\\"}"}], "big": 1e400}'
        ),
        task="ada@example.com",
    )
    failed = Recording(tool="mail", arguments={}, error={"code": 1, "message": "no ada@example.com"})
    other = candidate("s2", "I am ada@example.com", recordings=[call])
    before = candidate(
        "s1", "Write to ada@example.com, please.", system="Ask bob@example.com.", user_turns=("bob@example.com?",),
        answer="To ada@example.com.", recorded="ada@example.com", info={"x": ["ada@example.com"]},
        user="ada@example.com",
        tags=("ada@example.com",), labels={"ada@example.com": 1},
        feedback={"comment": "ada@example.com", "thumbs": 1.0}, recordings=[call, failed], merged=(other,),
    )  # fmt: skip
    names = Pseudonyms()
    (after,) = pseudonymised([before], names)
    text = repr(after) + repr([list(each.recordings) for each in (after, *after.merged)])

    assert "@example.com" not in text
    assert not re.search(r"person[3-9]", text)
    ada = "person1@pseudonym.example"
    assert after.request == f"Write to {ada}, please."
    first, second = after.recordings
    assert first.arguments == {"to": ada, ada: 1}
    assert bytes(first.result) == bytes(call.result).replace(b"Ada@example.com", ada.encode()), "else byte for byte"
    assert second.error == {"code": 1, "message": f"no {ada}"}
    assert list(after.recordings) == [first, second], "they can be gone through again"
    assert names.report() == [{"what": "e-mail address", "values": 2, "places": 20}]
    assert after.feedback == {"comment": ada, "thumbs": 1.0}
