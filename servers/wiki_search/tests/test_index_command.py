"""`drawbar-wiki-index` as a person runs it."""

from __future__ import annotations

import bz2
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import psutil  # type: ignore[import-untyped]
import pytest
from typer.testing import CliRunner, Result

from drawbar_wiki_search.index import WikiIndex
from drawbar_wiki_search.indexing.command import app

HEADER = b"""<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/"><siteinfo><sitename>W</sitename></siteinfo>"""


def page(number: int) -> bytes:
    text = b"'''Word''' %d and {{convert|5|km}}. " % number * 20
    return (
        b"<page><title>T%d</title><ns>0</ns><id>%d</id><revision><id>1</id><timestamp>2014-10-26T04:50:23Z</timestamp>"
        b"<text>%s</text></revision></page>" % (number, number, text)
    )


def write_dump(path: Path, count: int, end: bytes = b"</mediawiki>") -> Path:
    path.write_bytes(bz2.compress(HEADER + b"".join(page(number) for number in range(1, count + 1)) + end))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def started(*arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "drawbar_wiki_search.indexing", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_an_index_is_built_and_summarised(tmp_path: Path) -> None:
    result = run(write_dump(tmp_path / "w.xml.bz2", 30), tmp_path / "index", "--jobs", 2)
    assert result.exit_code == 0
    assert result.stdout.startswith("30 pages and 0 redirects in ")
    index = WikiIndex(tmp_path / "index")
    assert len(index) == 30
    assert index.search("T7", 1)[0].page_id == "7"


def test_a_limit_stops_after_so_many_pages_and_quiet_says_nothing(tmp_path: Path) -> None:
    result = run(write_dump(tmp_path / "w.xml.bz2", 300), tmp_path / "index", "--limit", 12, "--jobs", 1, "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert len(WikiIndex(tmp_path / "index")) == 12


def test_it_runs_as_a_module_and_what_is_left_out_is_told(tmp_path: Path) -> None:
    rows = [{"id": n, "title": f"T{n}", "text": "x" if n < 5 else ""} for n in range(1, 7)]
    (tmp_path / "w.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    with started(tmp_path / "w.jsonl", tmp_path / "index") as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert "4 pages and 0 redirects" in out
    assert "left out: 2 without title or text" in out


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("nothing.xml", None, "There is no file or folder"),
        ("w.txt", b"x", "suffix that says nothing known"),
        ("folder", None, "There is no file or folder"),
        ("w.xml", b"<html/>", "begins with <html>"),
        ("w.xml.bz2", bz2.compress(HEADER + page(1) * 9)[:-20], "damaged or cut short"),
        ("w.jsonl", b"{", "line 1: not JSON"),
        ("w.jsonl", b"", "holds no page"),
        ("w.parquet", b"PAR1", "is not a Parquet file"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_and_exit_code_2(
    tmp_path: Path, name: str, data: bytes | None, said: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    result = run(tmp_path / name, tmp_path / "index")
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "index").exists()
    assert not list(tmp_path.glob(".index*"))


def test_a_damaged_source_leaves_the_old_index(tmp_path: Path) -> None:
    assert run(write_dump(tmp_path / "w.xml.bz2", 5), tmp_path / "index", "-j", 1).exit_code == 0
    result = run(write_dump(tmp_path / "v.xml.bz2", 50, end=b"<page>"), tmp_path / "index", "-j", 1)
    assert result.exit_code == 2
    assert "after the page 'T50'" in result.stderr
    assert len(WikiIndex(tmp_path / "index")) == 5


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    result = run(write_dump(tmp_path / "w.xml.bz2", 5), tmp_path)
    assert result.exit_code == 2
    assert "not a wiki index" in result.stderr


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Path]:
    """A dump that never ends: a pipe that is fed until its reader goes."""
    path = tmp_path / "endless.xml"
    os.mkfifo(path)
    script = "import sys; f = open(sys.argv[1], 'w'); f.write(sys.argv[2])\nwhile True: f.write(sys.argv[3])"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path), HEADER.decode(), page(1).decode()], stderr=subprocess.DEVNULL
    ) as writer:
        yield path
        writer.kill()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_an_interrupt_ends_cleanly_with_the_old_index_in_place(tmp_path: Path, endless: Path) -> None:
    assert run(write_dump(tmp_path / "w.xml.bz2", 5), tmp_path / "index", "-j", 1).exit_code == 0
    with started(endless, tmp_path / "index", "--jobs", 2) as process:
        children: list[psutil.Process] = []
        while len(children) < 2 and process.poll() is None:
            children = [c for c in psutil.Process(process.pid).children() if "spawn_main" in " ".join(c.cmdline())]
        for target in (*children, process):  # as a terminal does: to everyone
            target.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert (out, err.strip()) == ("", "drawbar-wiki-index: Interrupted. What stood at the index's place is as it was.")
    assert len(WikiIndex(tmp_path / "index")) == 5
    assert not list(tmp_path.glob(".index*"))
    assert not any(child.is_running() for child in children)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_an_index_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    import resource

    source = tmp_path / "w.jsonl"
    with source.open("wb") as file:
        for number in range(3000):
            words = " ".join(f"word{number * 50 + n}" for n in range(50))
            file.write(orjson.dumps({"id": number, "title": f"T{number}", "text": words}) + b"\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with started(source, tmp_path / "index") as process:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100_000, before[1]))
        _, err = process.communicate()
    assert process.returncode == 2
    assert "cannot be written" in err
    assert "Traceback" not in err
    assert not list(tmp_path.glob("*index*"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc as Linux has it")
def test_building_takes_no_more_memory_for_more_pages(tmp_path: Path) -> None:
    peaks = []
    for count in (20_000, 100_000):
        source = tmp_path / f"w{count}.jsonl"
        with source.open("wb") as file:
            for number in range(count):
                row = {"id": number, "title": f"T{number}", "text": f"Word {number}. " * 20}
                file.write(orjson.dumps(row) + b"\n")
        peaks.append(
            peak_memory(source, "app([*sys.argv[1:], '-q'], standalone_mode=False)", tmp_path / f"index{count}")
        )
    assert peaks[1] < peaks[0] + 40_000_000  # the writer's buffer is of a fixed size, which the first may not fill


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc as Linux has it")
def test_a_dump_is_read_with_the_same_memory_however_long_it_is(tmp_path: Path) -> None:
    peaks = []
    for count in (10_000, 110_000):
        source = tmp_path / f"w{count}.xml"
        with source.open("wb") as file:
            file.write(HEADER)
            for number in range(count):  # mostly of another namespace: what each entry leaves behind is what shows
                namespace = b"<ns>0</ns>" if number % 1000 == 0 else b"<ns>1</ns>"
                file.write(page(number).replace(b"<ns>0</ns>", namespace))
            file.write(b"</mediawiki>")
        peaks.append(peak_memory(source, "source = Source.at(Path(sys.argv[1]))\n    for _ in items(source): pass"))
    assert peaks[1] < peaks[0] + 5_000_000  # 100,000 empty elements would be 8 MB


def peak_memory(source: Path, work: str, *arguments: object) -> int:
    """Bytes that a process of its own has taken at its highest after doing this work."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from drawbar_wiki_search.indexing.command import app\n"
        "from drawbar_wiki_search.indexing.sources import Source\n"
        "items = lambda source: source.items(source.reading(), jobs=1)\n"
        f"if __name__ == '__main__':\n    {work}\n"
        "    [peak] = [line for line in Path('/proc/self/status').open() if line.startswith('VmHWM')]\n"
        "    print(peak.split()[1])\n"  # what getrusage says may be the parent's
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(source), *map(str, arguments)]
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=True)
    return int(done.stdout) * 1024
