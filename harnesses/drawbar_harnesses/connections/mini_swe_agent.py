"""mini-SWE-agent: variables of LiteLLM, which its global configuration can hold."""

from __future__ import annotations

from typing import Final

from drawbar.connection import File, Gate, Setting, Setup
from drawbar_harnesses.connections import Described, model_of


def _setup(gate: Gate) -> Setup:
    model = f"openai/{model_of(gate)}"
    variables = {
        "OPENAI_API_BASE": gate.openai_base_url,
        "OPENAI_API_KEY": gate.key,
        "MSWEA_COST_TRACKING": "ignore_errors",
    }
    kept = [Setting((name,), value) for name, value in variables.items() if name != "OPENAI_API_KEY"]
    if gate.key_variable is None:
        kept.append(Setting(("OPENAI_API_KEY",), gate.key, "default"))
    place = File(
        user=".config/mini-swe-agent/.env", moved=("MSWEA_GLOBAL_CONFIG_DIR", ".config/mini-swe-agent"), settings=kept
    )
    notes = ["The gateway knows what a call costs: mini-SWE-agent need not, and would stop where it does not know."]
    if gate.mcp_url is not None:
        notes.append("It knows no MCP: it works with its shell alone.")
    return Setup(
        variables=variables,
        kept=[place],
        unkept=[] if gate.key_variable is None else ["OPENAI_API_KEY"],
        run=f"mini --model {model}",
        ask=f'mini --model {model} --yolo --exit-immediately --task "PROMPT"',
        notes=notes,
    )


CONNECTION: Final = Described("mini-SWE-agent", "chat", None, "3 variables", _setup)
