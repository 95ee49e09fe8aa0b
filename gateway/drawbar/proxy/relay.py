"""One model call on its way: intent, upstream, answer, commit, and only then the end of the answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from drawbar.proxy.asking import Answered, Attempts, Streaming, ask
from drawbar.proxy.call import Call
from drawbar.proxy.client import JSON
from drawbar.proxy.flight import Outlet
from drawbar.proxy.headers import NO_RETRY, client_headers, status_of_end
from drawbar.proxy.heartbeat import Heartbeat
from drawbar.proxy.upstream import Exchange, UpstreamError, header
from drawbar.record.rows import Row
from drawbar.wire import TRANSLATORS
from drawbar.wire.dialect import Assembler, BadBody, Overrides, Response
from drawbar.wire.tokens import TokenWish
from drawbar.wire.translator import events_of

if TYPE_CHECKING:
    from drawbar.proxy.endpoint import ModelSide
    from drawbar.proxy.models import Target
    from drawbar.proxy.upstream import Headers

_log = logging.getLogger(__name__)


class Relay:
    """Carries one call. Whatever happens to it, a row says so before anybody is told."""

    def __init__(self, side: ModelSide, call: Call, outlet: Outlet, headers: Headers, key: str | None) -> None:
        self._side = side
        self._call = call
        self._out = outlet
        self._headers = headers
        self._key = key
        self._body = b""
        self._recalled = b""
        """The body with the conversation that it goes on from by name, for upstreams that keep none."""
        self._framing = call.route.framing
        self._first = True
        """No event was written yet."""
        self._hide_usage = False
        self._wish: TokenWish | None = None
        """What was added to the request that its client did not ask for, and is taken out of the answer."""
        self._asked = Attempts()
        self._assembler: Assembler | None = None
        self._torn = False
        """The stream broke off after the answer's end: of what came last there may be a piece."""
        self._heartbeat: Heartbeat | None = None
        self._scope = asyncio.timeout(None)
        self._aborted: str | None = None
        self._entered = False
        self._settled = False
        """The call's end is decided: nothing aborts it any more."""

    def abort(self, cause: str) -> None:
        """Stop waiting for the upstream; the call ends with this cause."""
        if not self._settled and self._aborted is None:
            self._aborted = cause
            if self._entered:
                self._scope.reschedule(0)

    def client_left(self) -> None:
        """The client is gone: stop, unless its retry is expected or here."""
        flight = self._out.flight
        if flight is None:
            self.abort("client_left")
            return
        flight.on_empty = self.client_left
        if not flight.followers:
            asyncio.get_running_loop().call_later(self._side.settings.retry_grace, self._nobody_came)

    def _nobody_came(self) -> None:
        if self._out.flight is not None and not self._out.flight.followers:
            self.abort("client_left")

    async def run(self, body: bytes, targets: Sequence[Target]) -> None:
        """From the recorded intent to the end of the answer."""
        self._body = self._recalled = body
        request = self._call.request
        assert request is not None
        if request.stream:
            self._heartbeat = Heartbeat(self._out, self._side.settings, self._framing)
        try:
            async with self._scope:
                self._entered = True
                self._limit_time()
                await self._exchange(targets)
        except TimeoutError:
            await self._stopped()
        except UpstreamError as error:
            await self._failed(error)
        except asyncio.CancelledError:
            await self._cut_off()
        except Exception as error:
            if self._settled:
                raise
            _log.exception("A model call failed in the gateway itself.")
            said = f"the gateway itself failed at this answer ({type(error).__name__})"
            await self._failed(UpstreamError("upstream_broken", said, status=500))
        finally:
            self._hush()

    def _hush(self) -> None:
        """No sign of life from now on: it would fall into the answer's last words."""
        if self._heartbeat is not None:
            self._heartbeat.stop()

    def _limit_time(self) -> None:
        session = self._call.session
        if self._aborted is not None:  # while the intent was handed in
            self._scope.reschedule(0)
        elif session.limits.seconds is not None:
            left = session.row.started + session.limits.seconds - time.time()
            self._scope.reschedule(asyncio.get_running_loop().time() + max(0.0, left))

    async def _exchange(self, targets: Sequence[Target]) -> None:
        await self._recall(targets)
        policy = self._side.settings.retries
        asked = await ask(targets, self._exchange_for, self._call.dialect, policy, self._asked, self._without_tokens)
        self._note(asked.target)
        self._call.lost = asked.reply.lost
        if self._call.first_byte is None:
            self._call.first_byte = time.time()
        try:
            if isinstance(asked, Answered):
                assert asked.response is not None
                await self._whole(asked, asked.response)
            else:
                await self._stream(asked)
        finally:
            await asked.reply.aclose()

    async def _recall(self, targets: Sequence[Target]) -> None:
        known = self._call.continued
        if known is not None and not all(target.upstream.remembers for target in targets):
            path = await self._side.conversation(self._call.session, known.node)
            self._recalled = TRANSLATORS[self._call.dialect.name].recalled(self._body, path[known.opening :])

    def _exchange_for(self, target: Target) -> Exchange:
        """The client's bytes, with what this session or this target overrides."""
        call = self._call
        assert call.request is not None
        overrides = Overrides(target.model, call.session.sampling, stream_usage=target.upstream.streams_usage)
        changes = call.dialect.changes(call.request, overrides)
        self._hide_usage = "stream_options" in changes
        changes |= call.changes
        if call.wants_tokens:
            changes = self._wishing(target, changes)
        return Exchange(
            route=call.route,
            body=call.dialect.patch(self._body if target.upstream.remembers else self._recalled, changes),
            model=target.model,
            stream=call.request.stream,
            headers=self._headers,
            key=self._key,
            task=call.session.task,
            on_tokens=call.tell_tokens if call.tokens == "asked" else None,
        )

    def _wishing(self, target: Target, changes: dict[str, Any]) -> dict[str, Any]:
        """These changes, and those by which token ids are asked for."""
        call, server = self._call, target.upstream.tokens
        assert call.request is not None
        self._wish, call.tokens, call.told = None, "unable", None
        if server is not None:
            self._wish, call.tokens = server.wish(call.dialect.name, target.model, call.request)
        return changes if self._wish is None else self._wish.added(changes)

    def _without_tokens(self, target: Target, error: UpstreamError) -> bool:
        """Whether the upstream refused because of the token ids; it is asked without them then."""
        call, server = self._call, target.upstream.tokens
        if self._wish is None or server is None or call.request is None:
            return False
        if not server.bridged and not self._wish.changes:  # the client asked for them itself
            return False
        return server.refuses(call.dialect.name, target.model, call.request, error)

    def _note(self, target: Target | None) -> None:
        self._call.target = target
        self._call.attempts = self._asked.count

    async def _whole(self, asked: Answered, response: Response) -> None:
        if not await self._durable(self._complete(response, asked.reply.status)):
            return
        body = asked.body if self._wish is None else self._wish.whole(asked.body)
        if self._out.started:  # a stream whose head could not wait, and no stream came
            payloads = events_of(TRANSLATORS[self._call.dialect.name], body, self._body)
            await self._out.end(self._framing.written(payloads, first=True, last=True))
        else:
            await self._out.answer(asked.reply.status, client_headers(asked.reply.headers), body)

    async def _stream(self, asked: Streaming) -> None:
        out = self._out
        if not out.started:
            await out.start(asked.reply.status, client_headers(asked.reply.headers))
        assembler = self._assembler = self._call.dialect.assembler()
        framing = self._framing = asked.framing
        splitter = framing.splitter()
        held: list[bytes] = []
        try:
            async for chunk in self._until_end(asked.chunks(), assembler):
                if ready := self._sorted(splitter.feed(chunk), assembler, held):
                    await out.write(ready)
            rest = b"" if self._torn else splitter.rest().strip(b"\r\n")
            if ready := self._sorted([rest] if rest else [], assembler, held):
                await out.write(ready)
        except BadBody as error:
            raise UpstreamError("upstream_broken", str(error)) from error
        if assembler.error is not None or not assembler.ended:
            said = assembler.error or "the provider's stream ended before the answer did"
            raise UpstreamError("upstream_broken", said)
        if await self._durable(self._complete(assembler.response(), asked.reply.status)):
            await out.end(b"".join(held))

    async def _until_end(self, chunks: AsyncIterator[bytes], assembler: Assembler) -> AsyncIterator[bytes]:
        """The stream's bytes. Once the answer has ended, what may follow it (token counts, the last mark) is waited for
        a moment and no longer, and that it does not come is no failure."""
        while not assembler.done:
            try:
                async with asyncio.timeout(self._side.settings.afterwards) if assembler.ended else nullcontext():
                    chunk = await anext(chunks, None)
            except (TimeoutError, UpstreamError):
                if not assembler.ended:
                    raise
                self._torn = True
                return
            if chunk is None:
                return
            yield chunk

    def _sorted(self, events: Sequence[bytes], assembler: Assembler, held: list[bytes]) -> bytes:
        """What of these events the client may have now; what must wait for the commit goes to `held`."""
        ready: list[bytes] = []
        for raw in events:
            data = self._framing.payload(raw)
            if data is not None and assembler.feed(data) and self._hide_usage:
                continue
            if self._wish is not None and data is not None and not (raw := self._granted(raw, data)):
                continue
            if assembler.ended or self._framing.ends(raw):
                held.append(raw)
            else:
                ready.append(raw)
                self._first = self._first and data is None
        return b"".join(ready)

    def _granted(self, raw: bytes, data: bytes) -> bytes:
        """An event without what only the record wanted; empty when nothing of it is left."""
        assert self._wish is not None
        left = self._wish.event(data)
        if left is None:
            return b""
        if left is data:
            return raw
        written = raw.replace(data, left, 1)
        return written if written != raw else self._framing.written([left], first=self._first, last=False)

    def _complete(self, response: Response, status: int) -> list[Row]:
        """The rows of a whole answer. One that nobody was there to take is no turn until a retry takes it."""
        flight = self._out.flight
        self._settled = True
        if self._out.client.left and not (flight is not None and flight.followers):
            said = "the client left before the answer was complete"
            return self._bad_end("abandoned", "client_left", said, status, response=response)
        return self._call.answered(response, status)

    async def _durable(self, rows: list[Row]) -> bool:
        """Commit; False when the client had to be told that it could not be done."""
        self._scope.reschedule(None)
        stored = await self._side.commit(rows)
        self._hush()
        if not stored:
            await self._say(503, "The answer could not be recorded, so it is not given.", "recorder_failed")
            return False
        if self._out.flight is not None:
            self._out.flight.good = True
        return True

    async def _stopped(self) -> None:
        """The call was aborted, or its session's time is up."""
        self._settled = True
        cause = self._aborted or "limit_time"
        self._note(self._asked.target)
        kind = "abandoned" if cause == "client_left" else "failed"
        said = {"client_left": "the client closed the connection", "limit_time": "the session's time is up"}
        error = said.get(cause, "the session was ended")
        if cause == "limit_time":
            self._call.session.stop = cause
        status = status_of_end(self._out.client.headers)
        await self._side.commit(self._bad_end(kind, cause, error, None if kind == "abandoned" else status))
        self._hush()
        await self._say(status, f"This session has stopped ({cause}): {error}.", cause, NO_RETRY)

    async def _cut_off(self) -> None:
        """The server shuts down and waits for nobody. The task ends here, so the cancellation has done its work."""
        if self._settled:
            return
        self._settled = True
        self._note(self._asked.target)
        await self._side.post(self._bad_end("failed", "cancelled", "the gateway was stopped", 503))
        self._hush()
        await self._say(503, "The gateway was stopped.", "cancelled")

    async def _failed(self, error: UpstreamError) -> None:
        """The upstream gave no usable answer: pass on what it said."""
        self._settled = True
        self._note(self._asked.target)
        rows = self._bad_end("failed", error.cause, str(error), error.status, seen=error.body_seen)
        stored = await self._side.commit(rows)
        self._hush()
        if not stored:
            await self._say(503, "The answer could not be recorded, so it is not given.", "recorder_failed")
        elif error.torn and self._out.started and await self._out.tear():
            pass  # agents know what to do about a connection that breaks; of an error in so many words many of them die
        elif self._out.started or error.body is None:
            await self._say(error.status, str(error), error.code, *self._again(error))
        else:
            headers = [pair for pair in client_headers(error.headers) if pair[0] != b"x-should-retry"]
            await self._out.answer(error.status, [*headers, *self._again(error)], error.body)

    def _again(self, error: UpstreamError) -> list[tuple[bytes, bytes]]:
        """We asked as often as makes sense; the client's SDK need not begin anew, unless the provider names a time. Of
        a live agent nothing is changed but its address: it is as patient as it was."""
        asked_once = self._side.settings.retries.attempts == 1
        if asked_once or self._call.session.live or header(error.headers, b"retry-after") is not None:
            return []
        return [NO_RETRY]

    def _bad_end(
        self,
        kind: str,
        cause: str,
        error: str,
        status: int | None,
        *,
        response: Response | None = None,
        seen: bytes | None = None,
    ) -> list[Row]:
        if response is None and self._assembler is not None:
            response = self._assembler.response()
        return self._call.ended_badly(kind, cause, error, http_status=status, response=response, seen=seen)

    async def _say(self, status: int, message: str, code: str, *headers: tuple[bytes, bytes]) -> None:
        """An error of our own in the dialect's words: as the answer, or in the stream if that has begun."""
        dialect = self._call.dialect
        if self._out.started:
            payloads = dialect.stream_error(status, message, code)
            await self._out.end(self._framing.written(payloads, first=self._first, last=True))
        else:
            await self._out.answer(status, [JSON, *headers], dialect.error(status, message, code))
