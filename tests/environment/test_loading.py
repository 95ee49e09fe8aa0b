"""From what a user names to an environment, and what each wrong name, file and project gets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from drawbar import load_environment
from drawbar.errors import ConfigurationError, UnknownName
from drawbar.loading import installed_environments

MINIMAL = "from drawbar import Environment, Task\nenvironment = Environment(name='mine', tasks=[Task(prompt='?')])\n"


@pytest.fixture(autouse=True)
def _imports_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a test imports is forgotten after it."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def file(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text), "utf-8")
    return path


def project(folder: Path, point: str = "mine = 'mine_package:environment'", **modules: str) -> Path:
    file(folder / "pyproject.toml", f'[project]\nname = "x"\n[project.entry-points."drawbar.environments"]\n{point}\n')
    for name, text in modules.items():
        file(folder / f"{name}.py", text)
    return folder


def installed(folder: Path, name: str, target: str) -> None:
    """As an installer would leave it, in a folder of the import path."""
    info = folder / f"{name}-1.2.dist-info"
    file(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    file(info / "entry_points.txt", f"[drawbar.environments]\n{name} = {target}\n")
    sys.path.insert(0, str(folder))


def test_a_file_with_one_environment_is_one(tmp_path: Path) -> None:
    path = file(tmp_path / "my_env.py", MINIMAL.replace("environment =", "whatever ="))
    assert load_environment(str(path)).name == "mine"
    assert load_environment("my_env.py").name == "mine"


def test_a_file_may_import_all_of_drawbar(tmp_path: Path) -> None:
    path = file(tmp_path / "env.py", MINIMAL.replace("import Environment, Task", "import *"))
    assert load_environment(path).name == "mine"


def test_a_file_can_import_what_lies_beside_it(tmp_path: Path) -> None:
    file(tmp_path / "sub" / "beside_it.py", "NAME = 'beside'")
    path = file(tmp_path / "sub" / "env.py", "import beside_it\n" + MINIMAL.replace("'mine'", "beside_it.NAME"))
    assert load_environment(path).name == "beside"


def test_two_files_of_one_name_are_two_environments(tmp_path: Path) -> None:
    for name in ("a", "b"):
        file(tmp_path / name / "env.py", MINIMAL.replace("'mine'", repr(name)))
    assert [load_environment(tmp_path / name / "env.py").name for name in "ab"] == ["a", "b"]


def test_of_several_environments_in_a_file_the_one_called_environment_is_meant(tmp_path: Path) -> None:
    several = MINIMAL + "other = Environment(name='other')\n"
    assert load_environment(file(tmp_path / "env.py", several)).name == "mine"
    with pytest.raises(ConfigurationError, match="several environments: first, other"):
        load_environment(file(tmp_path / "env2.py", several.replace("environment =", "first =")))


def test_a_file_without_an_environment_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"empty\.py has no environment. Give it"):
        load_environment(file(tmp_path / "empty.py", ""))


FACTORY = """
    from typing import Literal
    from drawbar import Environment

    def load_environment(split: Literal["train", "test"] = "train", size: int = 3, judged: bool = False,
                         model: str | None = None) -> Environment:
        return Environment(name="made", description=repr((split, size, judged, model)))
"""


def test_options_reach_the_function_in_the_types_that_it_names(tmp_path: Path) -> None:
    path = file(tmp_path / "env.py", FACTORY)
    assert load_environment(path).description == "('train', 3, False, None)"
    options = {"split": "test", "size": "5", "judged": "yes", "model": "gpt=5"}
    assert load_environment(path, options).description == "('test', 5, True, 'gpt=5')"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("sizes=5", "No option of .*named 'sizes'. Did you mean 'size'"),
        ("size=five", r"Option 'size' of .* is a whole number, not 'five'"),
        ("split=tets", r"Option 'split' of .* is 'train' or 'test', not 'tets'. Did you mean 'test'"),
        ("judged=perhaps", "Option 'judged' of .* is yes or no, not 'perhaps'"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(tmp_path: Path, option: str, message: str) -> None:
    with pytest.raises((ConfigurationError, UnknownName), match=message):
        load_environment(file(tmp_path / "env.py", FACTORY), dict([option.split("=")]))


def test_an_option_for_an_environment_that_takes_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="takes no options"):
        load_environment(file(tmp_path / "env.py", MINIMAL), {"size": "5"})


def test_an_option_that_is_needed_is_asked_for(tmp_path: Path) -> None:
    path = file(tmp_path / "env.py", "def environment(corpus): ...")
    with pytest.raises(ConfigurationError, match="--env-option corpus="):
        load_environment(path)


def test_a_function_that_returns_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"environment\(\) returned a NoneType"):
        load_environment(file(tmp_path / "env.py", "def environment(): ..."))


def test_a_folder_is_loaded_by_its_projects_entry_point(tmp_path: Path) -> None:
    project(tmp_path / "envs" / "mine", mine_package=MINIMAL)
    assert load_environment("envs/mine").name == "mine"


def test_a_folder_may_keep_its_package_under_src(tmp_path: Path) -> None:
    project(tmp_path / "p", "mine = 'package_in_src:environment'")
    file(tmp_path / "p" / "src" / "package_in_src" / "__init__.py", MINIMAL)
    assert load_environment(tmp_path / "p").name == "mine"


def test_a_missing_dependency_is_answered_with_how_to_install_it(tmp_path: Path) -> None:
    project(tmp_path / "servers" / "x", mine_package="import no_such_dependency_at_all\n")
    with pytest.raises(ConfigurationError, match=r"'no_such_dependency_at_all'.*Run: pip install -e servers/x"):
        load_environment("servers/x")


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("mine = 'no_such_package:environment'", "there is no module 'no_such_package'"),
        (
            "mine = 'mine_package:enviroment'",
            r"No object in .*mine_package\.py named 'enviroment'. Did you mean 'environment'",
        ),
        ("mine = ':environment'", "names nothing"),
        ("", "names no environment. Add"),
        ("a = 'mine_package:a'\nb = 'mine_package:b'", "several environments: a, b"),
    ],
)
def test_a_wrong_entry_point_is_told(tmp_path: Path, point: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_environment(project(tmp_path / "p", point, mine_package=MINIMAL))


def test_a_folder_that_is_no_environment_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=r"neither a pyproject.toml .* nor an environment.toml"):
        load_environment(tmp_path / "empty")
    file(tmp_path / "empty" / "pyproject.toml", "project =")
    with pytest.raises(ConfigurationError, match=r"pyproject.toml: not TOML"):
        load_environment(tmp_path / "empty")


def test_two_projects_with_one_package_name_are_not_mixed_up(tmp_path: Path) -> None:
    project(tmp_path / "a", mine_package=MINIMAL)
    project(tmp_path / "b", mine_package=MINIMAL)
    load_environment(tmp_path / "a")
    with pytest.raises(ConfigurationError, match=r"already imported from .*rename one"):
        load_environment(tmp_path / "b")


def test_an_installed_environment_is_found_by_name(tmp_path: Path) -> None:
    file(tmp_path / "site" / "some_package.py", MINIMAL)
    installed(tmp_path / "site", "some-environment", "some_package:environment")
    assert "some-environment" in installed_environments()
    assert load_environment("some-environment").name == "mine"


def test_an_unknown_name_gets_the_nearest_ones(tmp_path: Path) -> None:
    installed(tmp_path / "site", "some-environment", "x:y")
    with pytest.raises(UnknownName, match=r"'some-enviroment'. Did you mean 'some-environment'"):
        load_environment("some-enviroment")
    project(tmp_path / "servers" / "wiki_search")
    with pytest.raises(UnknownName, match=r"Did you mean 'servers/wiki_search'.* no such file or folder"):
        load_environment("servers/wiki_serch")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"notes.txt is no environment: name a folder"):
        load_environment(file(tmp_path / "notes.txt", "x"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ny = (", r"env\.py, line 2: '\(' was never closed"),
        ("x = 1\ny = 1 / 0", r"env\.py, line 2: ZeroDivisionError: division by zero"),
        ("from drawbar import Environment\nEnvironment(name='Bad Name')", r"env\.py: .*not 'Bad Name'"),
        ("import no_such_thing_here", r"needs the Python package 'no_such_thing_here'.*pip install no_such_thing_here"),
    ],
)
def test_a_file_that_fails_is_told_by_line_without_being_half_loaded(tmp_path: Path, text: str, message: str) -> None:
    path = file(tmp_path / "env.py", text)
    with pytest.raises(ConfigurationError, match=message):
        load_environment(path)
    assert not [name for name in sys.modules if name.startswith("drawbar_file_env")]
