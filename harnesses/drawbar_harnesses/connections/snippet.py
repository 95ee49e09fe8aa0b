"""Programs to show: templates beside this file, filled for one gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from drawbar.connection import Gate

_FOLDER = Path(__file__).with_name("snippets")


def snippet(name: str, gate: Gate, model: str) -> str:
    """The program `name` (with its suffix) for this gateway.

    Templates have the gate's fields as literals of their language, `key` and `bearer` as expressions, and `tools`
    (whether there are any).
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    shape = _SHAPES.get(Path(name).suffix, _python)
    return environment.get_template(f"{name}.jinja").render(shape(gate, model))


def _common(gate: Gate, model: str) -> dict[str, Any]:
    return {
        "model": json.dumps(model),
        "base_url": json.dumps(gate.base_url),
        "openai_base_url": json.dumps(gate.openai_base_url),
        "mcp_url": json.dumps(gate.mcp_url),
        "tools": gate.mcp_url is not None,
        "keyed": gate.key_variable is not None,
    }


def _python(gate: Gate, model: str) -> dict[str, Any]:
    named = f"os.environ[{json.dumps(gate.key_variable)}]"
    return _common(gate, model) | {
        "litellm_model": json.dumps(f"openai/{model}"),
        "key": json.dumps(gate.key) if gate.key_variable is None else named,
        "bearer": f'{{"Authorization": "Bearer " + {named}}}',
    }


def _typescript(gate: Gate, model: str) -> dict[str, Any]:
    return _common(gate, model) | {
        "key": json.dumps(gate.key) if gate.key_variable is None else f"process.env.{gate.key_variable}"
    }


def _shell(gate: Gate, model: str) -> dict[str, Any]:
    return _common(gate, model) | {"base": gate.base_url, "tools_at": gate.mcp_url, "variable": gate.key_variable}


_SHAPES = {".ts": _typescript, ".sh": _shell}
