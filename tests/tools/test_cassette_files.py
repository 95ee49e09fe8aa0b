"""The file format: what is read, what is kept, and what is said of a line that is damaged."""

from __future__ import annotations

from pathlib import Path

import msgspec
import orjson
import pytest

from drawbar.environment_toml import read_environment
from drawbar.errors import ConfigurationError
from drawbar.server import CassetteServer, CommandServer
from drawbar.tools.cassettes.format import Recording, new_header, read, write
from drawbar.tools.cassettes.generation import NextGeneration
from drawbar.tools.cassettes.recording import Sink
from drawbar.tools.cassettes.settings import Cassette
from drawbar.validation.checks import check_cassettes

HEADER = b'{"drawbar_cassette": 1, "servers": {"shop": {"tools": [{"name": "get"}]}}, "mood": "good"}\n'
LINE = b'{"tool": "get", "arguments": {"id": 1}, "result": {"content": []}, "colour": "red"}\n'


def file_of(folder: Path, *lines: bytes) -> Path:
    path = folder / "c.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def test_a_call_needs_a_tool_its_arguments_and_an_answer(tmp_path: Path) -> None:
    header, (call,) = read(file_of(tmp_path, HEADER, LINE))
    assert header.tools("shop") == [{"name": "get"}]
    assert (call.tool, call.arguments, call.answer) == ("get", {"id": 1}, {"content": []})


def test_a_call_that_failed_is_written_without_a_result(tmp_path: Path) -> None:
    failed = Recording(tool="get", arguments={}, result=msgspec.Raw(b""), error={"cause": "timed_out"})
    write(tmp_path / "new.jsonl", new_header({}), [failed])
    assert [call.error for call in read(tmp_path / "new.jsonl")[1]] == [{"cause": "timed_out"}]


@pytest.mark.parametrize(
    "line",
    [
        b'{"tool": "get", "arguments": {"id"',
        b"[]",
        b'{"tool": "get", "result": {}}',
        b'{"tool": "get", "arguments": {}}',
        b'{"tool": "get", "arguments": {}, "result": {}, "error": {}}',
        b'{"tool": "get", "arguments": {}, "result": [1]}',
        b'{"tool": "get", "arguments": {}, "result": {"a": }}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_line_is_named_by_its_number(tmp_path: Path, line: bytes) -> None:
    path = file_of(tmp_path, HEADER, LINE, b"\n", line, b"\n", LINE)
    with pytest.raises(ConfigurationError, match=rf"{path}, line 4: "):
        read(path)


@pytest.mark.parametrize(
    "line", [b"", b"{}", LINE, b"no", b'{"drawbar_cassette": 1, "servers": {"a": {"tools": [1]}}}']
)
def test_a_file_that_is_no_cassette_is_refused_at_its_first_line(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(ConfigurationError, match="line 1"):
        read(file_of(tmp_path, line))


def test_a_newer_format_is_refused_as_that(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Update drawbar"):
        read(file_of(tmp_path, b'{"drawbar_cassette": 2}\n'))


def test_unknown_fields_survive_in_the_next_generation(tmp_path: Path) -> None:
    path = file_of(tmp_path, HEADER, LINE.rstrip())
    generation = NextGeneration(path, read(path)[0], None)
    generation.add(Recording(tool="get", arguments={"id": 2}, error={"code": 1, "message": "no"}))
    assert generation.path is not None
    first, second, third = generation.path.read_bytes().splitlines()
    assert (orjson.loads(first)["mood"], orjson.loads(first)["generation"]) == ("good", 2)
    assert second + b"\n" == LINE
    assert orjson.loads(third)["arguments"] == {"id": 2}


def test_each_generation_has_a_file_of_its_own(tmp_path: Path) -> None:
    path = file_of(tmp_path, HEADER)
    call = Recording(tool="get", arguments={}, error={"code": 1, "message": "no"})
    for expected in ("c.g2.jsonl", "c.g3.jsonl"):
        generation = NextGeneration(path, read(path)[0], None)
        generation.add(call)
        assert generation.path == tmp_path / expected
    again = NextGeneration(tmp_path / "c.g2.jsonl", read(tmp_path / "c.g2.jsonl")[0], None)
    again.add(call)
    assert again.path == tmp_path / "c.g4.jsonl"


def test_no_cassette_is_written_over(tmp_path: Path) -> None:
    path = file_of(tmp_path, HEADER)
    with pytest.raises(FileExistsError):
        write(path, new_header({}), [])


async def test_a_recording_that_was_killed_is_gone_on_with_after_its_last_whole_line(tmp_path: Path) -> None:
    path = file_of(tmp_path, HEADER, LINE, b'{"tool": "ge')
    await Sink(path, None, None).write(Recording(tool="get", arguments={"id": 2}, error={"code": 1, "message": "no"}))
    assert [call.arguments for call in read(path)[1]] == [{"id": 1}, {"id": 2}]


def test_an_environment_file_names_cassettes_relative_to_itself(tmp_path: Path) -> None:
    path = file_of(tmp_path, HEADER, LINE)
    (tmp_path / "environment.toml").write_text(
        """
        name = "shop"
        [servers.one]
        cassette = "c.jsonl"
        [servers.two]
        command = "shop-server"
        cassette = {path = "c.jsonl", mode = "fall-through", ignore = ["**.at"], read_only = ["get*"], max_misses = 2}
        """
    )
    servers = read_environment(tmp_path / "environment.toml").servers
    assert isinstance(servers["one"], CassetteServer)
    assert servers["one"].cassette == Cassette(path)
    assert isinstance(servers["two"], CommandServer)
    expected = Cassette(path, mode="fall-through", ignore=["**.at"], read_only=["get*"], max_misses=2)
    assert servers["two"].cassette == expected


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('cassette = {path = "c.jsonl", mode = "neer"}', "line 4, servers.one.cassette"),
        ('cassette = {path = "c.jsonl", treshold = 1}', "Did you mean 'threshold'"),
        ('cassette = {path = "c.jsonl", threshold = 2}', "from 0 to 1"),
        ('cassette = {path = "c.jsonl", mode = "fall-through"}', "no live server"),
        ('scope = "shared"', "or a `cassette`"),
    ],
)
def test_a_mistake_in_an_environment_file_is_told_with_its_place(tmp_path: Path, written: str, said: str) -> None:
    (tmp_path / "environment.toml").write_text(f'name = "shop"\n\n[servers.one]\n{written}\n')
    with pytest.raises(ConfigurationError, match=said):
        read_environment(tmp_path / "environment.toml")


def test_validation_looks_into_cassettes(tmp_path: Path) -> None:
    def said(*lines: bytes) -> str:
        from drawbar.environment import Environment

        path = file_of(tmp_path, *lines)
        found = check_cassettes(Environment(name="e", servers={"shop": CassetteServer(cassette=path)}))
        return " ".join(problem.what for problem in found)

    assert said(HEADER, LINE) == ""
    assert "line 2" in said(HEADER, b"no\n")
    assert "holds no calls" in said(HEADER)
    assert "does not list: shop.set" in said(HEADER, LINE.replace(b'"get"', b'"set"'))
