"""The tables and their version. Knows SQLAlchemy Core and no database in particular.

Columns stand in the order of the fields of their struct in `rows.py`: a row is written as the tuple of its fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    and_,
    literal_column,
)

from drawbar.record.rows import (
    AnswerRow,
    BlobRow,
    CallRow,
    HealthRow,
    KeyRow,
    KeyUseRow,
    LiveScoringRow,
    NodeRow,
    Row,
    RunRow,
    ScoreRow,
    SessionRow,
    SummaryRow,
    ToolCallRow,
)

VERSION: Final = 6
"""Of the tables below. Grows by one with every change to them, together with a step in `migrations`."""

METADATA: Final = MetaData()


def _text(name: str, *, key: bool = False, null: bool = False) -> Column[str]:
    return Column(name, Text, primary_key=key, nullable=null)


def _bytes(name: str, *, key: bool = False, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, primary_key=key, nullable=null)


def _number(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


def _real(name: str, *, null: bool = False) -> Column[float]:
    return Column(name, Double, nullable=null)


meta: Final = Table("meta", METADATA, _text("name", key=True), Column("value", Integer, nullable=False))

run: Final = Table(
    "run",
    METADATA,
    _text("id", key=True),
    _text("environment"),
    _text("environment_version"),
    _text("rubric_version"),
    _text("harness"),
    _text("model"),
    _number("rollouts"),
    _bytes("config"),
    _text("status"),
    _real("started"),
    _real("ended", null=True),
)

session: Final = Table(
    "session",
    METADATA,
    _text("id", key=True),
    _bytes("key_digest", null=True),
    _text("run", null=True),
    _text("environment", null=True),
    _text("environment_version", null=True),
    _text("task_key", null=True),
    _text("task_hash", null=True),
    _bytes("task", null=True),
    _number("rollout"),
    _number("attempt"),
    _text("harness", null=True),
    _text("model", null=True),
    _bytes("config"),
    _bytes("metadata"),
    _text("status"),
    _text("stop", null=True),
    _text("error", null=True),
    _real("started"),
    _real("ended", null=True),
    _text("origin"),
    _text("continues", null=True),
    _bytes("owner", null=True),
)
Index("session_key_digest", session.c.key_digest)
Index("session_run", session.c.run)
BY_START: Final = Index("session_started", session.c.started, session.c.id)
OPEN: Final = session.c.status == literal_column("'open'")
"""Sessions that have not ended: few, whatever the store holds."""
BY_OPENING: Final = Index("session_open", session.c.started, session.c.id, sqlite_where=OPEN, postgresql_where=OPEN)
OPEN_LIVE: Final = and_(OPEN, session.c.origin != "opened")
BY_END: Final = Index(
    "session_ended", session.c.ended, session.c.id,
    sqlite_where=session.c.ended.is_not(None), postgresql_where=session.c.ended.is_not(None),
)  # fmt: skip
"""What came to an end last: alerts ask for it again and again."""

blob: Final = Table("blob", METADATA, _bytes("digest", key=True), _bytes("body"))

node: Final = Table(
    "node",
    METADATA,
    _bytes("id", key=True),
    _bytes("parent", null=True),
    _number("depth"),
    _text("dialect"),
    _bytes("body"),
)

# Small rows, always read by session: clustered by it, and so without a second tree beside the table (SQLite).
call: Final = Table(
    "call",
    METADATA,
    _text("id"),
    _text("session"),
    _number("seq"),
    _text("dialect"),
    _text("path"),
    _text("model"),
    _text("upstream"),
    _bytes("request", null=True),
    _bytes("reply", null=True),
    _bytes("reply_body", null=True),
    _bytes("tools", null=True),
    _bytes("request_envelope", null=True),
    _bytes("response_envelope", null=True),
    Column("streamed", Boolean, nullable=False),
    _text("status"),
    _number("http_status", null=True),
    _text("cause", null=True),
    _text("error", null=True),
    _text("finish", null=True),
    _number("attempts"),
    _number("prompt_tokens", null=True),
    _number("completion_tokens", null=True),
    _number("cached_tokens", null=True),
    _number("reasoning_tokens", null=True),
    _real("cost", null=True),
    _real("started"),
    _real("first_byte", null=True),
    _real("ended", null=True),
    _text("follows", null=True),
    _text("edge", null=True),
    _text("thread", null=True),
    _text("parent_thread", null=True),
    _text("purpose", null=True),
    PrimaryKeyConstraint("session", "id"),
    sqlite_with_rowid=False,
)

tool_call: Final = Table(
    "tool_call",
    METADATA,
    _text("id"),
    _text("session"),
    _number("seq"),
    _text("server"),
    _text("tool"),
    _text("name"),
    _bytes("arguments"),
    _bytes("meta"),
    _bytes("result", null=True),
    _bytes("shown", null=True),
    Column("is_error", Boolean, nullable=False),
    _text("status"),
    _text("cause", null=True),
    _text("error", null=True),
    _real("started"),
    _real("ended", null=True),
    PrimaryKeyConstraint("session", "id"),
)

score: Final = Table(
    "score",
    METADATA,
    _text("id"),
    _text("session"),
    _text("name"),
    _text("kind"),
    _real("value", null=True),
    _real("weight"),
    _text("rubric_version"),
    _text("source"),
    _text("explanation", null=True),
    _text("error", null=True),
    _bytes("usage", null=True),
    _real("created"),
    _text("call", null=True),
    PrimaryKeyConstraint("session", "id"),
    sqlite_with_rowid=False,
)

health: Final = Table("health", METADATA, _text("session", key=True), _bytes("findings"), _real("created"))

summary: Final = Table(
    "summary",
    METADATA,
    _text("session", key=True),
    *(_number(name) for name in ("turns", "calls", "failed_calls", "tool_calls", "tool_errors")),
    *(_number(f"{kind}_tokens") for kind in ("prompt", "completion", "cached", "reasoning")),
    _real("cost", null=True),
    _text("model", null=True),
    _text("upstreams"),
    _text("health"),
    _text("findings"),
    _real("created"),
    sqlite_with_rowid=False,
)

answer: Final = Table(
    "answer",
    METADATA,
    _text("name"),
    _text("call"),
    _text("session"),
    PrimaryKeyConstraint("name", "call"),
    sqlite_with_rowid=False,
)

live_scoring: Final = Table(
    "live_scoring",
    METADATA,
    _text("session"),
    _text("rubric"),
    _text("state"),
    _text("reason", null=True),
    _real("taken"),
    _real("created"),
    PrimaryKeyConstraint("session", "rubric"),
    sqlite_with_rowid=False,
)
client_key: Final = Table(
    "client_key",
    METADATA,
    _text("id", key=True),
    _text("name"),
    _bytes("digest"),
    _bytes("allows"),
    _real("created"),
    _real("revoked", null=True),
)
Index("client_key_digest", client_key.c.digest, unique=True)

key_use: Final = Table(
    "key_use",
    METADATA,
    _text("key"),
    _text("period"),
    _text("gateway"),
    *(_number(name) for name in ("minute", "requests", "tokens")),
    _real("cost"),
    PrimaryKeyConstraint("key", "period", "gateway"),
    sqlite_with_rowid=False,
)

alert: Final = Table(
    "alert",
    METADATA,
    _text("name", key=True),
    _text("state"),
    _real("since"),
    _text("incident", null=True),
    _real("told", null=True),
    _number("repeated"),
    _real("value", null=True),
    _number("count"),
    _number("revision"),
)
"""How each alert stands. Written by whoever sees it change, of several gateways by the first (`alerts.AlertTable`)."""

alert_message: Final = Table(
    "alert_message",
    METADATA,
    _text("id", key=True),
    _text("alert"),
    _text("webhook"),
    _bytes("body"),
    _text("state"),
    _number("attempts"),
    _real("due"),
    _text("error", null=True),
    _real("created"),
)
"""What is to be told of alerts, written with the change that it tells of."""
WAITING: Final = alert_message.c.state == "waiting"
Index("alert_message_waiting", alert_message.c.due, sqlite_where=WAITING, postgresql_where=WAITING)

DUE: Final = live_scoring.c.state == "due"
Index("live_scoring_due", live_scoring.c.created, sqlite_where=DUE, postgresql_where=DUE)
BY_RUBRIC: Final = Index("live_scoring_rubric", live_scoring.c.rubric, live_scoring.c.created)
"""What was scored within the last hour: judges' budgets ask for it."""

# The next two are derived: `derived` keeps them in the transaction that writes what they are made from.

newest_score: Final = Table(
    "newest_score",
    METADATA,
    _text("session"),
    Column("feedback", Boolean, nullable=False),
    _text("name"),
    _real("value", null=True),
    _real("weight"),
    _text("rubric_version"),
    PrimaryKeyConstraint("session", "feedback", "name"),
    sqlite_with_rowid=False,
)
"""Of each session the last score of each name, of its newest rubric version; and people's last feedback of each name.
"""

label: Final = Table(
    "label",
    METADATA,
    _text("session"),
    _text("name"),
    _text("value"),
    _real("number", null=True),
    PrimaryKeyConstraint("session", "name", "value"),
    sqlite_with_rowid=False,
)
"""What the metadata of sessions says, one row for each plain value: those of a list have one name."""
Index("label_value", label.c.name, label.c.value, label.c.session)

# The rest is what has been begun of deleting (`pruning`), so that whoever is killed over it leaves nothing behind.

leaving: Final = Table("leaving", METADATA, _text("session", key=True), _real("since"), _text("sweep"))
"""Sessions that are no longer there, of which rows may still be; and when each said its last."""


def _loose(name: str, key: str) -> Table:
    return Table(name, METADATA, _bytes(key, key=True), _real("since"), _text("sweep"), sqlite_with_rowid=False)


loose_node: Final = _loose("loose_node", "id")
"""Nodes that a session which is no longer there had, and that perhaps nobody needs: when the last of such sessions
said its last, and which sweep looks at them. Whoever writes such a node again takes it out of here."""
loose_blob: Final = _loose("loose_blob", "digest")
"""The same of blobs."""

TABLES: Final[Mapping[type[Row], Table]] = {
    RunRow: run,
    SessionRow: session,
    BlobRow: blob,
    NodeRow: node,
    CallRow: call,
    ToolCallRow: tool_call,
    ScoreRow: score,
    HealthRow: health,
    SummaryRow: summary,
    AnswerRow: answer,
    LiveScoringRow: live_scoring,
    KeyRow: client_key,
    KeyUseRow: key_use,
}
"""The table of each kind of row, in the order in which one transaction writes them."""

PACKED: Final[Mapping[Table, tuple[str, ...]]] = {
    blob: ("body",),
    node: ("body",),
    session: ("task",),
    tool_call: ("arguments", "result", "shown"),
}
"""The columns that go through the codec."""
