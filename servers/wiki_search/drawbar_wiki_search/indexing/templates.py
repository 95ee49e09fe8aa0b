"""What a template says within a sentence: the common inline ones are read, all others say nothing.

Only the names and the meaning of arguments are known here; how an argument's own markup is read is the caller's affair.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of one template, as readable text; those without a name by their position."""

    positional: tuple[str, ...]
    named: Mapping[str, str]

    def first(self) -> str:
        """The first positional argument, empty if there is none."""
        return self.positional[0] if self.positional else ""

    def last(self) -> str:
        """The last positional argument, empty if there is none."""
        return self.positional[-1] if self.positional else ""


_Reading: TypeAlias = Callable[[Arguments], str]


def read_template(name: str, arguments: Arguments) -> str:
    """What the template called `name` puts into the sentence; empty for one that is not known."""
    name = name.strip().replace("_", " ").lower()
    if (reading := _READINGS.get(name)) is not None:
        return reading(arguments)
    if name.startswith("lang-"):
        return arguments.first()
    if name.startswith("formatnum:"):
        return name.removeprefix("formatnum:").strip()
    return ""


def _date(arguments: Arguments) -> str:
    """`year|month|day`, the later ones optional; a text that is no number stays as it is."""
    parts = [part for part in arguments.positional[:3] if part]
    if not parts or not all(part.isdigit() for part in parts):
        return arguments.first()
    year, *rest = parts
    month = _MONTHS[int(rest[0]) - 1] if rest and 1 <= int(rest[0]) <= 12 else ""
    day = str(int(rest[1])) if month and len(rest) > 1 else ""
    return " ".join(part for part in (day, month, year) if part)


def _as_of(arguments: Arguments) -> str:
    words = arguments.named.get("alt")
    since = "Since" if "since" in arguments.named else "As of"
    start = since.lower() if arguments.named.get("lc") else since
    return words or f"{start} {_date(arguments)}"


_RANGE_WORDS: Final = {
    **{word: f" {word} " for word in ("to", "and", "or", "by", "x", "×", "+/-", "±", "and(-)", "to(-)")},
    **dict.fromkeys(("-", "–"), "–"),
}


_COMPOUNDS: Final = {("ft", "in"), ("mi", "ft"), ("mi", "yd"), ("yd", "ft"), ("lb", "oz"), ("st", "lb")}


def _convert(arguments: Arguments) -> str:
    """`5|km|mi`, `5|to|10|km`, `6|ft|2|in`: the quantity as the writer gave it, without the conversion."""
    rest, said, unit = list(arguments.positional), "", ""
    while rest and re.match(r"[-−+]?[\d.,/]", rest[0]):
        said += rest.pop(0)
        joint = rest.pop(0) if rest else ""
        if joint in _RANGE_WORDS:
            said += _RANGE_WORDS[joint]
            continue
        said, unit = f"{said} {joint}".strip(), joint
        if len(rest) < 2 or (unit, rest[1]) not in _COMPOUNDS:  # what follows is the target unit or a precision
            return said
        said += " "
    return said.strip()


def _value(arguments: Arguments) -> str:
    number = arguments.first()
    if len(arguments.positional) > 1 and arguments.positional[1]:
        number += f" ± {arguments.positional[1]}"
    if exponent := arguments.named.get("e"):
        number += f" × 10^{exponent}"
    unit = arguments.named.get("u") or arguments.named.get("ul") or ""
    return f"{number} {unit}".strip()


def _fraction(arguments: Arguments) -> str:
    match arguments.positional:
        case (whole, top, bottom):
            return f"{whole} {top}/{bottom}"
        case (top, bottom):
            return f"{top}/{bottom}"
        case (bottom,):
            return f"1/{bottom}"
        case _:
            return ""


def _nihongo(arguments: Arguments) -> str:
    name, *others = [part for part in arguments.positional[:3] if part] or [""]
    return f"{name} ({', '.join(others)})" if others else name


def _ship(arguments: Arguments) -> str:
    return " ".join(part for part in arguments.positional[:2] if part)


def _chinese(arguments: Arguments) -> str:
    scripts = ("c", "s", "t", "hp", "p", "w", "l")
    said = dict.fromkeys(arguments.named[key] for key in scripts if arguments.named.get(key))
    return ", ".join([*arguments.positional, *said])


def _quote(arguments: Arguments) -> str:
    text = arguments.named.get("text") or arguments.named.get("quote") or arguments.first()
    return f"\n\n{text}\n\n" if text else ""


def _fixed(text: str) -> _Reading:
    return lambda _: text


def _before(mark: str) -> _Reading:
    return lambda arguments: f"{mark}{arguments.first()}"


def _after(mark: str) -> _Reading:
    return lambda arguments: f"{arguments.first()}{mark}"


def _joined(joint: str) -> _Reading:
    return lambda arguments: joint.join(part for part in arguments.positional if part)


def _circa(arguments: Arguments) -> str:
    return " – ".join(f"c. {part}" for part in arguments.positional if part) or "c."


_FIRST: Final = (
    *("nowrap", "nobr", "nobreak", "no wrap", "nobold", "small", "smaller", "big", "larger", "large", "em", "strong"),
    *("abbr", "tooltip", "hover", "mvar", "math", "bigmath", "tmath", "sc", "sc2", "smallcaps", "aut", "sub", "sup"),
    *("sic", "not a typo", "as written", "linktext", "vanchor", "visible anchor", "ill", "interlanguage link"),
    *("flag", "flagcountry", "flagu", "iast", "unicode", "center", "longitem", "plainlist", "flatlist", "railgauge"),
    *("formatnum", "nts", "keypress", "key", "kbd", "code", "tt", "var", "samp", "mono", "underline", "strike"),
)
_LAST: Final = (
    *("lang", "transl", "transliteration", "script", "color", "colour", "font color", "resize", "sort", "wikt-lang"),
    *("native name", "native phrase", "nastaliq", "colored link"),
)
_DATES: Final = (
    *("birth date", "death date", "birth date and age", "death date and age", "bda", "dda", "birth year and age"),
    *("start date", "end date", "start date and age", "end date and age", "film date", "dts", "date"),
)

_READINGS: Final[dict[str, _Reading]] = {
    **dict.fromkeys(_FIRST, Arguments.first),
    **dict.fromkeys(_LAST, Arguments.last),
    **dict.fromkeys(_DATES, _date),
    **dict.fromkeys(("convert", "cvt", "conv"), _convert),
    **dict.fromkeys(("c.", "circa", "ca.", "ca", "c"), _circa),
    **dict.fromkeys(("fl.", "floruit"), _before("fl. ")),
    **dict.fromkeys(("r.", "reign"), lambda arguments: "r. " + _joined("–")(arguments)),
    **dict.fromkeys(("b.", "born"), _before("b. ")),
    **dict.fromkeys(("d.", "died"), _before("d. ")),
    **dict.fromkeys(("lit", "literal translation", "literally"), lambda a: f'lit. "{a.first()}"' if a.first() else ""),
    **dict.fromkeys(("as of", "since"), _as_of),
    **dict.fromkeys(("val", "value"), _value),
    **dict.fromkeys(("frac", "fraction", "sfrac", "fract", "tfrac"), _fraction),
    **dict.fromkeys(("nihongo", "nihongo foot", "nihongo2", "nihongo3", "korean"), _nihongo),
    **{prefix.lower(): _before(f"{prefix} ") for prefix in ("HMS", "USS", "SS", "RMS", "HMAS", "HMCS", "MV", "SMS")},
    "ship": _ship,
    **dict.fromkeys(("zh", "zh-full", "lang-zh", "chinese"), _chinese),
    **dict.fromkeys(("quote", "cquote", "blockquote", "quotation", "bquote", "quote box", "rquote"), _quote),
    **dict.fromkeys(("hlist", "ubl", "unbulleted list", "vunblist", "ublist", "cslist", "flowlist"), _joined(", ")),
    **dict.fromkeys(("bulleted list", "blist"), lambda a: "".join(f"\n- {part}" for part in a.positional if part)),
    **dict.fromkeys(("chem", "chem2", "gaps", "e notation"), _joined("")),
    **dict.fromkeys(("e", "esp"), _before(" × 10^")),
    **dict.fromkeys(("pow", "10^"), _joined("^")),
    **dict.fromkeys(("respell",), _joined("-")),
    **dict.fromkeys(("snd", "spnd", "spaced ndash", "spaced en dash", "dash", "nbnd", "sndash"), _fixed(" – ")),
    **dict.fromkeys(("ndash", "en dash", "endash", "–"), _fixed("–")),
    **dict.fromkeys(("mdash", "em dash", "emdash", "—", "mdashb"), _fixed("—")),
    **dict.fromkeys(("nbsp", "thinsp", "thin space", "spaces", "space", "hair space", "sp", "zwsp"), _fixed(" ")),
    **dict.fromkeys(("·", "•", "dot", "middot", "bullet", "sdot", "*"), _fixed(" · ")),
    "angbr": lambda arguments: f"⟨{arguments.first()}⟩",
    **dict.fromkeys(("us$", "usd"), _before("US$")),
    **dict.fromkeys(("gbp", "£", "pound sterling"), _before("£")),
    **dict.fromkeys(("euro", "€", "eur"), _before("€")),
    **dict.fromkeys(("inr", "₹", "indian rupee"), _before("₹")),
    **dict.fromkeys(("jpy", "¥"), _before("¥")),
    **dict.fromkeys(("bce", "bc"), _after(" BCE")),
    **dict.fromkeys(("ce",), _after(" CE")),
    **dict.fromkeys(("ad",), _before("AD ")),
    "'s": _fixed("'s"),
    "'": _fixed("'"),
    "=": _fixed("="),
    "pi": _fixed("π"),
    "okina": _fixed("ʻ"),
    "hamza": _fixed("ʾ"),
    "ayin": _fixed("ʿ"),
    "height": lambda a: " ".join(f"{a.named[unit]} {unit}" for unit in ("m", "cm", "ft", "in") if a.named.get(unit)),
    "oldstyledate": lambda arguments: " ".join(arguments.positional[:2]),
    "oldstyledatenodate": lambda arguments: " ".join(arguments.positional[:2]),
    "music": lambda a: {"sharp": "♯", "flat": "♭", "natural": "♮", "b": "♭", "#": "♯"}.get(a.first(), a.first()),
    "sortname": lambda arguments: " ".join(arguments.positional[:2]),
}
