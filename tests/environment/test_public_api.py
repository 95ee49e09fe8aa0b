"""`import drawbar`: everything public is documented and typed, and importing it loads nothing heavy."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import drawbar


@pytest.mark.parametrize("name", drawbar.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(drawbar, name)
    documentation = inspect.getdoc(value) or ""
    assert documentation
    assert not documentation.startswith(f"{name}("), "a dataclass without a docstring gets its signature as one"


@pytest.mark.parametrize("name", drawbar.__all__)
def test_every_public_method_and_function_is_annotated(name: str) -> None:
    value = getattr(drawbar, name)
    members = vars(value).values() if inspect.isclass(value) else [value]
    for member in members:
        if inspect.isfunction(member) and not member.__name__.startswith("_"):
            signature = inspect.signature(member)
            assert signature.return_annotation is not inspect.Signature.empty, member.__qualname__
            for parameter in signature.parameters.values():
                assert parameter.name == "self" or parameter.annotation is not inspect.Parameter.empty, member


def test_names_are_sorted_and_the_package_is_marked_as_typed() -> None:
    assert list(drawbar.__all__) == sorted(drawbar.__all__)
    assert dir(drawbar) == sorted(drawbar.__all__)
    assert (Path(drawbar.__file__).parent / "py.typed").is_file()


def test_a_name_that_is_not_there_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="'drawbar' has no attribute 'Enviroment'"):
        getattr(drawbar, "Enviroment")  # noqa: B009


def test_importing_it_and_writing_an_environment_loads_nothing_heavy() -> None:
    program = (
        "import sys, drawbar\n"
        "assert 'drawbar.environment' not in sys.modules\n"
        "task = drawbar.Task(prompt='?')\n"
        "drawbar.Environment(name='e', tasks=[task], rubric=[lambda completion: 1]).rubric_version\n"
        "heavy = {'mcp', 'litellm', 'sqlalchemy', 'aiohttp', 'pydantic', 'jinja2', 'pyarrow', 'typer', 'rich'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
