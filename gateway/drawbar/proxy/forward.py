"""Requests that are no turns (embeddings): there and back, nothing recorded."""

from __future__ import annotations

from drawbar.proxy.asking import Answered, ask
from drawbar.proxy.client import JSON, BodyTooLarge, Client, ClientGone
from drawbar.proxy.headers import NO_RETRY, client_headers, upstream_headers
from drawbar.proxy.models import Models, Target
from drawbar.proxy.settings import Settings
from drawbar.proxy.upstream import Exchange, UpstreamError
from drawbar.wire.dialect import BadBody, Dialect
from drawbar.wire.tolerant import load_object


async def forward(
    models: Models, settings: Settings, dialect: Dialect, path: str, client: Client, key: str | None
) -> None:
    """Send the client's bytes to the model that they name, and back what it says. `path`: below the version prefix."""
    try:
        body = await client.body(settings.max_body)
        model = load_object(body, "the body").get("model")
        if not isinstance(model, str):
            raise BadBody("`model` must be a string")
        answered = await _asked(models, settings, dialect, path, client, key, body, model)
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


async def _asked(
    models: Models,
    settings: Settings,
    dialect: Dialect,
    path: str,
    client: Client,
    key: str | None,
    body: bytes,
    model: str,
) -> Answered:
    headers = upstream_headers(client.scope["headers"])

    def exchange(target: Target) -> Exchange:
        changed = dialect.patch(body, {} if target.model == model else {"model": target.model})
        return Exchange(path=path, body=changed, model=target.model, headers=headers, key=key)

    asked = await ask(models.targets(model), exchange, None, settings.retries)
    if isinstance(asked, Answered):
        return asked
    try:
        return Answered(asked.target, asked.attempts, asked.reply, await asked.reply.read(), None)
    finally:
        await asked.reply.aclose()
