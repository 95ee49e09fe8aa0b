"""pi: a provider in its `models.json`. It knows no MCP: an extension of ours gives it the tools."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Final

from drawbar.connection import File, Gate, Setting, Setup
from drawbar_harnesses.connections import SERVER, Described, model_of

EXTENSION: Final = Path(__file__).parents[1] / "pi_tools.mjs"


def provider(base_url: str, key: str, model: str) -> dict[str, Any]:
    """An entry of `providers`. The key may be the name of a variable."""
    return {
        "baseUrl": base_url,
        "api": "openai-completions",
        "apiKey": key,
        "compat": {"supportsDeveloperRole": False, "supportsReasoningEffort": False},
        "models": [{"id": model}],
    }


def _setup(gate: Gate) -> Setup:
    model = model_of(gate)
    entry = provider(gate.openai_base_url, gate.key.removeprefix("$"), model)
    file = File(
        user=".pi/agent/models.json",
        moved=("PI_CODING_AGENT_DIR", ".pi/agent"),
        settings=[Setting(("providers", SERVER), entry)],
    )
    variables, extension = {}, ""
    if gate.mcp_url is not None:
        variables["DRAWBAR_MCP_URL"] = gate.mcp_url
        extension = f" --extension {shlex.quote(str(EXTENSION))}"
        if gate.key_variable not in (None, "DRAWBAR_KEY"):
            variables["DRAWBAR_KEY"] = gate.key
    command = f"pi --provider {SERVER} --model {model}{extension}"
    notes = (
        []
        if gate.mcp_url is None
        else ["pi knows no MCP: the extension, which comes with drawbar, gives it the tools."]
    )
    return Setup(variables=variables, files=[file], run=command, ask=f'{command} -p "PROMPT"', notes=notes)


CONNECTION: Final = Described("pi", "chat", None, "1 file, 1 variable for tools", _setup)
