"""What can be set: the format of `drawbar.toml` as structs. The descriptions are the user's documentation."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from drawbar.tools.cassettes.settings import CassetteTable

Seconds: TypeAlias = Annotated[float, Meta(gt=0)]
Length: TypeAlias = float | str
"""A length of time: seconds, or a text such as `5min`, `2h`, `7d`."""
Count: TypeAlias = Annotated[int, Meta(ge=1)]
Days: TypeAlias = Annotated[float, Meta(gt=0)]


class UpstreamTable(msgspec.Struct, frozen=True, kw_only=True):
    """An API that models are asked at. Its models are named `NAME/model`."""

    kind: Annotated[
        str,
        Meta(description="A provider that is known by name, whose ways it shares (openai, vllm, ...); or custom."),
    ] = "custom"
    base_url: Annotated[str | None, Meta(description="With the version: /chat/completions follows.")] = None
    key_env: Annotated[str | None, Meta(description="The environment variable that holds its key.")] = None
    dialects: Annotated[
        list[str] | None, Meta(description="What it speaks itself; other dialects are translated to chat.")
    ] = None
    tokens: Annotated[
        str | None, Meta(description="What kind of server it is where token ids are asked for (vllm, sglang, ...).")
    ] = None
    timeout: Annotated[
        Seconds | None, Meta(description="Seconds without a byte after which it counts as dead; none: `timeout`.")
    ] = None


class ModelTable(msgspec.Struct, frozen=True, kw_only=True):
    """A name that clients may ask for, and where it leads."""

    to: Annotated[
        str | dict[str, Annotated[float, Meta(ge=0)]],
        Meta(description="A model, or several with their weights: which of them is the same within a session."),
    ]
    fallbacks: Annotated[
        list[str] | None, Meta(description="Models that are asked when it fails, in order; none: `fallbacks`.")
    ] = None


class ServerTable(msgspec.Struct, frozen=True, kw_only=True):
    """A tool server (MCP) for live agents, as in `environment.toml`: one of `command`, `url` and `python`, or a
    cassette alone."""

    command: Annotated[str | list[str] | None, Meta(description="The program and its arguments.")] = None
    url: Annotated[str | None, Meta(description="Where it is served already.")] = None
    python: Annotated[str | None, Meta(description="A server object by import path.")] = None
    env: Annotated[dict[str, str], Meta(description="Variables for the program.")] = {}
    pass_env: Annotated[list[str], Meta(description="Variables that it gets as they are here.")] = []
    cwd: Annotated[str, Meta(description="The folder that it runs in, from this file's.")] = "."
    headers: Annotated[dict[str, str], Meta(description="Sent to the URL.")] = {}
    scope: Annotated[Literal["shared", "session"], Meta(description="One for all sessions, or one for each.")] = (
        "shared"
    )
    timeout: Annotated[Seconds, Meta(description="Seconds that one tool call may take.")] = 60.0
    max_result_bytes: Annotated[Count, Meta(description="Larger results are cut, and marked so.")] = 1_000_000
    cassette: Annotated[
        str | CassetteTable | None,
        Meta(description="Recorded calls that answer in its place: a path, or a table as in `environment.toml`."),
    ] = None


class RetriesTable(msgspec.Struct, frozen=True, kw_only=True):
    """How often a provider is asked again."""

    attempts: Annotated[Count, Meta(description="Requests per model, the first included.")] = 4
    first_wait: Annotated[Seconds, Meta(description="Seconds before the second; doubled each time.")] = 0.5
    longest_wait: Annotated[Seconds, Meta(description="Seconds that are waited at most.")] = 8.0
    longest_retry_after: Annotated[
        Seconds, Meta(description="A provider that asks for a longer wait is not waited for.")
    ] = 30.0


class WebhookTable(msgspec.Struct, frozen=True, kw_only=True):
    """Where alerts are told: an address that takes JSON by POST, as Slack's and its like do."""

    url: Annotated[str, Meta(description='Its address; `"${NAME}"` takes it from a variable.')]
    headers: Annotated[dict[str, str], Meta(description="Sent with each message; `${NAME}` keeps secrets out.")] = {}
    secret: Annotated[
        str | None, Meta(description="What messages are signed with, as Standard Webhooks says (webhook-signature).")
    ] = None
    timeout: Annotated[Seconds, Meta(description="Seconds that one try may take.")] = 10.0


class AlertTable(msgspec.Struct, frozen=True, kw_only=True):
    """What live traffic must not come to. Exactly one of `below` and `above`."""

    measure: Annotated[
        str,
        Meta(
            description="reward, score.NAME, feedback, feedback.NAME, defect_rate (of sessions), error_rate, "
            "tool_error_rate (of calls), cost (dollars), recorder_failing, recorder_spooled, recorder_lost."
        ),
    ]
    below: Annotated[float | None, Meta(description="It is bad below this.")] = None
    above: Annotated[float | None, Meta(description="It is bad above this.")] = None
    clear: Annotated[float | None, Meta(description="From where on it is good again; none: from the same.")] = None
    last: Annotated[Count | None, Meta(description="Only the newest sessions (or calls), so many.")] = None
    window: Annotated[
        Length | None, Meta(description="How far is looked back: seconds, 5min, 2h. None: 1h, or 7d with `last`.")
    ] = None
    where: Annotated[str, Meta(description="Which live sessions, in the language of --where.")] = ""
    rubric: Annotated[
        str | None, Meta(description="Of which version the scores are; none: the one that most sessions have.")
    ] = None
    at_least: Annotated[
        Count | None, Meta(description="Sessions or calls below which nothing is said; none: 20, or `last`.")
    ] = None
    lasting: Annotated[Length, Meta(description="For how long it must be bad: seconds, 5min.")] = 0.0
    repeat: Annotated[Length | None, Meta(description="After how long it is told again; none: never.")] = None
    webhooks: Annotated[list[str] | None, Meta(description="Who is told; none: all webhooks.")] = None


class RetentionTable(msgspec.Struct, frozen=True, kw_only=True):
    """For how many days sessions are kept once they have ended; the first filter that means one comes before its
    environment, that before the rest."""

    live: Annotated[Days | None, Meta(description="Sessions that belong to no run; none: for ever.")] = None
    rollouts: Annotated[Days | None, Meta(description="Those that do; none: for ever.")] = None
    environments: Annotated[
        dict[str, Days], Meta(description="Days for the sessions of an environment, by its name; inf: for ever.")
    ] = {}
    filters: Annotated[dict[str, Days], Meta(description="Days for the sessions that a filter (`--where`) means.")] = {}


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set about `drawbar serve`."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8787
    store: Annotated[str, Meta(description="Where to record: a file or a URL.")] = "drawbar.db"
    admin_key: Annotated[str | None, Meta(description="The key of the control API.")] = None
    keys: Annotated[list[str], Meta(description="Keys that clients may show beside those of `drawbar keys`.")] = []
    allowed_hosts: Annotated[list[str], Meta(description="Further host names to answer to.")] = []

    base_url: Annotated[
        str | None, Meta(description="An API (with /v1) that takes every model's name that nothing else has.")
    ] = None
    upstream_dialects: Annotated[list[str] | None, Meta(description="What that API speaks itself.")] = None
    upstream_tokens: Annotated[
        str | None, Meta(description="What that API is where token ids are asked for: vllm, sglang, ...")
    ] = None
    api_key_env: Annotated[str | None, Meta(description="The environment variable that holds that API's key.")] = None
    fallbacks: Annotated[list[str], Meta(description="Models to ask when the one that was named fails.")] = []
    timeout: Annotated[Seconds, Meta(description="Seconds without a byte after which a provider counts as dead.")] = (
        600.0
    )
    concurrency: Annotated[
        Count | None, Meta(description="Requests that each provider is sent at a time; none: any number.")
    ] = None
    retries: RetriesTable = RetriesTable()
    upstreams: dict[str, UpstreamTable] = {}
    models: dict[str, ModelTable] = {}

    environments: Annotated[
        list[str], Meta(description="Environments whose tools are served: names, folders or files.")
    ] = []
    servers: dict[str, ServerTable] = {}

    recording: Annotated[
        Literal["required", "best-effort"],
        Meta(description="What becomes of an answer that cannot be recorded: not given, or given and counted."),
    ] = "required"
    spool: Annotated[
        str | None,
        Meta(description="A file, on another disk than the store, for what a best-effort gateway cannot store."),
    ] = None
    token_ids: Annotated[bool, Meta(description="Record token ids and log probabilities.")] = False
    withhold: Annotated[list[str], Meta(description="Tools that providers may not run; or all.")] = []
    pass_key: Annotated[bool, Meta(description="Send clients' own API keys on to the provider.")] = False
    redaction: Annotated[
        dict[str, str], Meta(description="Patterns (regular expressions) of what is recorded as [NAME], by name.")
    ] = {}

    retention: RetentionTable = RetentionTable()
    idle: Annotated[Seconds, Meta(description="Seconds without a request after which a live session ends.")] = 1800.0
    stop_tools: Annotated[list[str], Meta(description="Tools whose call ends a live session.")] = []
    score_live: Annotated[
        list[str],
        Meta(description="Whose rubrics score which live sessions: ENV[:RATE][,model=..,agent=..,tag=..,all]."),
    ] = []
    webhooks: dict[str, WebhookTable] = {}
    alerts: dict[str, AlertTable] = {}
    alert_interval: Annotated[Seconds, Meta(description="Seconds between looks at the alerts.")] = 10.0
    licenses: Annotated[
        dict[str, str],
        Meta(description="Under which licence models' words are, by upstream/model, either of both or *: for exports."),
    ] = {}
    otel: Annotated[
        bool, Meta(description="Send traces to where OTEL_EXPORTER_OTLP_ENDPOINT leads (drawbar[otel]).")
    ] = False
    drain: Annotated[
        float, Meta(ge=0, description="Seconds for which requests under way may end when the server is stopped.")
    ] = 30.0
    max_body: Annotated[Count, Meta(description="Bytes of a request's body.")] = 100 * 1024 * 1024
    keepalive: Annotated[Seconds, Meta(description="Seconds without an event after which streams show life.")] = 3.0
    patience: Annotated[Seconds, Meta(description="Seconds for which a stream's head waits for the provider.")] = 10.0


FIXED: tuple[str, ...] = ("host", "port", "store", "spool", "otel")
"""What cannot change while the server runs."""

SECRET: frozenset[str] = frozenset({"admin_key", "keys", "env", "headers", "secret"})
"""Settings, at any depth, whose values are never shown."""


def json_schema() -> dict[str, Any]:
    """The format as a JSON schema, for editors."""
    schema = msgspec.json.schema(Configuration)
    for part in schema.get("$defs", {}).values():
        part["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
