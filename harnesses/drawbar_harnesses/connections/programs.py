"""What is used from code, Python frameworks and plain SDKs: a program of a few lines, or variables in its place."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from drawbar.connection import Gate, Setup
from drawbar_harnesses.connections import Described, model_of
from drawbar_harnesses.connections.snippet import snippet

Variables = Callable[[Gate], dict[str, str]]


def _openai(gate: Gate) -> dict[str, str]:
    return {"OPENAI_BASE_URL": gate.openai_base_url, "OPENAI_API_KEY": gate.key}


def _openai_old(gate: Gate) -> dict[str, str]:
    return {"OPENAI_API_BASE": gate.openai_base_url, "OPENAI_API_KEY": gate.key}


def _anthropic(gate: Gate) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": gate.base_url, "ANTHROPIC_API_KEY": gate.key}


def _gemini(gate: Gate) -> dict[str, str]:
    return {"GOOGLE_GEMINI_BASE_URL": gate.base_url, "GEMINI_API_KEY": gate.key}


def _setup(gate: Gate, *, program: str, variables: Variables, mcp: bool, start: str) -> Setup:
    model = model_of(gate)
    notes = []
    if gate.mcp_url is not None and not mcp:
        notes.append(f"It knows no MCP: the tools are at {gate.mcp_url}, for an MCP client of yours.")
    return Setup(
        code=snippet(program, gate, model),
        program=program,
        instead=variables(gate),
        run=f"{start} {program}",
        notes=notes,
    )


def _framework(name: str, title: str, mcp: str, variables: Variables = _openai) -> Described:
    build = partial(_setup, program=f"{name}_agent.py", variables=variables, mcp=True, start="python")
    return Described(title, "chat", mcp, "2 lines of code", build, "frameworks")


def _sdk(program: str, title: str, dialect: str, variables: Variables, *, start: str = "python") -> Described:
    build = partial(_setup, program=program, variables=variables, mcp=False, start=start)
    return Described(title, dialect, None, "2 variables, or 1 line of code", build, "SDKs")


OPENAI_AGENTS: Final = _framework("openai_agents", "OpenAI Agents SDK", "2026-07-28")
LANGGRAPH: Final = _framework("langgraph", "LangChain and LangGraph", "2025-11-25")
PYDANTIC_AI: Final = _framework("pydantic_ai", "Pydantic AI", "2026-07-28")
SMOLAGENTS: Final = _framework("smolagents", "smolagents", "2025-11-25")
GOOGLE_ADK: Final = _framework("google_adk", "Google ADK", "2025-11-25")
LLAMA_INDEX: Final = _framework("llama_index", "LlamaIndex", "2025-11-25", _openai_old)
AUTOGEN: Final = _framework("autogen", "AutoGen", "2025-11-25")
STRANDS: Final = _framework("strands", "Strands", "2026-07-28")

OPENAI: Final = _sdk("openai_sdk.py", "OpenAI SDK for Python", "chat", _openai)
OPENAI_TYPESCRIPT: Final = _sdk("openai_sdk.ts", "OpenAI SDK for TypeScript", "chat", _openai, start="node")
ANTHROPIC: Final = _sdk("anthropic_sdk.py", "Anthropic SDK for Python", "messages", _anthropic)
GOOGLE_GENAI: Final = _sdk("google_genai_sdk.py", "Google Gen AI SDK for Python", "gemini", _gemini)
LITELLM: Final = _sdk("litellm_sdk.py", "LiteLLM", "chat", _openai)
