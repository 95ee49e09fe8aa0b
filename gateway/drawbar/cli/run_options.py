"""The options of `drawbar run`: their names, types and help, by the panel in which `--help` shows them."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer


def _option(*names: str, panel: str, help: str | None = None, **attributes: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, help=help, **attributes)


_MODEL: Final = "The model"
_AGENT: Final = "The agent and its environment"
_RUN: Final = "The run"
_BOUNDS: Final = "Bounds of a rollout"
_SCORES: Final = "Scores"
_RECORD: Final = "Where it is recorded"

Environment = Annotated[
    str | None, typer.Argument(metavar="ENV", help="An installed environment, a folder or a .py file.")
]

Model = Annotated[
    str | None,
    _option("--model", "-m", panel=_MODEL, envvar="DRAWBAR_MODEL", help="Its name. Default: the environment's own."),
]
BaseUrl = Annotated[
    str | None, _option("--base-url", panel=_MODEL, metavar="URL", help="An OpenAI-compatible API, `/v1` included.")
]
ApiKeyEnv = Annotated[
    str | None, _option("--api-key-env", panel=_MODEL, metavar="NAME", help="The variable that holds its key.")
]
UpstreamDialects = Annotated[
    str | None,
    _option(
        "--upstream-dialects",
        panel=_MODEL,
        metavar="NAMES",
        help="What that API speaks itself. Default: chat,responses,messages. Agents of others are translated to chat.",
    ),
]
UpstreamTokens = Annotated[
    str | None,
    _option(
        "--upstream-tokens",
        panel=_MODEL,
        metavar="KIND",
        help="What that API is where token ids are asked for: vllm, sglang, llama_cpp, or logprobs (has only those).",
    ),
]
Fallback = Annotated[
    list[str] | None, _option("--fallback", panel=_MODEL, metavar="MODEL", help="Asked when it fails. Repeatable.")
]
UpstreamConcurrency = Annotated[
    int | None,
    _option(
        "--upstream-concurrency", panel=_MODEL, min=1, help="Requests in flight to one provider. Default: any number."
    ),
]
Temperature = Annotated[float | None, _option("--temperature", panel=_MODEL)]
TopP = Annotated[float | None, _option("--top-p", panel=_MODEL)]
MaxCompletionTokens = Annotated[
    int | None, _option("--max-completion-tokens", panel=_MODEL, min=1, help="Of one reply.")
]
Sampling = Annotated[
    list[str] | None,
    _option("--sampling", panel=_MODEL, metavar="KEY=JSON", help="Any other field of its requests. Repeatable."),
]
TokenIds = Annotated[
    bool, _option("--token-ids", panel=_MODEL, help="Record token ids and log probabilities, where it tells of them.")
]
Withhold = Annotated[
    str | None,
    _option(
        "--withhold",
        panel=_MODEL,
        metavar="NAMES",
        help="Tools that the provider may not run: web_search, code_interpreter, file_search, mcp, ..., or all.",
    ),
]

Harness = Annotated[
    str, _option("--harness", "-H", panel=_AGENT, help="A name (`drawbar harness list`), or `module:Class`.")
]
HarnessOption = Annotated[
    list[str] | None,
    _option("--harness-option", panel=_AGENT, metavar="KEY=VALUE", help="Passed to the harness. Repeatable."),
]
EnvOption = Annotated[
    list[str] | None,
    _option("--env-option", panel=_AGENT, metavar="KEY=VALUE", help="Passed to the environment. Repeatable."),
]

Cassette = Annotated[
    str | None,
    _option("--cassette", panel=_AGENT, metavar="PATH", help="Recorded tool calls answer in place of all servers."),
]
CassetteMode = Annotated[
    str | None,
    _option(
        "--cassette-mode",
        panel=_AGENT,
        metavar="MODE",
        help="How: strict, fifo, by-arguments, nearest or fall-through. Default: by-arguments.",
    ),
]
RecordCassette = Annotated[
    str | None,
    _option(
        "--record-cassette", panel=_AGENT, metavar="PATH", help="Write the tool calls of all servers into a new one."
    ),
]
UserModel = Annotated[
    str | None,
    _option(
        "--user-model",
        panel=_AGENT,
        metavar="MODEL",
        help="Plays the user after the agent's answers, where a task has a goal or later user turns.",
    ),
]

Tasks = Annotated[int | None, _option("--tasks", "-n", panel=_RUN, min=1, help="At most so many. Default: all.")]
Rollouts = Annotated[int, _option("--rollouts", "-r", panel=_RUN, min=1, help="Per task.")]
Concurrency = Annotated[int, _option("--concurrency", "-c", panel=_RUN, min=1, help="Rollouts at a time.")]
Retries = Annotated[
    int, _option("--retries", panel=_RUN, min=0, help="Of a rollout that ended for a cause that may go away.")
]
Seed = Annotated[int | None, _option("--seed", panel=_RUN, help="Rollout i of each task gets SEED + i.")]
Shuffle = Annotated[bool, _option("--shuffle", panel=_RUN, help="Take the tasks in an order that the seed decides.")]
Resume = Annotated[
    str | None, _option("--resume", panel=_RUN, metavar="RUN", help="Go on with a run: do only what is missing.")
]

MaxTurns = Annotated[int | None, _option("--max-turns", panel=_BOUNDS, min=1, help="Model exchanges.")]
MaxTokens = Annotated[
    int | None, _option("--max-tokens", panel=_BOUNDS, min=1, help="Prompt and completion, over all turns.")
]
MaxCost = Annotated[float | None, _option("--max-cost", panel=_BOUNDS, help="US dollars.")]
MaxSeconds = Annotated[float | None, _option("--max-seconds", panel=_BOUNDS, help="Wall time.")]

Weight = Annotated[
    list[str] | None,
    _option("--weight", panel=_SCORES, metavar="NAME=NUMBER", help="Of a reward or metric. Repeatable."),
]
JudgeModel = Annotated[
    str | None, _option("--judge-model", panel=_SCORES, metavar="MODEL", help="Behind the environment's judges.")
]

Gateway = Annotated[
    str | None, _option("--gateway", panel=_RECORD, metavar="URL", help="Use a gateway that `drawbar serve` runs.")
]
GatewayKeyEnv = Annotated[
    str, _option("--gateway-key-env", panel=_RECORD, metavar="NAME", help="The variable that holds its admin key.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
