"""How long sessions are kept, and cassettes for tool servers, as `drawbar.toml` says."""

from __future__ import annotations

import math
from pathlib import Path

import aiohttp
import orjson
import pytest

from drawbar.cli.serving import parts_of
from drawbar.config.reading import Effective, read_configuration
from drawbar.config.shown import as_text
from drawbar.errors import ConfigurationError
from drawbar.gateway import Gateway
from drawbar.record.store import Store
from drawbar.serving import serving
from drawbar.tools.cassettes.settings import Cassette

RETENTION = """
[retention]
live = 30
environments = { shop = 7, support = inf }
[retention.filters]
"feedback > 0" = inf
"metadata.tenant = acme" = 0.5
"""
HEADER = {
    "drawbar_cassette": 1,
    "servers": {"shop": {"tools": [{"name": "order", "inputSchema": {"type": "object"}}]}},
}
CALL = {
    "server": "shop", "tool": "order", "arguments": {"id": 7}, "session": "s", "seq": 0, "write": False,
    "result": {"content": [{"type": "text", "text": "paid"}]},
}  # fmt: skip


def read(folder: Path, text: str) -> Effective:
    path = folder / "drawbar.toml"
    path.write_text(text)
    return read_configuration(path, variables={})


def test_days_become_what_is_kept(tmp_path: Path) -> None:
    effective = read(tmp_path, RETENTION)
    kept = parts_of(effective).settings.retention
    assert (kept.live, kept.rollouts) == (30.0, math.inf)
    assert kept.environments == {"shop": 7.0, "support": math.inf}
    assert list(kept.filters.items()) == [("feedback > 0", math.inf), ("metadata.tenant = acme", 0.5)]
    assert 'retention.environments = { "shop" = 7.0, "support" = inf }' in as_text(effective)


def test_without_days_all_is_kept_for_ever(tmp_path: Path) -> None:
    assert parts_of(read(tmp_path, "")).settings.retention.forever


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[retention]\nlive = 0", "line 2, retention.live: expected `float` > 0"),
        ("[retention]\nlife = 3", "did you mean"),
        ("[retention.filters]\n'rewardd > 1' = 3", "there is no column 'rewardd'"),
        ("[retention.filters]\n'' = 3", "a filter that says nothing"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_place(tmp_path: Path, text: str, wrong: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        parts_of(read(tmp_path, text))
    assert wrong.casefold() in str(told.value).casefold()
    assert "drawbar.toml, line" in str(told.value)


@pytest.mark.parametrize(
    ("text", "cassette"),
    [
        ('[servers.shop]\ncassette = "shop.jsonl"', Cassette("shop.jsonl")),
        (
            '[servers.shop]\ncommand = "none"\ncassette = { path = "shop.jsonl", mode = "nearest", threshold = 0.5 }',
            Cassette("shop.jsonl", mode="nearest", threshold=0.5),
        ),
        (
            '[servers.shop]\n[servers.shop.cassette]\npath = "shop.jsonl"\nignore = ["note"]',
            Cassette("shop.jsonl", ignore=["note"]),
        ),
    ],
)
async def test_a_cassette_stands_in_for_a_server_of_the_configuration(
    tmp_path: Path, text: str, cassette: Cassette
) -> None:
    (tmp_path / "shop.jsonl").write_bytes(orjson.dumps(HEADER) + b"\n" + orjson.dumps(CALL) + b"\n")
    parts = parts_of(read(tmp_path, text))
    found = parts.environments["tools"].servers["shop"].cassette
    assert isinstance(found, Cassette)
    assert (Path(found.path), found.mode, found.ignore, found.threshold) == (
        tmp_path / "shop.jsonl", cassette.mode, cassette.ignore, cassette.threshold,
    )  # fmt: skip
    store = Store.open(tmp_path / "drawbar.db")
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "order", "arguments": {"id": 7}}}
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    async with (
        Gateway(store, parts.models, environments=parts.environments, settings=parts.settings) as gateway,
        serving(gateway, grace=0.5) as url,
        aiohttp.ClientSession() as http,
        http.post(f"{url}/mcp/tools", json=body, headers=headers) as response,
    ):
        answer = orjson.loads(await response.read())
    store.close()
    assert answer["result"]["content"] == [{"type": "text", "text": "paid"}]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[servers.shop]\nscope = 'shared'", "or a `cassette`"),
        ("[servers.shop]\ncassette = { path = 'a', mode = 'loose' }", "loose"),
        ("[servers.shop]\ncassette = { path = 'a', mod = 'strict' }", "mod"),
    ],
)
def test_a_cassette_that_cannot_be_meant_is_told_with_its_place(tmp_path: Path, text: str, wrong: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        parts_of(read(tmp_path, text))
    assert wrong in str(told.value)
    assert "drawbar.toml, line" in str(told.value)
