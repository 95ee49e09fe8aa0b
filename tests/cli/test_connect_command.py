"""`drawbar connect`: what it says, what it writes where, and that it takes everything out again."""

from __future__ import annotations

import json
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from drawbar import Environment
from drawbar.connecting.found import connection, known_connections
from drawbar.connection import Gate
from drawbar.gateway import Gateway
from drawbar.proxy.models import Models
from drawbar.proxy.settings import Settings
from drawbar.record.store import Store
from drawbar.rollout.harnesses import harness_factory, installed_harnesses
from drawbar.serving import serving
from drawbar.testing import ScriptedModel, says

Drawbar = Callable[..., Any]
NOBODY = "http://127.0.0.1:9"
ALL = sorted(known_connections())
SDKS = {"anthropic", "google_genai", "litellm", "openai", "openai_typescript"}
WRITTEN = ("claude_code", "cline", "codex", "copilot", "gemini_cli", "mini_swe_agent", "opencode", "pi", "qwen_code")


@pytest.fixture
def connect(drawbar: Drawbar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drawbar:
    """Runs `drawbar connect` in an empty project, of a user with an empty home."""
    for name in ("home", "project"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "CODEX_HOME", "DRAWBAR_KEY", "DRAWBAR_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path / "project")
    return partial(drawbar, "connect")


@asynccontextmanager
async def gateway_at(folder: Path, *keys: str, admin_key: str | None = None) -> AsyncIterator[tuple[str, Store]]:
    store = Store.open(folder / "drawbar.db")
    environments = {"wiki": Environment(name="wiki"), "shop": Environment(name="shop")}
    models = Models(in_process={"scripted": ScriptedModel([says("Hello.")])})
    settings = Settings(keys=frozenset(keys), admin_key=admin_key)
    gateway = Gateway(store, models, environments=environments, settings=settings)
    async with gateway, serving(gateway, grace=1) as url:
        yield url, store
    store.close()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_list_has_every_harness_that_runs_an_agent_of_others_and_the_plain_sdks(connect: Drawbar) -> None:
    rows = {row["name"]: row for row in connect("--json").json}
    agents = {name for name in installed_harnesses() if getattr(harness_factory(name), "install", None) is not None}
    assert set(rows) == agents | SDKS | {"claude_agent_sdk", "curl"}
    for name in agents:
        assert (rows[name]["dialect"], rows[name]["mcp"]) == (harness_factory(name).dialect, _mcp(name)), name
    shown = connect().out
    assert all(f"{name} " in shown for name in rows)
    assert "responses" in next(line for line in shown.splitlines() if line.startswith("codex "))


def _mcp(name: str) -> str | None:
    """What it speaks by itself: drawbar's harness teaches mini-SWE-agent to use tools."""
    return None if name == "mini_swe_agent" else harness_factory(name).mcp


@pytest.mark.parametrize("name", ALL)
def test_each_is_told_the_gateway_its_tools_and_its_model_and_nothing_is_written(
    name: str, connect: Drawbar, tmp_path: Path
) -> None:
    ended = connect(name, "--gateway", NOBODY, "-e", "wiki", "--model", "a-model")
    assert ended.status == 0, ended.err
    assert f"{NOBODY}/mcp/wiki" in ended.out or name == "mini_swe_agent"
    assert NOBODY in ended.out.replace("/mcp/wiki", "")
    assert "a-model" in ended.out
    assert f"No gateway answers at {NOBODY} yet" in ended.err
    assert files(tmp_path / "home") == files(tmp_path / "project") == {}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("tools", [None, f"{NOBODY}/mcp/wiki"])
def test_a_key_is_named_and_a_gateway_without_one_is_shown_a_placeholder(name: str, tools: str | None) -> None:
    found = connection(name)
    keyed = found.setup(Gate(base_url=NOBODY, mcp_url=tools, model="m", key_variable="MY_KEY"))
    plain = found.setup(Gate(base_url=NOBODY, mcp_url=tools, model="m"))
    assert "MY_KEY" in repr(keyed)
    assert "MY_KEY" not in repr(plain)
    assert "Authorization" not in repr(plain)
    assert set(keyed.unkept) <= set(keyed.variables)
    assert (plain.kept == ()) == (keyed.kept == ())
    assert plain.run or name == "curl"
    if plain.code and name != "curl" and not name.endswith("typescript"):
        for setup in (plain, keyed):
            compile(setup.code, setup.program, "exec")


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("scope", [(), ("--global",)])
def test_what_is_written_is_written_once_and_taken_out_again(
    name: str, scope: tuple[str, ...], connect: Drawbar, tmp_path: Path
) -> None:
    given = (name, "--gateway", NOBODY, "-e", "wiki", "--model", "m", "--no-probe", *scope)
    first = connect(*given, "--write")
    assert first.status == 0, first.err
    assert first.err == ""
    written = files(tmp_path)
    again = connect(*given, "--write", "--json").json
    assert [each["changed"] for each in again["written"]] == [[] for _ in again["written"]]
    assert files(tmp_path) == written
    undone = connect(name, "--undo", *scope)
    assert "removed: nothing else was in it" in undone.out
    assert files(tmp_path / "home") == files(tmp_path / "project") == {}
    assert "Nothing of" in connect(name, "--undo", *scope).err


def test_what_stands_in_a_file_already_stays_and_the_change_is_shown(connect: Drawbar, tmp_path: Path) -> None:
    own = '"provider": {"drawbar": {"options": {"apiKey": "sk-mine-1"}}}'
    text = f'{{\n  // mine\n  "model": "anthropic/mine", // the best\n  {own}\n}}\n'
    file = tmp_path / "project" / "opencode.json"
    file.write_text(text)
    said = connect("opencode", "--gateway", NOBODY, "--model", "m", "--write").out
    assert '"anthropic/mine", // the best' in file.read_text()
    assert "- provider.drawbar = " in said
    assert "sk-mine-1" not in said
    assert '+ provider.drawbar = {"npm": "@ai-sdk/openai-compatible"' in said
    [backup] = [line.split(": ")[1] for line in said.splitlines() if line.startswith("  as it was: ")]
    assert Path(backup.replace("~", str(tmp_path / "home"))).read_text() == text
    connect("opencode", "--undo")
    assert file.read_text() == text


def test_a_file_of_another_name_or_in_another_place_is_found(
    connect: Drawbar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project" / "opencode.jsonc").write_text("{}")
    connect("opencode", "--gateway", NOBODY, "--write")
    assert "drawbar" in (tmp_path / "project" / "opencode.jsonc").read_text()
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "elsewhere"))
    connect("codex", "--gateway", NOBODY, "--write")
    profile = tomllib.loads((tmp_path / "elsewhere" / "drawbar.config.toml").read_text())
    assert profile["model_provider"] == "drawbar"


def test_a_project_is_connected_by_its_folder_and_undoing_says_what_is_connected_elsewhere(
    connect: Drawbar, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    connect("claude_code", "--gateway", NOBODY, "-e", "wiki", "--write", "--dir", str(other))
    assert set(files(other)) == {".mcp.json", ".claude/settings.local.json"}
    settings = json.loads((other / ".claude/settings.local.json").read_text())
    assert settings["env"]["ANTHROPIC_BASE_URL"] == NOBODY
    here = connect("claude_code", "--undo")
    assert f"--dir {other}" in here.err
    assert len(files(other)) == 2
    connect("claude_code", "--undo", "--dir", str(other))
    assert files(other) == {}


def test_connecting_without_tools_takes_earlier_tools_out(connect: Drawbar, tmp_path: Path) -> None:
    connect("claude_code", "--gateway", NOBODY, "-e", "wiki", "--write")
    connect("claude_code", "--gateway", NOBODY, "--write")
    [settings] = files(tmp_path / "project").values()
    assert set(json.loads(settings)) == {"env"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("claud_code",), "Did you mean 'claude_code'"),
        (("codex", "--key", "sk-1234"), "name of the variable"),
        (("codex", "--gateway", "127.0.0.1:8787"), "--gateway is a URL"),
        (("codex", "--gateway", "http://h/?key=1"), "--gateway is a URL"),
        (("codex", "--dir", ".", "--global"), "exclude each other"),
        (("codex", "--write", "--dir", "."), "leave --dir out"),
        (("pydantic_ai", "--write"), "is used from code"),
        (("copilot", "--write"), "variables alone"),
        (("codex", "--session", "--gateway", NOBODY), "cannot be reached"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(
    arguments: tuple[str, ...], said: str, connect: Drawbar, tmp_path: Path
) -> None:
    ended = connect(*arguments)
    assert ended.status == 2
    assert said in ended.err
    assert "sk-1234" not in ended.err + ended.out
    assert files(tmp_path / "home") == {}


def test_names_may_be_written_with_hyphens_and_urls_with_their_version(connect: Drawbar) -> None:
    told = connect("claude-code", "--gateway", f"{NOBODY}/v1/", "--json", "--no-probe").json
    assert (told["agent"], told["variables"]["ANTHROPIC_BASE_URL"]) == ("claude_code", NOBODY)


def test_a_model_that_was_put_as_an_example_is_called_one(connect: Drawbar) -> None:
    assert "gpt-5-mini stands for your model" in connect("opencode", "--no-probe").out
    assert "stands for your model" not in connect("opencode", "--no-probe", "--model", "gpt-5-mini").out
    assert "stands for your model" not in connect("claude_code", "--no-probe").out


async def test_a_gateway_that_answers_says_what_it_serves(connect: Drawbar, tmp_path: Path) -> None:
    async with gateway_at(tmp_path) as (url, _):
        plain = await to_thread.run_sync(partial(connect, "codex", "--gateway", url))
        wrong = await to_thread.run_sync(partial(connect, "codex", "--gateway", url, "-e", "wikki"))
        json_alone = await to_thread.run_sync(partial(connect, "codex", "--gateway", url, "--json"))
    assert "The gateway answers there" in plain.err
    assert "--environment wiki (or shop)" in plain.err
    assert "no environment 'wikki'. Did you mean 'wiki'?" in wrong.err
    assert json_alone.err == ""


async def test_a_gateway_that_wants_a_key_is_recognised(
    connect: Drawbar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway_at(tmp_path, "right", admin_key="admin") as (url, _):
        where = ("codex", "--gateway", url)
        without = await to_thread.run_sync(partial(connect, *where))
        unset = await to_thread.run_sync(partial(connect, *where, "--key", "DRAWBAR_KEY"))
        monkeypatch.setenv("DRAWBAR_KEY", "wrong")
        wrong = await to_thread.run_sync(partial(connect, *where, "--key", "DRAWBAR_KEY"))
        monkeypatch.setenv("DRAWBAR_KEY", "right")
        right = await to_thread.run_sync(partial(connect, *where, "--key", "DRAWBAR_KEY"))
    assert "It wants a key of its clients" in without.err
    assert "DRAWBAR_KEY is not set here" in unset.err
    assert "does not take the key that DRAWBAR_KEY holds" in wrong.err
    assert right.err.strip().endswith(")."), "nothing but that the gateway answers"
    assert not any(word in right.out for word in ("right", "wrong"))


async def test_a_session_is_opened_and_its_urls_are_what_is_told(
    connect: Drawbar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway_at(tmp_path, admin_key="admin") as (url, store):
        where = ("codex", "--gateway", url, "-e", "wiki", "--model", "scripted", "--session")
        refused = await to_thread.run_sync(partial(connect, *where))
        monkeypatch.setenv("DRAWBAR_ADMIN_KEY", "admin")
        ended = await to_thread.run_sync(partial(connect, *where))
        told = (await to_thread.run_sync(partial(connect, *where, "--json", "--write"))).json
        [second, first] = store.sessions(limit=5)
        assert (refused.status, "admin key" in refused.err) == (2, True)
        assert f"drawbar show {first.id}" in ended.out
        assert (second.id, second.environment, second.model, second.harness) == (
            told["session"]["id"], "wiki", "scripted", "codex",
        )  # fmt: skip
        profile = tomllib.loads(files(tmp_path / "home")[".codex/drawbar.config.toml"].decode())
        base = profile["model_providers"]["drawbar"]["base_url"]
        assert base.startswith(f"{url}/s/")
        assert profile["mcp_servers"]["drawbar"]["url"] == base.removesuffix("/v1") + "/mcp"


async def test_nothing_is_opened_when_nothing_can_be_written(connect: Drawbar, tmp_path: Path) -> None:
    async with gateway_at(tmp_path) as (url, store):
        where = ("--gateway", url, "--session", "--write")
        await to_thread.run_sync(partial(connect, "openai", *where))
        await to_thread.run_sync(partial(connect, "codex", *where, "--dir", "."))
        assert list(store.sessions(limit=5)) == []


def test_shells_complete_the_names_of_agents(drawbar: Drawbar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_DRAWBAR_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "drawbar connect cl")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert drawbar().out.split() == ["claude_agent_sdk", "claude_code", "cline"]
