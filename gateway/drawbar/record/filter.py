"""The filter language: `where("reward > 0.5 and health = good")` says which sessions are meant.

    CONDITION   COMPARISON | CONDITION and CONDITION | CONDITION or CONDITION | not CONDITION | ( CONDITION )
    COMPARISON  COLUMN = VALUE        also != < <= > >=
                COLUMN in (VALUE, ...)            COLUMN not in (VALUE, ...)
                COLUMN between VALUE and VALUE    both ends belong to it
                COLUMN contains VALUE             case counts
                COLUMN like VALUE                 the whole text: % stands for any characters, _ for one
                COLUMN is null                    COLUMN is not null
                COLUMN                            alone, if it is true or false (`valid`)
    VALUE       a word (good, gpt-5-mini, 0.5, 7d, 2026-11-30) or a text in quotes ("ada lovelace")

`filter_columns` lists the columns. `score.NAME`, `feedback.NAME` and `metadata.NAME` take any name, one with odd
characters in quotes. Times: `7d` is a week ago, `2026-11-30` is that whole day in UTC; `started > 7d` are the sessions
of the last week. A comparison with a value that is not there is false, and its negation true: `not reward < 0.5` are
those that have at least 0.5 and those that have no reward. Of a column with several values (`tag`, `finding`), `=`
holds if one of them is meant and `!=` if none is.

This layer reads text; nothing of it goes into SQL but as a bound value. `filter_sql` makes the SQL.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, NoReturn

from drawbar.errors import ConfigurationError, nearest
from drawbar.record.filter_tree import All, Comparison, Condition, Not, Operator, Some
from drawbar.record.filter_values import BadValue, Meaning, moment, number, words

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

    from drawbar.record.filter_columns import Column

LONGEST: Final = 50_000
"""Characters of a filter."""
MOST: Final = 400
"""Comparisons in a filter: databases bound how deep an expression may be."""
DEEPEST: Final = 20

_GRAMMAR: Final = r"""
some: all (OR all)*
all: unary (AND unary)*
?unary: NOT unary -> negation
      | "(" some ")" -> group
      | comparison
comparison: COLUMN OPERATOR value
          | COLUMN NOT? IN "(" value ("," value)* ")"
          | COLUMN NOT? BETWEEN value AND value
          | COLUMN NOT? (LIKE | CONTAINS) value
          | COLUMN IS NOT? NULL
          | COLUMN
?value: WORD | QUOTED
COLUMN.1: /[A-Za-z_]\w*(\.([\w-]+|"([^"\\]|\\.)*"|'([^'\\]|\\.)*'))*/
OPERATOR: "<=" | ">=" | "!=" | "==" | "=" | "<" | ">"
AND.2: /and\b/i
OR.2: /or\b/i
NOT.2: /not\b/i
IN.2: /in\b/i
IS.2: /is\b/i
NULL.2: /null\b/i
BETWEEN.2: /between\b/i
LIKE.2: /like\b/i
CONTAINS.2: /contains\b/i
WORD: /[^\s()<>=!,"']+/
QUOTED: /"([^"\\]|\\.)*"|'([^'\\]|\\.)*'/
%ignore /\s+/
"""
_TERMINALS: Final = {
    "COLUMN": "a column", "OPERATOR": "=, !=, <, <=, > or >=", "AND": "`and`", "OR": "`or`", "NOT": "`not`",
    "IN": "`in`", "IS": "`is`", "NULL": "`null`", "BETWEEN": "`between`", "LIKE": "`like`",
    "CONTAINS": "`contains`", "WORD": "a value", "QUOTED": "a value", "LPAR": "`(`", "RPAR": "`)`", "COMMA": "a comma",
    "$END": "the end",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sessions are meant."""

    text: str
    condition: Condition | None
    """None: all of them."""

    @property
    def clauses(self) -> tuple[Condition, ...]:
        """The conditions that must all hold."""
        return (
            self.condition.of
            if isinstance(self.condition, All)
            else ()
            if self.condition is None
            else (self.condition,)
        )

    def __and__(self, other: Filter) -> Filter:
        """Those that both mean."""
        if self.condition is None or other.condition is None:
            return other if self.condition is None else self
        text = f"({self.text}) and ({other.text})"
        return Filter(text, All((*self.clauses, *other.clauses), text))


EVERYTHING: Final = Filter("", None)


def where(text: str, *, now: float | None = None, columns: Mapping[str, Column] | None = None) -> Filter:
    """The filter that this text says; an empty one means all sessions.

    `now` is what times such as `7d` are seen from (unix seconds); left out, this moment. `columns`: of a filter of
    something else than sessions, those that there are.

    Raises:
        ConfigurationError: it says nothing: where, what was expected, and the nearest names of an unknown column.
    """
    if not text.strip():
        return EVERYTHING
    if columns is None:
        from drawbar.record.filter_columns import COLUMNS

        columns = COLUMNS
    return _Reader(text, time.time() if now is None else now, columns).read()


def equal(column: str, value: str | None) -> Filter:
    """The sessions whose column has this text; None: none at all."""
    text = f"{column} is null" if value is None else f"{column} = {value}"
    values = () if value is None else (words(value),)
    return Filter(text, Comparison(column, None, "null" if value is None else "=", values, text))


def column_named(text: str) -> tuple[Column | None, str | None]:
    """The column of this name, and what stands after its dot."""
    from drawbar.record.filter_columns import COLUMNS

    return _in(COLUMNS, text)


def _in(columns: Mapping[str, Column], text: str) -> tuple[Column | None, str | None]:
    name, dot, key = text.partition(".")
    return columns.get(name), words(_unquoted(key)) if dot else None


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(_GRAMMAR, parser="lalr", start="some", propagate_positions=True, maybe_placeholders=False)


class _Reader:
    """One text on its way to a filter."""

    def __init__(self, text: str, now: float, columns: Mapping[str, Column]) -> None:
        self._text = text
        self._columns = columns
        self._moment = moment(now)
        self._comparisons = 0

    def read(self) -> Filter:
        if len(self._text) > LONGEST:
            raise ConfigurationError(f"The filter has {len(self._text)} characters; it may have {LONGEST}.")
        return Filter(self._text, self._condition(self._parsed(), 0))

    def _parsed(self) -> Tree[Token]:
        from lark import UnexpectedCharacters, UnexpectedToken

        try:
            return _parser().parse(self._text)
        except UnexpectedToken as error:
            at = len(self._text) if error.token.type == "$END" else int(error.token.start_pos or 0)
            self._fail(at, f"expected {_expected(error.accepts or error.expected)}")
        except UnexpectedCharacters as error:
            self._fail(int(getattr(error, "pos_in_stream", 0)), f"expected {_expected(error.allowed or ())}")

    def _fail(self, at: int, why: str) -> NoReturn:
        """Say where, and show it."""
        begins = max(0, at - 60)
        line = self._text[begins : at + 40].replace("\n", " ").replace("\t", " ")
        found = "its end" if at >= len(self._text.rstrip()) else f"character {at + 1}"
        stop = "" if why.endswith(("?", ".")) else "."
        raise ConfigurationError(
            f"The filter cannot be read at {found}: {why}{stop}\n    {line}\n    {' ' * (at - begins)}^"
        )

    def _condition(self, tree: Tree[Token], depth: int) -> Condition:
        if depth > DEEPEST:
            self._fail(tree.meta.start_pos, f"conditions may lie in each other {DEEPEST} deep")
        text = self._text[tree.meta.start_pos : tree.meta.end_pos]
        if tree.data == "comparison":
            return self._comparison(tree, text)
        inner = depth + (tree.data in ("group", "negation"))
        parts = tuple(self._condition(part, inner) for part in tree.children if not isinstance(part, str))
        if tree.data == "negation":
            return Not(parts[0], text)
        if len(parts) == 1:
            return parts[0]
        return All(parts, text) if tree.data == "all" else Some(parts, text)

    def _comparison(self, tree: Tree[Token], text: str) -> Condition:
        self._comparisons += 1
        if self._comparisons > MOST:
            self._fail(tree.meta.start_pos, f"a filter may have {MOST} comparisons; `in (...)` takes many values")
        name, *rest = [token for token in tree.children if isinstance(token, str)]
        column, key = self._column(name)
        values = [token for token in rest if token.type in ("WORD", "QUOTED")]
        said = [token for token in rest if token.type not in ("WORD", "QUOTED", "AND")]
        negated = any(token.type == "NOT" or token == "!=" for token in said)
        operator = self._operator(column, name, [token for token in said if token.type != "NOT"], values)
        read = () if operator == "null" else tuple(self._values(column, operator, values))
        if column.kind.name != "text":
            self._comparisons += max(0, len(read) - 1)
        found = Comparison(column.name, key, operator, read or ((True,) if not rest else ()), text)
        return Not(found, text) if negated else found

    def _column(self, token: Token) -> tuple[Column, str | None]:
        name, dot, _ = str(token).partition(".")
        column, key = _in(self._columns, token)
        at = int(token.start_pos or 0)
        if column is None:
            known = [each.name if each.keyless else f"{each.name}.NAME" for each in self._columns.values()]
            of_sessions = not dot and "score" in self._columns
            hint = f" A score is written score.{name}, metadata metadata.{name}." if of_sessions else ""
            self._fail(at, f"there is no column {name!r}.{nearest(name, known)}{hint}")
        if dot and not column.keyed:
            self._fail(at, f"{name!r} has nothing after a dot")
        if not dot and not column.keyless:
            self._fail(at, f"{name!r} needs a name: {name}.NAME")
        return column, key

    def _operator(self, column: Column, name: Token, said: Sequence[Token], values: Sequence[Token]) -> Operator:
        """What is asked; `= null` is `is null`."""
        if not said:
            if "=" not in column.kind.operators or column.kind.name != "true or false":
                self._fail(int(name.end_pos or 0), f"{column.name} must be compared with something")
            return "="
        token = said[0]
        operator = {"==": "=", "!=": "=", "is": "null"}.get(token.lower(), token.lower())
        if operator == "=" and len(values) == 1 and values[0].type == "WORD" and values[0].lower() == "null":
            operator = "null"
        if operator not in column.kind.operators:
            takes = ", ".join({"null": "is null"}.get(each, each) for each in column.kind.operators)
            self._fail(int(token.start_pos or 0), f"{column.name} is {column.kind.name} and takes {takes}")
        return operator

    def _values(self, column: Column, operator: Operator, tokens: Sequence[Token]) -> list[Meaning]:
        read = column.kind.read or self._moment
        if column.kind.name == "text or number":
            plain = operator in ("=", "in") and all(token.type == "WORD" and _is_number(token) for token in tokens)
            read = words if operator in ("=", "in", "contains", "like") and not plain else number
        return [self._value(token, read) for token in tokens]

    def _value(self, token: Token, read: Callable[[str], Meaning]) -> Meaning:
        try:
            return read(_value(token))
        except BadValue as error:
            self._fail(int(token.start_pos or 0), f"expected {error}")


def _value(token: Token) -> str:
    return _unquoted(token) if token.type == "QUOTED" else str(token)


def _unquoted(text: str) -> str:
    """What stands between quotes; a backslash takes the next character as it is."""
    if text[:1] not in ("'", '"'):
        return text
    found, escaped = [], False
    for character in text[1:-1]:
        if escaped or character != "\\":
            found.append(character)
        escaped = character == "\\" and not escaped
    return "".join(found)


def _is_number(text: str) -> bool:
    try:
        number(text)
    except BadValue:
        return False
    return True


def _expected(terminals: object) -> str:
    names = [_TERMINALS.get(name, name) for name in sorted(terminals)]  # type: ignore[call-overload]
    found = list(dict.fromkeys(names))
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} or {found[-1]}" if found else "nothing more"
