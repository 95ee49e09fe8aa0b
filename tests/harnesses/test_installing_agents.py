"""Fetching foreign agents: whole or not at all, at a pinned version, and with words that help when it cannot be."""

from __future__ import annotations

import shutil
import stat
import threading
from pathlib import Path

import pytest

from drawbar.errors import ConfigurationError, HarnessError
from drawbar.rollout.harnesses import load_harness
from drawbar_harnesses.installs import NpmProgram, PythonPackages, node

NPM = """#!/bin/sh
echo "$*" >> "{log}"
while [ $# -gt 0 ]; do [ "$1" = --prefix ] && folder=$2; last=$1; shift; done
case $last in
*broken*) echo "npm error code E404" >&2; echo half > "$folder/half"; exit 1 ;;
node-*) mkdir -p "$folder/node_modules/${{last%@*}}/bin"; echo > "$folder/node_modules/${{last%@*}}/bin/node" ;;
*) mkdir -p "$folder/node_modules/.bin"; echo > "$folder/node_modules/.bin/agent" ;;
esac
"""
UV = """#!/bin/sh
echo "$*" >> "{log}"
case $1 in venv) for last; do :; done; mkdir -p "$last/bin"; echo > "$last/bin/python" ;; esac
"""
AGENT = NpmProgram("some_agent", "some-agent", "1.2.3", "agent")
LIBRARY = PythonPackages("some_library", "4.5", ("some-library==4.5",))


class Machine:
    """One whose PATH holds nothing but doubles."""

    def __init__(self, tmp_path: Path) -> None:
        self.home = tmp_path / "installs"
        self._bin = tmp_path / "bin"
        self._bin.mkdir()
        for tool in ("mkdir", "sleep"):
            (self._bin / tool).symlink_to(shutil.which(tool) or tool)
        self._log = tmp_path / "commands"
        self.said: list[str] = []

    def has(self, name: str, script: str) -> None:
        program = self._bin / name
        program.write_text(script.format(log=self._log))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    @property
    def commands(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setenv("DRAWBAR_HARNESS_HOME", str(made.home))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return made


def test_an_agent_is_fetched_once_at_its_version(machine: Machine) -> None:
    machine.has("npm", NPM)
    machine.has("node", "#!/bin/sh\necho v24.1.0\n")
    assert not AGENT.installed
    AGENT.install(machine.said.append)
    AGENT.install(machine.said.append)
    program, _ = AGENT.need()
    assert program == machine.home / "some_agent-1.2.3" / "node_modules" / ".bin" / "agent"
    assert len(machine.commands) == 1
    assert machine.commands[0].endswith("--ignore-scripts some-agent@1.2.3")
    assert "is installed in" in machine.said[-1]
    assert (AGENT.label, AGENT.installed) == ("some_agent 1.2.3", True)


def test_what_failed_leaves_nothing_and_says_why(machine: Machine) -> None:
    machine.has("npm", NPM)
    machine.has("node", "#!/bin/sh\necho v24.1.0\n")
    broken = NpmProgram("some_agent", "broken-agent", "1.2.3", "agent")
    with pytest.raises(HarnessError, match=r"(?s)npm install broken-agent@1.2.3 failed.*registry.*E404"):
        broken.install(machine.said.append)
    assert not broken.installed
    assert not (machine.home / "some_agent-1.2.3").exists()


def test_an_install_that_was_interrupted_is_made_again(machine: Machine) -> None:
    machine.has("npm", NPM)
    machine.has("node", "#!/bin/sh\necho v24.1.0\n")
    left = machine.home / "some_agent-1.2.3" / "node_modules" / "half"
    left.mkdir(parents=True)
    AGENT.install(machine.said.append)
    assert AGENT.installed
    assert not left.exists()


def test_without_a_new_enough_node_one_is_fetched_too(machine: Machine) -> None:
    machine.has("npm", NPM)
    machine.has("node", "#!/bin/sh\necho v18.19.0\n")
    AGENT.install(machine.said.append)
    _, folder = AGENT.need()
    assert folder.is_relative_to(machine.home / f"node-{node.VERSION}")
    assert [command.split()[-1].rpartition("@")[2] for command in machine.commands] == [node.VERSION, "1.2.3"]


def test_without_npm_it_says_what_to_install(machine: Machine) -> None:
    with pytest.raises(HarnessError, match=r"npm is not there.*Install Node\.js"):
        AGENT.install(machine.said.append)


def test_two_installs_at_once_do_the_work_once(machine: Machine) -> None:
    machine.has("npm", NPM.replace("case $last", "sleep 0.2; case $last"))
    machine.has("node", "#!/bin/sh\necho v24.1.0\n")
    threads = [threading.Thread(target=AGENT.install, args=(machine.said.append,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(machine.commands) == 1
    assert AGENT.installed


def test_python_packages_get_an_environment_of_their_own(machine: Machine) -> None:
    machine.has("uv", UV)
    LIBRARY.install(machine.said.append)
    assert LIBRARY.need() == machine.home / "some_library-4.5" / "venv" / "bin" / "python"
    assert machine.commands[1].endswith("some-library==4.5")
    assert not PythonPackages("some_library", "4.5", ("some-library==4.5", "another==1")).installed


@pytest.mark.slow
def test_python_packages_are_installed_by_pip_where_there_is_no_uv(machine: Machine, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "src" / "tiny").mkdir(parents=True)
    (project / "src" / "tiny" / "__init__.py").write_text("word = 'here'\n")
    (project / "pyproject.toml").write_text('[project]\nname = "tiny"\nversion = "1"\n')
    tiny = PythonPackages("tiny", "1", (str(project),))
    tiny.install(machine.said.append)
    assert tiny.need().exists()
    missing = PythonPackages("missing", "1", (str(tmp_path / "nowhere"),))
    with pytest.raises(HarnessError, match=r"Installing missing 1 failed"):
        missing.install(machine.said.append)
    assert not missing.installed


def test_a_folder_that_cannot_be_written_is_named_with_the_way_out(machine: Machine, tmp_path: Path) -> None:
    machine.has("uv", UV)
    machine.home.write_text("a file in the way")
    with pytest.raises(HarnessError, match=r"Set DRAWBAR_HARNESS_HOME"):
        LIBRARY.install(machine.said.append)


@pytest.mark.parametrize("name", ["opencode", "claude_code", "codex", "openai_agents"])
def test_a_harness_whose_agent_is_not_installed_says_how_to_get_it(machine: Machine, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"not installed: drawbar harness install {name}"):
        load_harness(name)
