"""`drawbar.toml`: what it says, what comes before it, and how its mistakes are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drawbar.cli.serving import parts_of
from drawbar.config.configuration import Configuration, json_schema
from drawbar.config.made import environments_of, models_of, settings_of
from drawbar.config.reading import Effective, read_configuration, variable_of
from drawbar.config.redaction import redaction
from drawbar.config.settings import ANY_NAME, all_settings, type_of
from drawbar.config.shown import as_text, described
from drawbar.errors import ConfigurationError
from drawbar.proxy.routes import ModelRoute
from drawbar.server import CommandServer, UrlServer

FILE = """
port = 9000
recording = "best-effort"
idle = 60
keys = ["${TEAM_KEY}"]

[upstreams.mine]
kind = "vllm"
base_url = "http://user:pw@127.0.0.1:9/v1"
key_env = "MINE_KEY"
timeout = 30

[models.fast]
to = "mine/qwen"
fallbacks = ["mine/other"]

[models.ab]
to = { "mine/qwen" = 3, "mine/other" = 1 }

[servers.shop]
url = "http://127.0.0.1:9/mcp"
headers = { authorization = "Bearer ${TEAM_KEY}" }

[servers.clock]
command = "python clock.py"

[redaction]
email = '[a-z.]+@[a-z.]+'
"""
TEAM = {"TEAM_KEY": "sk-team-secret"}


def read(tmp_path: Path, text: str = FILE, **more: Any) -> Effective:
    path = tmp_path / "drawbar.toml"
    path.write_text(text)
    return read_configuration(path, **{"variables": TEAM, **more})


def test_a_file_says_what_it_says_and_the_rest_is_by_default(tmp_path: Path) -> None:
    given = read(tmp_path).configuration
    assert (given.port, given.recording, given.idle, given.keys) == (9000, "best-effort", 60.0, ["sk-team-secret"])
    assert given.models["ab"].to == {"mine/qwen": 3.0, "mine/other": 1.0}
    assert (given.host, given.drain) == ("127.0.0.1", 30.0)
    assert read_configuration(variables={}).configuration == Configuration()


def test_a_flag_comes_before_a_variable_and_that_before_the_file(tmp_path: Path) -> None:
    variables = {**TEAM, "DRAWBAR_PORT": "9001", "DRAWBAR_IDLE": "5", "DRAWBAR_UPSTREAMS__MINE__TIMEOUT": "7"}
    effective = read(tmp_path, variables=variables, flags={"port": ("--port", 9002), "host": ("--host", None)})
    given = effective.configuration
    assert (given.port, given.idle, given.upstreams["mine"].timeout, given.upstreams["mine"].kind) == (
        9002, 5.0, 7.0, "vllm",
    )  # fmt: skip
    assert effective.source("port") == "--port"
    assert effective.source("idle") == "DRAWBAR_IDLE"
    assert effective.source("upstreams", "mine", "timeout") == "DRAWBAR_UPSTREAMS__MINE__TIMEOUT"
    assert effective.source("recording") == f"{tmp_path / 'drawbar.toml'}, line 3"
    assert effective.source("host") == "default"


def test_any_setting_can_be_given_by_its_name(tmp_path: Path) -> None:
    given = read(
        tmp_path,
        settings=[
            "models.fast.to=openai/gpt", "redaction.phone=[0-9]{7}", 'models.new.to={"a/b" = 1}', "withhold=mcp,maps",
            "token_ids=true", "models.ab.to.mine/qwen=0",
        ],
    ).configuration  # fmt: skip
    assert given.models["fast"].to == "openai/gpt"
    assert set(given.redaction) == {"email", "phone"}
    assert given.models["new"].to == {"a/b": 1.0}
    assert given.models["ab"].to == {"mine/qwen": 0.0, "mine/other": 1.0}
    assert (given.withhold, given.token_ids) == (["mcp", "maps"], True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", r"drawbar.toml, line 1, prot: there is no such setting. Did you mean 'port'"),
        ("\n\nport = 'x'", r"line 3, port: expected `int`, got `str`"),
        ("port = 70000", r"line 1, port: expected `int` <= 65535"),
        ("[upstreams.a]\nbase_ulr = 'x'", r"line 2, upstreams.a.base_ulr: there is no .*'base_url'"),
        ("[models.a]\nfallbacks = []", r"line 2: object missing required field `to` in \[models"),
        ("recording = 'maybe'", r"line 1, recording: invalid enum value 'maybe'"),
        ("keys = ['${NOT_THERE}']", r"line 1, keys: the environment variable NOT_THERE is not set"),
        ("upstreams = 3", r"line 1, upstreams: it is a table, not 3"),
        ("port = ]", r"line 1, port, column .*not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[upstreams.a]\nkind = 'vlm'", r"line 2, upstreams.a: there is no kind 'vlm'. Did you mean .*'vllm'"),
        ("[upstreams.a]\ntimeout = 3", r"line 2, upstreams.a: it needs a base_url"),
        ("[models.a]\nto = 'b'\n[models.b]\nto = 'c/d'", r"models.a: it leads to 'b', which is such a name itself"),
        ("[models.a]\nto = {'b/c' = 0}", r"models.a: A route leads to at least one"),
        ("[redaction]\na = '('", r"redaction.a: .* is no regular expression"),
        ("[redaction]\na = 'x*'", r"redaction.a: .* matches the empty text"),
        ("[servers.a]\nurl = 'x'\ncommand = 'y'", r"servers.a: a server has one of"),
        ("withhold = ['web']", r"line 1, withhold: These tools cannot be withheld"),
        ("api_key_env = 'NOT_SET_AT_ALL'", r"api_key_env names NOT_SET_AT_ALL, which is not set"),
        ("environments = ['no/such/environment']", r"no/such/environment"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_served(tmp_path: Path, text: str, said: str) -> None:
    effective = read(tmp_path, text)
    with pytest.raises((ConfigurationError, LookupError), match=said):
        parts_of(effective)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"variables": {"DRAWBAR_PORT": "x"}}, "DRAWBAR_PORT: expected `int`, got `str`"),
        ({"settings": ["prot=1"]}, "--set prot: There is no setting prot. Did you mean 'port'"),
        ({"settings": ["port"]}, "--set takes NAME=VALUE"),
        ({"settings": ["upstreams.a=1"]}, "upstreams.a is a table"),
        ({"settings": ["port.x=1"]}, "nothing below port"),
        ({"flags": {"port": ("--port", -1)}}, "--port: expected `int` >= 0"),
    ],
)
def test_a_mistake_elsewhere_is_told_with_where_it_was_made(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read_configuration(**{"variables": {}, **more})


def test_a_variable_that_sets_nothing_is_noted_and_harms_nothing() -> None:
    effective = read_configuration(variables={"DRAWBAR_PROT": "1", "DRAWBAR_DEBUG": "1", "OTHER": "1"})
    assert effective.configuration == Configuration()
    [note] = effective.ignored
    assert "DRAWBAR_PROT sets nothing" in note
    assert "'port'" in note


def test_every_setting_is_shown_with_its_source_and_no_secret(tmp_path: Path) -> None:
    variables = {**TEAM, "DRAWBAR_ADMIN_KEY": "admin-secret"}
    store = "postgresql://me:store-secret@db/x"
    effective = read(tmp_path, variables=variables, flags={"store": ("--store", store)})
    text = as_text(effective)
    for secret in ("sk-team-secret", "admin-secret", "store-secret", "user:pw"):
        assert secret not in text
    assert 'store = "postgresql' in text
    lines = {name: (value, source) for name, value, source in described(effective)}
    assert lines["port"] == ("9000", f"{tmp_path / 'drawbar.toml'}, line 2")
    assert lines["admin_key"] == ('"***"', "DRAWBAR_ADMIN_KEY")
    assert lines["keys"][0] == '["***"]'
    assert lines["upstreams.mine.base_url"][0] == '"http://127.0.0.1:9/v1"'
    assert lines["servers.shop.headers"][0] == '{ "authorization" = "***" }'
    top = {name.partition(".")[0] for name in lines}
    assert {keys[0] for keys in all_settings()} <= top | {"upstreams", "models", "servers", "webhooks", "alerts"}


def test_every_setting_can_be_a_variable_and_says_what_it_does() -> None:
    for keys, annotation in all_settings().items():
        named = tuple("one" if key == ANY_NAME else key for key in keys)
        assert any(getattr(extra, "description", None) for extra in annotation.__metadata__), keys
        assert variable_of(named).startswith("DRAWBAR_")
        assert type_of(named) == annotation


def test_a_files_servers_and_upstreams_become_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    effective = read(tmp_path)
    [tools] = environments_of(effective).values()
    shop, clock = tools.servers["shop"], tools.servers["clock"]
    assert isinstance(shop, UrlServer)
    assert shop.headers == {"authorization": "Bearer sk-team-secret"}
    assert isinstance(clock, CommandServer)
    assert (clock.command, clock.cwd) == (["python", "clock.py"], tmp_path)
    models = models_of(effective)
    assert [target.label for target in models.targets("fast")] == ["mine/qwen", "mine/other"]
    assert models.names() == ["ab", "fast"]
    settings = settings_of(effective)
    assert (settings.recording, settings.live_idle) == ("best-effort", 60.0)


def test_a_split_is_the_same_within_a_session_and_fair_over_many() -> None:
    route = ModelRoute({"a": 3.0, "b": 1.0, "c": 0.0})
    chosen = [route.chosen("ab", f"ses_{n}") for n in range(2000)]
    assert chosen == [route.chosen("ab", f"ses_{n}") for n in range(2000)]
    assert 0.7 < chosen.count("a") / 2000 < 0.8
    assert "c" not in chosen


def test_patterns_are_replaced_in_texts_and_nowhere_else() -> None:
    redact = redaction({"email": r"[a-z.]+@[a-z.]+", "card": r"\b\d{16}\b"})
    assert redact is not None
    body = json.dumps({"to": "me\n ada@sea.org", "n": 1234567890123456, "card": "1234567890123456"}).encode()
    assert json.loads(redact(body)) == {"to": "me\n [email]", "n": 1234567890123456, "card": "[card]"}
    untouched = b'{ "a" : "b" }'
    assert redact(untouched) is untouched
    assert redact(b"not JSON of ada@sea.org") == b"not JSON of [email]"
    assert redact(b'"ada\\u0040sea.org"') == b'"[email]"'
    assert redact(b"1234567890123456") == b"[card]"  # words, though it could be read as a number
    assert redaction({}) is None


def test_of_settings_that_are_not_wanted_nothing_can_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "drawbar.toml"
    path.write_text('admin_key = "${NOT_SET}"\nnonsense = 1\n[redaction]\nemail = "@"\n')
    variables = {"DRAWBAR_PORT": "no number", "DRAWBAR_REDACTION__CARD": "[0-9]{16}"}
    given = read_configuration(path, variables=variables, only=("redaction",)).configuration
    assert (given.redaction, given.admin_key) == ({"email": "@", "card": "[0-9]{16}"}, None)


def test_the_schema_is_for_editors() -> None:
    schema = json_schema()
    properties = schema["$defs"]["Configuration"]["properties"]
    assert properties["port"]["description"].startswith("Port to listen on")
    assert schema["$defs"]["UpstreamTable"]["additionalProperties"] is False


def test_the_example_is_right() -> None:
    example = Path(__file__).parents[2] / "examples" / "drawbar.toml"
    effective = read_configuration(example, variables={})
    parts = parts_of(effective)
    assert [target.label for target in parts.models.targets("support", session="s")][-1] == "openai/gpt-5-mini"
    assert parts.redact is not None
    assert parts.redact(b'"to ada@sea.org"') == b'"to [email]"'
