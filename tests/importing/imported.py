"""What tests of importing share: a raw export of a store, and the import of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.export.stories import Story, answers, chat, says, shows

from drawbar.export.engine import Wanted
from drawbar.export.format import format_named
from drawbar.export.run import export
from drawbar.export.writing import target
from drawbar.importing.formats import format_named as format_to_import
from drawbar.importing.formats import format_of
from drawbar.importing.intake import Intake, Outcome
from drawbar.importing.opening import Source
from drawbar.record.filter import where
from drawbar.record.redaction import Redact
from drawbar.record.rows import AnswerRow, RunRow, SessionRow, ToolCallRow
from drawbar.record.store import Store

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


def export_raw(store: Store, path: Path, filter: str = "", format: str = "raw") -> Path:
    """A file of all sessions that the filter means."""
    wanted = Wanted(format=format_named(format), filter=where(filter))
    export(store, wanted, target(path, None, wanted.format), licenses={})
    return path


def take(store: Store | None, path: Path, redact: Redact | None = None, **how: Any) -> Outcome:
    """What comes of importing a file."""
    intake = Intake(store, redact, **how)
    intake.take(path.name, format_to_import(format_of(Source(path))).read(Source(path)))
    return intake.outcome


def full_story(store: Store, question: str = "What is in it?", thought: str = "A picture of nothing.") -> str:
    """A session with everything: a run, a picture, reasoning, a tool call, a failed call, scores and feedback."""
    run = RunRow(
        id="run_1", environment="quiz", environment_version="1", rubric_version="v1", harness="loop", model="m",
        rollouts=2, config=b'{"seed": 7}', status="finished", started=1.0, ended=9.0,
    )  # fmt: skip
    story = Story(
        store, run="run_1", environment="quiz", environment_version="1", task_key="k", task_hash="ab" * 20,
        task=b'{"prompt": "What is in it?", "answer": 4}', harness="loop", key_digest=b"\x00\xff" * 10,
        metadata=b'{"team": "blue", "tags": ["a", "b"]}', config=b'{"seed": 7}',
    )  # fmt: skip
    asked = {"role": "user", "content": [{"type": "text", "text": question}, PICTURE]}
    asks = says(None, ("c1", {"query": "it"}), reasoning_content=thought)
    first = story.exchange(chat("Be brief.", asked, tools=True, temperature=0.5), answers(asks, "tool_calls"))
    story.exchange(chat("Be brief.", asked, asks, shows("c1", "nothing")), None)
    story.exchange(chat("Be brief.", asked, asks, shows("c1", "nothing")), answers(says("Nothing.")))
    result = b'{"content": [{"type": "text", "text": "nothing"}]}'
    story.rows += [
        run,
        AnswerRow(name="chatcmpl-1", call=first.id, session=story.id),
        ToolCallRow(
            id="tool_1", session=story.id, seq=0, server="wiki", tool="look_up", name="look_up",
            arguments=b'{"query": "it"}', meta=b'{"callId": "c1"}', result=result, shown=b"\xff\xfe no text",
            status="answered", started=story.row.started, ended=story.row.started + 0.1,
        ),
    ]  # fmt: skip
    story.score(0.5, explanation="half right", usage=b'{"cost": 0.1}')
    story.score(None, "broken", error="the judge was away")
    story.score(-1.0, "thumb", kind="feedback", source="feedback", weight=0.0, rubric_version="", call=first.id)
    return story.end()


def all_of(store: Store, session: str) -> Any:
    """Everything that can be seen of a session."""
    row: SessionRow | None = store.session(session)
    assert row is not None
    return (
        row,
        store.trajectory(session),
        store.findings(session),
        store.answers("chatcmpl-1"),
        store.run(row.run or ""),
    )
