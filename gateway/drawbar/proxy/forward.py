"""Requests that are no turns (embeddings, counts of tokens, answers kept): there and back, nothing recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from drawbar.proxy.admission import Admitted
from drawbar.proxy.asking import Answered, ask
from drawbar.proxy.client import JSON, BodyTooLarge, Client, ClientGone
from drawbar.proxy.headers import NO_RETRY, client_headers, upstream_headers
from drawbar.proxy.models import Models, Target
from drawbar.proxy.settings import Settings
from drawbar.proxy.upstream import Exchange, UpstreamError
from drawbar.sessions import Session
from drawbar.wire.dialect import BadBody
from drawbar.wire.route import Route
from drawbar.wire.tolerant import load_object

_KEEPER: Final = "openai/any"
"""Who is asked for what is kept where neither the request nor its session names a model: whose API it is."""


async def forward(
    models: Models, settings: Settings, session: Session, route: Route, client: Client, who: Admitted
) -> None:
    """Send the client's bytes to the model that they name, and back what it says. Where it is about the session's own
    turns, that is the model which they go to. Raises `Refused` where the client's key may not ask it."""
    dialect = route.dialect
    if session.endpoint is not None and session.endpoint.models is not None:
        models = session.endpoint.models
    try:
        body = await client.body(settings.max_body)
        answered = await _asked(models, settings, session, route, client, who, body)
    except ClientGone:
        return
    except BodyTooLarge:
        said = f"The request's body is larger than {settings.max_body} bytes."
        await client.answer(413, [JSON], dialect.error(413, said, "request_too_large"))
    except BadBody as error:
        said = f"This request cannot be read: {error}."
        await client.answer(400, [JSON], dialect.error(400, said, "bad_request"))
    except UpstreamError as error:
        if error.body is not None:
            await client.answer(error.status, client_headers(error.headers), error.body)
        else:
            await client.answer(error.status, [JSON, NO_RETRY], dialect.error(error.status, str(error), error.code))
    else:
        await client.answer(answered.reply.status, client_headers(answered.reply.headers), answered.body)


def _model(route: Route, body: bytes) -> str | None:
    """The model that a request names; None where it need not."""
    if route.url is not None:
        return route.url.model
    if route.kind == "kept" and not body.strip():
        return None
    model = load_object(body, "the body").get("model")
    if isinstance(model, str) or (model is None and route.kind == "kept"):
        return model
    raise BadBody("`model` must be a string")


def _targets(models: Models, session: Session, route: Route, model: str | None) -> Sequence[Target]:
    wanted = session.row.model if route.kind in ("count", "kept") else None
    own = session.environment.models if session.environment is not None else None
    if wanted is None and model is None:
        try:
            models.check(_KEEPER)
        except UpstreamError as error:
            said = f"Nothing is kept here under {route.path}, and no provider is known that might keep it."
            raise UpstreamError("upstream_rejected", said, status=404, code="not_found", retry=False) from error
    return models.targets(wanted or model or _KEEPER, own, route.dialect.name, session.line)


async def _asked(
    models: Models, settings: Settings, session: Session, route: Route, client: Client, who: Admitted, body: bytes
) -> Answered:
    model = _model(route, body)
    if who.holder is not None:
        who.holder.admit(model)
    headers = upstream_headers(client.scope["headers"])
    method = client.scope["method"]

    def exchange(target: Target) -> Exchange:
        named = route.url is not None or model is None or target.model == model
        changed = route.dialect.patch(body, {} if named else {"model": target.model})
        return Exchange(route=route, body=changed, model=target.model, headers=headers, key=who.passed, method=method)

    asked = await ask(_targets(models, session, route, model), exchange, None, settings.retries)
    if isinstance(asked, Answered):
        return asked
    try:
        body = b"".join([chunk async for chunk in asked.chunks()])
        return Answered(asked.target, asked.attempts, asked.reply, body, None)
    finally:
        await asked.reply.aclose()
