"""Bodies that no agent and no provider sends, made out of those that they do send.

Everything is drawn from seeded generators: the number of a mutation, which every failure names, brings it back.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from drawbar.wire.sse import EventSplitter, payload

GOLDEN: Final = Path(__file__).parents[2] / "wire" / "golden"
MEGABYTE: Final = 1_000_000
Made = Callable[[random.Random], Any]


class Raw(bytes):
    """JSON, or what is to stand in its place, written as it is."""


@dataclass(frozen=True)
class Pairs:
    """An object whose keys may repeat."""

    items: Sequence[tuple[str, Any]]


def written(value: Any) -> bytes:
    """The value as JSON."""
    if isinstance(value, Raw):
        return bytes(value)
    try:
        return json.dumps(value).encode()
    except TypeError:  # something in it is written as it is
        pass
    if isinstance(value, Pairs | dict):
        pairs = value.items if isinstance(value, Pairs) else value.items()
        return b"{" + b",".join(json.dumps(key).encode() + b":" + written(item) for key, item in pairs) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(written, value)) + b"]"
    return json.dumps(value).encode()


def deep(rng: random.Random) -> Raw:
    """Something nested past all measure, closed or not."""
    levels = rng.choice((100, 250, 600, 1_100, 10_000, 100_000))
    opening, core, closing = rng.choice(((b"[", b"1", b"]"), (b'{"a":', b"null", b"}"), (b'[{"x":', b"{}", b"}]")))
    return Raw(opening * levels + core + closing * (levels if rng.random() < 0.9 else levels // 2))


def long(rng: random.Random) -> str:
    return rng.choice(("x", "\u6f22", '"', "\x01", "line\n", "\ud83d")) * rng.choice((1_000, 20_000, 100_000))


_VALUES: Final[Sequence[Any]] = (
            None, True, False, 0, -1, 1.5, 2**53 + 1, 2**63, -(2**64), 10**40, "", " ", "x", "null", "[DONE]", "{}",
            "\ud800", "half \udc00 way", "\x00", "\u2028\x7f\u202e", "\U0001f600", "__proto__", [], {}, [None], [[]],
            {"": ""}, {"type": None}, {"type": "text"}, {"type": "\ud800"}, [{}], [[{}]], {"role": []}, [1, "a", None],
            Raw(b"1e999"), Raw(b"-0"), Raw(b"9" * 5000), Raw(b"NaN"), Raw(b"01"), Raw(b'"\\u00"'), Raw(b'"\xff\xfe"'),
            Raw(b'"\x00"'), Raw(b""), Raw(b"'a'"), Raw(b"1e-400"), Raw(b"0.1e+1"), Raw(b"[1,]"),
            Raw(b'"\\ud83d\\ud83d"'),
)  # fmt: skip
_MADE: Final[Sequence[Made]] = (deep, deep, long)
TYPES: Final[Sequence[Any]] = (None, True, 7, -1.5, "s", "", [], {}, [[]], ["s"], {"a": 1})
Spot = tuple[Any, Any]
"""A list or object, and where in it something stands."""


def hostile(rng: random.Random) -> Any:
    """What nobody expects."""
    at = rng.randrange(len(_VALUES) + len(_MADE))
    return copy.deepcopy(_VALUES[at]) if at < len(_VALUES) else _MADE[at - len(_VALUES)](rng)


def spots(value: Any) -> list[Spot]:
    """Every place in a value."""
    found: list[Spot] = []
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        found += ((value, key), *spots(item))
    return found


def answers(dialect: str) -> list[bytes]:
    """Whole answers of a provider."""
    return _golden(dialect, "response.json")


def streams(dialect: str) -> list[bytes]:
    """Streams of a provider."""
    return _golden(dialect, "stream.sse")


def _golden(dialect: str, kind: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((GOLDEN / dialect).glob(f"*.{kind}"))]


class Mutator:
    """Makes bodies out of seeds that are right."""

    def __init__(self, seeds: Sequence[Any]) -> None:
        self.seeds = seeds
        self.words = sorted({key for seed in seeds for _, key in spots(seed) if isinstance(key, str)})

    @classmethod
    def of_requests(cls, dialect: str) -> Mutator:
        return cls([json.loads(body) for body in _golden(dialect, "request.json")])

    @classmethod
    def of_answers(cls, dialect: str) -> Mutator:
        return cls([json.loads(body) for body in answers(dialect)])

    def wrong_types(self) -> Iterator[bytes]:
        """Every seed with a wrong type in every field, one at a time."""
        for seed in self.seeds:
            for at in range(len(spots(seed))):
                for wrong in TYPES:
                    value = copy.deepcopy(seed)
                    holder, key = spots(value)[at]
                    holder[key] = wrong
                    yield written(value)

    def body(self, rng: random.Random) -> bytes:
        """One mutation of one seed."""
        found = written(self.value(rng))
        if rng.random() < 0.01:
            found = found[:-1] + b" " * rng.choice((1, MEGABYTE)) + found[-1:]
        return torn(rng, found) if rng.random() < 0.3 else found

    def value(self, rng: random.Random) -> Any:
        """One seed, a few things in it not as they were."""
        value = copy.deepcopy(rng.choice(self.seeds))
        for _ in range(rng.choice((1, 1, 2, 4))):
            value = self.changed(rng, value)
        return value

    def changed(self, rng: random.Random, value: Any) -> Any:
        """The value with one thing in it not as it was."""
        places = spots(value)
        if not places or rng.random() < 0.01:
            return hostile(rng)
        holder, key = rng.choice(places)
        rng.choice((_replace, _replace, _replace, _remove, _rename, _repeat, _wrap, _swap, self._graft))(
            rng, holder, key, value
        )
        return _doubled(rng, value) if rng.random() < 0.03 else value

    def _graft(self, rng: random.Random, holder: Any, key: Any, _whole: Any) -> None:
        """Something of another seed, or a known name that does not belong here."""
        other, at = rng.choice(spots(rng.choice(self.seeds)))
        if isinstance(holder, dict) and rng.random() < 0.5:
            holder[rng.choice(self.words)] = copy.deepcopy(other[at])
        else:
            holder[key] = copy.deepcopy(other[at])


def _replace(rng: random.Random, holder: Any, key: Any, _whole: Any) -> None:
    big = rng.random() < 0.003
    holder[key] = "m" * MEGABYTE if big else hostile(rng)


def _remove(_rng: random.Random, holder: Any, key: Any, _whole: Any) -> None:
    del holder[key]


def _rename(rng: random.Random, holder: Any, key: Any, _whole: Any) -> None:
    if isinstance(holder, dict):
        holder[rng.choice((key.upper(), "", "\x00", "\ud800", key + " ", "drawbar", "error"))] = holder.pop(key)


def _repeat(rng: random.Random, holder: Any, key: Any, _whole: Any) -> None:
    if isinstance(holder, list):
        holder[key:key] = [holder[key]] * rng.choice((1, 3, 200))
    else:
        holder[key] = [holder[key], holder[key]]


def _wrap(rng: random.Random, holder: Any, key: Any, _whole: Any) -> None:
    holder[key] = rng.choice(([holder[key]], {"type": holder[key]}, {str(key): holder[key]}, [[holder[key]]]))


def _swap(rng: random.Random, holder: Any, key: Any, whole: Any) -> None:
    other, at = rng.choice(spots(whole))
    holder[key], other[at] = copy.deepcopy(other[at]), copy.deepcopy(holder[key])


def _doubled(rng: random.Random, value: Any) -> Any:
    """The object with a key that stands there twice."""
    if not isinstance(value, dict) or not value:
        return value
    again = rng.choice(sorted(value))
    return Pairs([*value.items(), (again, hostile(rng) if rng.random() < 0.5 else value[again])])


def torn(rng: random.Random, body: bytes) -> bytes:
    """The body with bytes that are not as they were."""
    at, end = sorted(rng.randrange(len(body) + 1) for _ in range(2))
    end = min(end, at + 50)
    junk = rng.choice(
        (b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\\", b'"', b"}", b"]", b",", b"\n\n")
    )
    match rng.randrange(9):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + junk + body[at:]
        case 2:
            return body[:at] + body[end:]
        case 3:
            return body[:end] + body[at:]
        case 4:
            return body[:at] + bytes([rng.randrange(256)]) + body[at + 1 :]
        case 5:
            return b"\xef\xbb\xbf" + body
        case 6:
            return body.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-32", "utf-16-be")))
        case 7:
            return body + rng.choice((junk, body, b" " * 99, b"\x00" * 99))
        case _:
            return rng.randbytes(rng.choice((0, 1, 7, 300)))


Events = list[tuple[str, Any]]
"""A stream's events: the name of each, as its line says it, and what it says."""


class StreamMutator:
    """Makes streams out of streams that are right."""

    def __init__(self, dialect: str) -> None:
        self.seeds = [_events(stream) for stream in streams(dialect)]
        self._values = Mutator([value for seed in self.seeds for _, value in seed if isinstance(value, dict)])
        self._named = dialect in ("messages", "responses")

    def parts(self, rng: random.Random, *, array: bool = False) -> list[bytes]:
        """One mutation of one stream, in the pieces in which it arrives; `array`: as the elements of a JSON array."""
        events = list(rng.choice(self.seeds))
        for _ in range(rng.choice((1, 1, 2, 5))):
            events = self._changed(rng, events)
        whole = _as_array(events) if array else b"".join(self._event(rng, *event) for event in events)
        whole = torn(rng, whole) if rng.random() < 0.25 else whole
        cuts = sorted(rng.randrange(len(whole) + 1) for _ in range(rng.choice((0, 1, 5, 40))))
        return [whole[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    def _changed(self, rng: random.Random, events: Events) -> Events:
        if not events:
            return events
        at = rng.randrange(len(events))
        name, value = events[at]
        match rng.randrange(10):
            case 0:
                return events[:at] + events[at + 1 :]
            case 1:
                return events[:at] + events[at : at + 1] * rng.choice((2, 2, 300)) + events[at + 1 :]
            case 2:
                return events[:at] + rng.choice(self.seeds)[rng.randrange(3) :] + events[at:]
            case 3:
                return rng.sample(events, len(events))
            case 4:
                return events[:at]
            case 5:
                return [*events[:at], (name, hostile(rng)), *events[at:]]
            case _:
                return [*events[:at], (name, self._values.changed(rng, copy.deepcopy(value))), *events[at + 1 :]]

    def _event(self, rng: random.Random, name: str, value: Any) -> bytes:
        said = bytes(value) if isinstance(value, bytes) else written(value)
        end = rng.choice((b"\n\n",) * 30 + (b"\r\n\r\n", b"\r\r", b"\n", b"\n\n\n", b"\n: x\n\n"))
        if self._named and rng.random() < 0.98:
            return b"event: " + name.encode() + b"\ndata: " + said + end
        return rng.choice((b"data: ",) * 30 + (b"data:", b"dat", b"id: 1\ndata: ", b"data: \ndata: ")) + said + end


def _events(stream: bytes) -> Events:
    found: Events = []
    for piece in EventSplitter().feed(stream):
        data = payload(piece)
        assert data is not None
        value = Raw(data) if data == b"[DONE]" else json.loads(data)
        found.append((value.get("type", "") if isinstance(value, dict) else "", value))
    return found


def _as_array(events: Events) -> bytes:
    return b"[" + b",\r\n".join(written(value) for _, value in events) + b"]"
