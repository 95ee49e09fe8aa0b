"""Editing configuration files: one value is put or dropped, and everything else stays as its owner wrote it."""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawbar.connecting.documents import MISSING, document
from drawbar.connecting.json_text import parsed
from drawbar.connecting.ledger import Ledger
from drawbar.connecting.writing import Edited, undo, write
from drawbar.connection import Setting
from drawbar.errors import ConfigurationError

JSONC = """\
{
  // what I like
  "theme": "dark", // really
  "mcpServers": {
    "mine": {"url": "http://mine"}, /* keep */
  },
  "list": [1, 2, 3,],
  "one": {"a": 1},
  "none": {}
}
"""
TOML = """\
# what I like
model = "mine" # really

[mcp_servers.mine]
url = "http://mine"
"""
ENV = "# what I like\nTHEME=dark\nexport MINE='a b'\n"
FILES = {"settings.json": JSONC, "config.toml": TOML, ".env": ENV}
PATH = {"settings.json": ("mcpServers", "drawbar"), "config.toml": ("mcp_servers", "drawbar"), ".env": ("DRAWBAR",)}
VALUE: dict[str, Any] = {
    "settings.json": {"type": "http", "headers": {"A": "b"}},
    "config.toml": {"url": "http://drawbar", "enabled": True},
    ".env": "http://drawbar/a b",
}
each_format = pytest.mark.parametrize("name", FILES)


@each_format
def test_what_is_put_can_be_read_and_all_that_stood_there_stands_there_still(name: str) -> None:
    doc = document(Path(name), FILES[name])
    assert doc.value(PATH[name]) is MISSING
    doc.put(PATH[name], VALUE[name])
    assert document(Path(name), doc.text).value(PATH[name]) == VALUE[name]
    comments = re.findall(r"(?://|#|/\*) ?[a-z].*", FILES[name])
    assert comments
    assert all(comment in doc.text for comment in comments)
    doc.put(PATH[name], "another")
    assert document(Path(name), doc.text).value(PATH[name]) == "another"


@each_format
def test_what_is_dropped_again_leaves_no_trace(name: str) -> None:
    doc = document(Path(name), FILES[name])
    doc.put(PATH[name], VALUE[name])
    doc.drop(PATH[name])
    assert doc.value(PATH[name]) is MISSING
    assert doc.text.replace(",", "").split() == FILES[name].replace(",", "").split()  # but for a trailing comma
    doc.drop(PATH[name])  # a second time is nothing


@each_format
def test_an_empty_file_takes_a_value_and_is_as_good_as_empty_without_it(name: str) -> None:
    doc = document(Path(name), "")
    doc.put(PATH[name], VALUE[name])
    assert document(Path(name), doc.text).value(PATH[name]) == VALUE[name]
    doc.drop(PATH[name])
    assert doc.text.split() in ([], ["{", "}"])


def test_new_members_stand_as_their_neighbours_do() -> None:
    doc = document(Path("a.json"), JSONC)
    doc.put(("one", "b"), {"c": 2})
    doc.put(("none", "d"), 3)
    doc.put(("theme",), {"name": "light"})
    doc.put(("mcpServers", "drawbar"), {"url": "u"})
    assert (
        doc.text
        == """\
{
  // what I like
  "theme": {
    "name": "light"
  }, // really
  "mcpServers": {
    "mine": {"url": "http://mine"}, /* keep */
    "drawbar": {
      "url": "u"
    }
  },
  "list": [1, 2, 3,],
  "one": {"a": 1, "b": {"c": 2}},
  "none": {
    "d": 3
  }
}
"""
    )


def test_what_follows_a_dropped_member_does_not_fall_into_a_comment_of_the_line_before() -> None:
    doc = document(Path("a.json"), '{ // note\n"a": 1}')
    doc.drop(("a",))
    assert parsed(doc.text).value == {}


def test_tabs_line_ends_and_a_byte_order_mark_stay() -> None:
    text = '\ufeff{\r\n\t"a": 1\r\n}\r\n'
    doc = document(Path("a.json"), text)
    doc.put(("b", "c"), 2)
    assert doc.text == '\ufeff{\r\n\t"a": 1,\r\n\t"b": {\r\n\t\t"c": 2\r\n\t}\r\n}\r\n'
    doc.drop(("b", "c"))
    assert doc.text == text


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", '{"a": 1\n"b": 2}', "line 2 is not JSON"),
        ("a.json", "[]", "no JSON object"),
        ("a.json", '{"a": "\n"}', "line 1"),
        ("a.json", "{" + '"a": {' * 100_000, "line 1|too deeply"),
        ("a.toml", "a = \n", "not TOML"),
    ],
)
def test_a_file_that_cannot_be_understood_is_not_touched(name: str, text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        put(tmp_path, file, Setting(("x",), 1))
    assert file.read_text() == text


def test_a_path_through_something_that_has_no_keys_is_refused(tmp_path: Path) -> None:
    for name, text in (("a.json", '{"a": [1]}'), ("a.toml", "a = [1]\n")):
        file = tmp_path / name
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=rf"{name} cannot be changed: a is no"):
            put(tmp_path, file, Setting(("a", "b"), 1))
        assert file.read_text() == text


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(st.text(max_size=3), values, max_size=4)
blanks = st.sampled_from(["", " ", "\n", "\n  ", ' // a comment }{",\n', "/* another */", "\r\n\t"])


def commented(data: st.DataObject, value: Any) -> str:
    """The value as JSON, with blanks, comments and trailing commas wherever there may be some."""

    def gap() -> str:
        return data.draw(blanks)

    if isinstance(value, dict):
        inner = ",".join(
            f"{gap()}{json.dumps(key)}{gap()}:{gap()}{commented(data, item)}{gap()}" for key, item in value.items()
        )
    elif isinstance(value, list):
        inner = ",".join(f"{gap()}{commented(data, item)}{gap()}" for item in value)
    else:
        return json.dumps(value)
    inner += "," + gap() if inner and data.draw(st.booleans()) else gap()
    return f"{{{inner}}}" if isinstance(value, dict) else f"[{inner}]"


@given(st.data(), objects, st.lists(st.text(max_size=3), min_size=1, max_size=3).map(tuple), values)
def test_one_value_changes_and_no_other_however_a_file_is_written(
    data: st.DataObject, before: dict[str, Any], path: tuple[str, ...], value: Any
) -> None:
    text = commented(data, before)
    assert parsed(text).value == before
    doc = document(Path("a.json"), text)
    try:
        doc.put(path, value)
    except ValueError:
        assert doc.text == text
        return
    expected = json.loads(json.dumps(before))
    inner = expected
    for key in path[:-1]:
        inner = inner.setdefault(key, {})
    inner[path[-1]] = value
    assert parsed(doc.text).value == expected
    doc.drop(path)
    assert document(Path("a.json"), doc.text).value(path) is MISSING
    kept = {key: item for key, item in before.items() if key != path[0]}
    assert {key: item for key, item in parsed(doc.text).value.items() if key != path[0]} == kept


def put(home: Path, file: Path, *settings: Setting) -> Edited:
    return write(Ledger(home / "state"), file, settings, agent="agent", root=home)


def taken_out(home: Path, file: Path) -> Edited:
    ledger = Ledger(home / "state")
    entry = ledger.entry(file)
    assert entry is not None
    return undo(ledger, entry)


@each_format
def test_undoing_gives_the_file_back_byte_for_byte(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(FILES[name])
    done = put(tmp_path, file, Setting(PATH[name], VALUE[name]))
    assert done.backup is not None
    assert done.backup.read_text() == FILES[name]
    assert put(tmp_path, file, Setting(PATH[name], VALUE[name])).changes == (), "a second time changes nothing"
    taken_out(tmp_path, file)
    assert file.read_text() == FILES[name]
    assert not list((tmp_path / "state").iterdir())


def test_a_file_that_was_made_is_removed_with_the_folders_made_for_it(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "c.json"
    assert put(tmp_path, file, Setting(("x",), 1)).backup is None
    assert taken_out(tmp_path, file).removed
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_what_somebody_wrote_since_is_kept_and_what_they_changed_too(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"old": 1, "list": ["x"]}')
    put(tmp_path, file, Setting(("old",), 2), Setting(("new",), 3), Setting(("list",), "y", "add"), Setting(("z",), 4))
    now = json.loads(file.read_text())
    assert now == {"old": 2, "new": 3, "list": ["x", "y"], "z": 4}
    file.write_text(json.dumps({**now, "list": ["x", "y", "mine"], "z": 5, "more": 6}))
    assert taken_out(tmp_path, file).left == (("z",),)
    assert json.loads(file.read_text()) == {"old": 1, "list": ["x", "mine"], "z": 5, "more": 6}


def test_connecting_anew_takes_the_place_of_the_earlier_connection(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{\n  "mine": 1 // one\n}\n')
    put(tmp_path, file, Setting(("url",), "first"), Setting(("tools",), True))
    done = put(tmp_path, file, Setting(("url",), "second"))
    assert {change.path[0] for change in done.changes} == {"url", "tools"}
    assert file.read_text() == '{\n  "mine": 1, // one\n  "url": "second"\n}\n'
    taken_out(tmp_path, file)
    assert file.read_text() == '{\n  "mine": 1 // one\n}\n'


def test_a_default_gives_way_to_what_stands_there_and_is_not_taken_out(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("KEY=mine\n")
    put(tmp_path, file, Setting(("KEY",), "drawbar", "default"), Setting(("URL",), "here"))
    assert file.read_text() == "KEY=mine\nURL=here\n"
    file.write_text("KEY=mine\nURL=here\nMORE=1\n")
    taken_out(tmp_path, file)
    assert file.read_text() == "KEY=mine\nMORE=1\n"


def test_a_links_target_is_written_with_the_rights_that_it_has(tmp_path: Path) -> None:
    file, link = tmp_path / "real.json", tmp_path / "link.json"
    file.write_text("{}")
    file.chmod(0o640)
    link.symlink_to(file)
    put(tmp_path, link, Setting(("a",), 1))
    assert link.is_symlink()
    assert json.loads(file.read_text()) == {"a": 1}
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_new_files_and_all_that_is_remembered_are_their_owners_alone(tmp_path: Path) -> None:
    file, own = tmp_path / "new.toml", tmp_path / "own.json"
    own.write_text('{"token": "my own secret"}')
    put(tmp_path, file, Setting(("a",), 1))
    put(tmp_path, own, Setting(("a",), 1))
    assert tomllib.loads(file.read_text()) == {"a": 1}
    remembered = [file, *(tmp_path / "state").iterdir()]
    assert len(remembered) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in remembered} == {0o600}
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_what_could_not_be_written_is_named_and_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "a.json"
    file.write_text("{}")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match=r"a\.json cannot be written: .*No space left"):
        put(tmp_path, file, Setting(("a",), 1))
    assert file.read_text() == "{}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "state"]
    assert not list((tmp_path / "state").iterdir())


def test_what_is_no_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        put(tmp_path, tmp_path / "a.json", Setting(("a",), 1))
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
