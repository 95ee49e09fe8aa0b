"""What tokens cost, from the table that ships inside litellm, read without importing it (that takes seconds)."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import orjson

Price = tuple[float, float, float]
"""US dollars per prompt token, cached prompt token and completion token."""

_TABLE = "model_prices_and_context_window_backup.json"


@cache
def prices() -> dict[str, Price]:
    """Prices by litellm's names of models; empty when litellm is not there. Reads a file of megabytes, once."""
    spec = importlib.util.find_spec("litellm")
    if spec is None or not spec.submodule_search_locations:
        return {}
    try:
        table = orjson.loads((Path(spec.submodule_search_locations[0]) / _TABLE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return {name: found for name, entry in table.items() if (found := _price(entry)) is not None}


def cost(names: tuple[str, ...], prompt: int, cached: int, completion: int) -> float | None:
    """US dollars for these tokens at the price of the first of these names that has one; None when none has."""
    table = prices()
    price = next((table[name] for name in names if name in table), None)
    if price is None:
        return None
    return max(0, prompt - cached) * price[0] + cached * price[1] + completion * price[2]


def _price(entry: object) -> Price | None:
    if not isinstance(entry, dict):
        return None
    asked, said = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    if not isinstance(asked, int | float) or not isinstance(said, int | float):
        return None
    cached = entry.get("cache_read_input_token_cost")
    return float(asked), float(cached) if isinstance(cached, int | float) else float(asked), float(said)
