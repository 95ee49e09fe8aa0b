"""`drawbar feedback`: say what a session's work was worth."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drawbar.cli.output import AsJson, StoreUrl, note, print_json, store_url
from drawbar.cli.redacting import Config, redact_by
from drawbar.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from drawbar.record.redaction import Redact

app = typer.Typer(add_completion=False)


@app.command()
def feedback(
    session: Annotated[
        str, typer.Argument(help="A session's id, the id of an answer (chatcmpl-..., resp_..., msg_...), or its name.")
    ],
    thumbs: Annotated[str | None, typer.Option(metavar="up|down", help="Was it good?")] = None,
    score: Annotated[float | None, typer.Option(help="A number of your own scale.")] = None,
    name: Annotated[str, typer.Option(help="What the number is called.")] = "score",
    correction: Annotated[str | None, typer.Option(help="The answer that should have been given.")] = None,
    comment: Annotated[str | None, typer.Option(help="Anything else.")] = None,
    store: StoreUrl = None,
    config: Config = None,
    gateway: Annotated[
        str | None, typer.Option(metavar="URL", help="Give it to the gateway there, and not to a store.")
    ] = None,
    gateway_key_env: Annotated[
        str, typer.Option(help="The environment variable that holds the gateway's key.")
    ] = "DRAWBAR_ADMIN_KEY",
    json: AsJson = False,
) -> None:
    """Give feedback on a session: it becomes scores of it, and a correction something to train on."""
    said = {"thumbs": thumbs, "score": score, "correction": correction, "comment": comment, "name": name}
    if gateway is not None:
        result = _over_http(gateway, os.environ.get(gateway_key_env), session, said)
    else:
        result = _into_store(store_url(store), session, said, redact_by(config))
    if json:
        print_json(result)
    else:
        note(f"Kept {len(result['ids'])} of feedback on {result['session']}.")


def _into_store(url: str, session: str, said: dict[str, Any], redact: Redact | None) -> dict[str, Any]:
    from drawbar.record.feedback import feedback_from_json, found
    from drawbar.record.redaction import all_redacted
    from drawbar.record.store import Store

    given = feedback_from_json(said)
    if "://" not in url and not os.path.exists(url):
        raise ConfigurationError(f"There is no store at {url}. Name another with --store or DRAWBAR_STORE.")
    opened = Store.open(url)
    try:
        row, call = found(opened, session)
        rows = given.rows(row.id, call)
        opened.write(all_redacted(rows, redact))
    finally:
        opened.close()
    return {"session": row.id, "call": call, "ids": [row.id for row in rows]}


def _over_http(url: str, key: str | None, session: str, said: dict[str, Any]) -> dict[str, Any]:
    import json
    from urllib.error import HTTPError, URLError
    from urllib.parse import quote
    from urllib.request import Request, urlopen

    headers = {"content-type": "application/json"} | ({} if key is None else {"authorization": f"Bearer {key}"})
    address = f"{url.rstrip('/')}/api/sessions/{quote(session, safe='')}/feedback"
    try:
        request = Request(address, json.dumps(said).encode(), headers, method="POST")
        with urlopen(request, timeout=30) as response:
            value: dict[str, Any] = json.load(response)
            return value
    except HTTPError as error:
        raise ConfigurationError(f"The gateway at {url}: {_message(error.read())}") from error
    except (URLError, TimeoutError, ValueError) as error:
        raise StoreError(f"The gateway at {url} cannot be reached: {getattr(error, 'reason', error)}.") from error


def _message(body: bytes) -> str:
    import json

    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
