"""`environment.toml`: an environment without Python, and errors with file, line and key."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from drawbar import CommandServer, Environment, Limits, PythonServer, UrlServer, load_environment
from drawbar.errors import ConfigurationError

WHOLE = """
    name = "weather"
    version = "2.0"
    description = "Ask about the weather."
    system = '''
    name = "not a key"
    Be brief.'''
    tasks = ["tasks.jsonl", "more.jsonl"]
    observation = "as-is"
    default_model = "oracle"

    [servers.local]
    command = "python -m 'my server'"
    scope = "session"
    timeout = 5
    env = { TOKEN = "Bearer ${WEATHER_TOKEN}" }
    pass_env = ["LANG"]

    [servers.remote]
    url = "https://example.org/mcp"
    headers = { Authorization = "${WEATHER_TOKEN}" }
    max_result_bytes = 1000

    [servers.python]
    python = "rewards:server"

    [rubric]
    scorers = ["rewards:correct", "rewards:more"]
    [rubric.weights]
    short = 0.25

    [judge]
    model = "judge-model"
    template = "Is {{ completion }} right?"

    [judges.polite]
    model = "judge-model"
    template_file = "polite.txt"
    verdicts = { A = 1.0, B = 0.5 }
    weight = 0.5

    [limits]
    turns = 7
    cost = 0.5

    [sampling]
    temperature = 0.2

    [models]
    oracle = "rewards:oracle"
"""
REWARDS = """
    from drawbar import Rubric, metric
    from drawbar.testing import tool_server

    def correct(completion, answer): return completion == answer
    @metric
    def short(completion): return len(completion) < 9
    more = Rubric(short)
    async def oracle(messages, tools, task): return {"role": "assistant", "content": task.answer}
    def server(): return tool_server()
"""


def folder(path: Path, toml: str) -> Path:
    path.mkdir(exist_ok=True)
    files = {"environment.toml": toml, "rewards.py": REWARDS, "polite.txt": "Is {{ completion }} polite? A or B.",
             "tasks.jsonl": '{"key": "1", "prompt": "?"}', "more.jsonl": '{"key": "2", "prompt": "?"}'}  # fmt: skip
    for name, text in files.items():
        (path / name).write_text(dedent(text), "utf-8")
    return path


def changed(old: str, new: str) -> str:
    assert old in WHOLE
    return WHOLE.replace(old, new, 1)


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHER_TOKEN", "secret-17")


def test_everything_that_it_says_is_in_the_environment(tmp_path: Path) -> None:
    environment = load_environment(folder(tmp_path, WHOLE))
    assert (environment.name, environment.version, environment.observation) == ("weather", "2.0", "as-is")
    assert environment.system == 'name = "not a key"\nBe brief.'
    assert [task.key for task in environment.iter_tasks()] == ["1", "2"] == [t.key for t in environment.iter_tasks()]
    assert environment.limits == Limits(turns=7, cost=0.5)
    assert environment.sampling == {"temperature": 0.2}
    assert environment.judge is not None
    assert environment.judge.model == "judge-model"
    weights = {name: scorer.weight for name, scorer in environment.scoring.scorers.items()}
    assert weights == {"correct": 1.0, "short": 0.25, "polite": 0.5}
    assert list(environment.models) == ["oracle"]
    polite = environment.scoring.scorers["polite"].judge
    assert polite is not None
    assert polite.verdicts == {"A": 1.0, "B": 0.5}


def test_servers_are_named_by_command_url_or_python_object(tmp_path: Path) -> None:
    servers = load_environment(folder(tmp_path, WHOLE)).servers
    local, remote, python = servers["local"], servers["remote"], servers["python"]
    assert isinstance(local, CommandServer)
    assert (list(local.command), local.scope, local.timeout) == (["python", "-m", "my server"], "session", 5.0)
    assert (local.env, local.pass_env, local.cwd) == ({"TOKEN": "Bearer secret-17"}, ["LANG"], tmp_path.resolve())
    assert isinstance(remote, UrlServer)
    assert (remote.headers, remote.max_result_bytes) == ({"Authorization": "secret-17"}, 1000)
    assert isinstance(python, PythonServer)


def test_a_secret_that_was_filled_in_is_not_in_what_is_printed(tmp_path: Path) -> None:
    assert "secret-17" not in repr(load_environment(folder(tmp_path, WHOLE)))


def test_a_name_is_enough(tmp_path: Path) -> None:
    environment = load_environment(folder(tmp_path, 'name = "bare"'))
    assert isinstance(environment, Environment)
    assert (list(environment.iter_tasks()), environment.limits) == ([], Limits(turns=50))


def test_two_folders_may_each_have_their_rewards(tmp_path: Path) -> None:
    one, other = (folder(tmp_path / name, 'name = "e"\n[rubric]\nscorers = ["rewards:correct"]') for name in "ab")
    (other / "rewards.py").write_text("def correct(completion): return 0")
    functions = [load_environment(place).scoring.scorers["correct"].function for place in (one, other)]
    assert functions[0].__code__.co_filename != functions[1].__code__.co_filename


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('version = "2.0"', 'version "2.0"', r"line 3, column 9: not TOML"),
        ('version = "2.0"', "version = ", r"line 3, version, column \d+: not TOML"),
        ('version = "2.0"', "version = 2", r"line 3, version: expected `str`, got `int`"),
        ('version = "2.0"', 'versoin = "2.0"', r"line 3, versoin: there is no such key. Did you mean 'version'"),
        ('name = "weather"', "", r"line 1: object missing required field `name`"),
        ('name = "weather"', 'name = "The Weather"', r"line 2, name: .*lower-case"),
        ('"tasks.jsonl"', '"task.jsonl"', r"line 8, tasks: There is no task file .*task\.jsonl"),
        ('observation = "as-is"', 'observation = "raw"', r"line 9, observation: invalid enum value 'raw'"),
        ('default_model = "oracle"', 'default_model = "orakel"', r"line 10, default_model: it is not among.*'oracle'"),
        ("timeout = 5", "timeot = 5", r"line 15, servers\.local\.timeot: .*Did you mean 'timeout'"),
        ("timeout = 5", "timeout = 0", r"line 12, servers\.local: A server's timeout is a number of seconds above 0"),
        ("timeout = 5", 'timeout = "5"', r"line 15, servers\.local\.timeout: expected `float`, got `str`"),
        ('scope = "session"', 'scope = "mine"', r"line 14, servers\.local\.scope: invalid enum value 'mine'"),
        (
            "${WEATHER_TOKEN}",
            "${NO_SUCH}",
            r"line 16, servers\.local\.env: the environment variable NO_SUCH is not set",
        ),
        ('url = "https', 'command = "x"\nurl = "https', r"line 19, servers\.remote: .*one of `command`, `url`"),
        ('command = "python -m', 'command = "" # ', r"line 13, servers\.local\.command: it names no program"),
        ('"rewards:correct"', '"rewards:corect"', r"line 28, rubric\.scorers: .*Did you mean 'correct'"),
        ('"rewards:correct"', '"awards:correct"', r"line 28, rubric\.scorers: .*no module 'awards'"),
        ("short = 0.25", "shrt = 0.25", r"line 29, rubric\.weights: .*Did you mean 'short'"),
        ("short = 0.25", 'short = "much"', r"line 29, rubric\.weights: expected `float`, got `str`"),
        ('template = "Is', 'template_file = "x"\ntemplate = "Is', r"line 32, judge: .*`template` and `template_file`"),
        ("Is {{ completion }}", "Is {{ completion", r"line 32, judge: A judge's template, line 1"),
        ('"polite.txt"', '"rude.txt"', r"line 38, judges\.polite\.template_file: the template cannot be read"),
        ("cost = 0.5", "costs = 0.5", r"line 44, limits\.costs: .*Did you mean 'cost'"),
        ("cost = 0.5", "cost = 0", r"line \d+, limits: The limit `cost` is a number above 0, not 0"),
        ('oracle = "rewards:oracle"', 'oracle = "rewards:more"', r"line 50, models\.oracle: rewards:more is a Rubric"),
    ],
)
def test_what_is_wrong_is_told_by_file_line_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=r"environment\.toml, " + message) as caught:
        load_environment(folder(tmp_path, changed(old, new)))
    assert str(caught.value).count("environment.toml") == 1


def test_options_are_refused_because_the_file_takes_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="takes no options"):
        load_environment(folder(tmp_path, WHOLE), {"size": "3"})


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (folder(tmp_path, WHOLE) / "environment.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(ConfigurationError, match=r"environment\.toml: not UTF-8 text"):
        load_environment(tmp_path)
