"""What personal data and secrets look like, and what can stand in their place. Pure; knows texts alone.

Where tools may check the form of what they are given, a pseudonym has it too, and lies where nothing real can: a domain
that is reserved for examples (RFC 2606), addresses of class E and of the documentation prefix, the country code +999, a
card of no issuer and an IBAN of no country (with their checksums). So a prompt still reads as one, and a recorded call
still fits its schema. Keys and tokens become labels.

Every pattern is bounded: none takes more than a small multiple of a text's length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

Found: TypeAlias = tuple[int, int, str]
"""Where it begins and ends, and what is the same for all ways to write it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of data."""

    name: str
    find: Callable[[str], Iterator[Found]]
    made: Callable[[int], str]
    """The pseudonym of a number, from 1."""
    own: re.Pattern[str]
    """What `made` makes; its group is the number, in the base of `base`."""
    base: int = 10


def label(name: str) -> tuple[Callable[[int], str], re.Pattern[str]]:
    """The pseudonyms of what has no form to keep: `<NAME_3>`."""
    shown = re.sub(r"\W+", "_", name).strip("_").upper() or "REDACTED"
    return (lambda number: f"<{shown}_{number}>"), re.compile(rf"<{re.escape(shown)}_(\d{{1,9}})>")


def by_pattern(
    pattern: re.Pattern[str], key: Callable[[str], str | None] = str, group: str | int = 0
) -> Callable[[str], Iterator[Found]]:
    """Finds what a pattern matches, or the part of it that a group does. `key` says what is the same for all ways to
    write it, or that it is none after all."""

    def find(text: str) -> Iterator[Found]:
        for match in pattern.finditer(text):
            part = group if match[group] else 0
            value = key(match[part])
            if value:
                yield *match.span(part), value

    return find


_EMAIL: Final = re.compile(
    r"(?:(?<![\w\\])|(?<=\\[nrtbf]))\w[\w.+'-]{0,63}(?:@|%40)"
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:xn--[\w-]{2,59}|[^\W\d_]{2,24})"
)
_PHONE: Final = re.compile(
    r"(?<![\w+])\+[1-9](?:[ .\-/()\u00a0]{0,2}\d){7,14}(?!\d)"  # +49 (171) 123-4567
    r"|(?<![\w.+-])(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])"  # (555) 123-4567
    r"|(?<![\w.,+-])0\d(?:[ .-]\d{2}){4}(?![\w-])"  # 01 23 45 67 89
    r"|(?<![\w.,+-])(?!\d\d[./-]\d\d[./-])0\d{1,4}[ /-]\d{2,4}(?:[ -]?\d{2,4}){1,3}(?![\w:-])"  # 0171/123 4567
)
_CARD: Final = re.compile(
    r"(?<![\w.,])(?=(?P<it>\d{13,19}|\d{4}([ -])\d{4}\2\d{4}\2\d{1,7}|\d{4}([ -])\d{6}\3\d{4,5})(?!\w|\.\d))"
)
_CARDS: Final = re.compile(r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[068]\d{12}|6\d{15,18}")
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])(?=([A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}))")
_IBANS: Final = {
    each[:2]: int(each[2:])
    for each in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 "
        "FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IS26 IT27 JO30 KW30 KZ20 LB28 LI21 LT20 LU20 LV21 MC27 "
        "MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SE24 SI19 SK24 SM27 TN24 TR26 "
        "UA29 VA22 VG24 XK20"
    ).split()
}
"""How long each country's are (ISO 13616)."""
_IPV4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6: Final = re.compile(r"(?<![\w:.])[23fF][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}(?![\w:])")
_KEY: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-[\w-]{16,200}|[spr]k_(?:live|test)_\w{16,200}|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{30,250}|github_pat_\w{22,250}|glpat-[\w-]{20,64}|xox[abeoprs]-[\w-]{10,250}"
    r"|AIza[\w-]{35}|hf_[A-Za-z0-9]{30,64}|npm_[A-Za-z0-9]{36}|dbk_[0-9a-f]{40})(?![A-Za-z0-9])"
    r"|(?<![A-Za-z0-9])[Bb]earer {1,4}(?P<it>(?!eyJ)[\w.~+/-]{16,2000}={0,2})"
)
_JWT: Final = re.compile(r"(?<![\w-])eyJ[\w-]{8,4000}\.eyJ[\w-]{4,8000}\.[\w-]{0,4000}")
_PRIVATE: Final = re.compile(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]{1,20000}(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?"
)
_LOGIN: Final = re.compile(r"(?<=://)[^\s/:@\"'<>]{1,64}:[^\s/@\"'<>]{1,128}(?=@)")


def _email(found: str) -> str | None:
    return None if found.startswith("git@") else found.replace("%40", "@").casefold()


def _phone(found: str) -> str | None:
    digits = re.sub(r"\D", "", found)
    return (found[0] == "+") * "+" + digits if len(digits) >= 9 or found[0] == "+" else None


def _card(found: str) -> str | None:
    digits = re.sub(r"\D", "", found)
    return digits if _CARDS.fullmatch(digits) and luhn(digits[:-1]) == int(digits[-1]) else None


def luhn(digits: str) -> int:
    """The digit that makes these a card number (ISO/IEC 7812-1)."""
    total = sum(sum(divmod(int(d) * (2 if at % 2 == 0 else 1), 10)) for at, d in enumerate(reversed(digits)))
    return -total % 10


def _ibans(text: str) -> Iterator[Found]:
    """A pattern cannot tell where one ends and a word begins; the country can."""
    for match in _IBAN.finditer(text):
        places = [at for at in range(*match.span(1)) if text[at].isalnum()]
        size = _IBANS.get(match[1][:2].upper(), 0)
        value = "".join(text[at] for at in places[:size]).upper()
        if 0 < size <= len(places) and value.isascii() and iban_checksum(value[4:] + value[:2]) == int(value[2:4]):
            yield match.start(), places[size - 1] + 1, value


def iban_checksum(number: str) -> int:
    """The two digits for an account number with its country behind it (ISO 13616)."""
    return 98 - int("".join(str(int(letter, 36)) for letter in number) + "00") % 97


def _address(found: str) -> str | None:
    try:
        address = ip_address(found)
    except ValueError:
        return None
    special = address.is_loopback or address.is_unspecified or found == "255.255.255.255"
    return None if special else address.compressed


def _card_made(number: int) -> str:
    digits = f"999999{number:09d}"
    return f"{digits}{luhn(digits)}"


def _iban_made(number: int) -> str:
    account = f"{number:018d}"
    return f"XX{iban_checksum(account + 'XX'):02d}{account}"


PERSONAL: Final[tuple[Kind, ...]] = (
    Kind("private key", by_pattern(_PRIVATE), *label("private key")),
    Kind("token", by_pattern(_JWT), *label("token")),
    Kind("API key", by_pattern(_KEY, group="it"), *label("API key")),
    Kind("login", by_pattern(_LOGIN), *label("login")),
    Kind(
        "e-mail address",
        by_pattern(_EMAIL, _email),
        lambda number: f"person{number}@pseudonym.example",
        re.compile(r"person(\d{1,9})(?:@|%40)pseudonym\.example"),
    ),
    Kind("IBAN", _ibans, _iban_made, re.compile(r"XX\d\d(\d{18})(?!\d)")),
    Kind("card number", by_pattern(_CARD, _card, "it"), _card_made, re.compile(r"(?<!\d)999999(\d{9})\d(?!\d)")),
    Kind(
        "IP address",
        by_pattern(_IPV4, _address),
        lambda number: str(IPv4Address((240 << 24) + number)),
        re.compile(r"(?<![\w.])240\.(\d{1,3}\.\d{1,3}\.\d{1,3})(?![\w.])"),
        base=256,
    ),
    Kind(
        "IPv6 address",
        by_pattern(_IPV6, _address),
        lambda number: str(IPv6Address((0x20010DB8FFFF << 80) + number)),
        re.compile(r"2001:db8:ffff::([0-9a-f]{1,4})(?![\w:])"),
        base=16,
    ),
    Kind(
        "phone number",
        by_pattern(_PHONE, _phone),
        lambda number: f"+999{number:07d}",
        re.compile(r"\+999(\d{7})(?!\d)"),
    ),
)
"""The usual; of matches of the same place and length the first one holds."""
