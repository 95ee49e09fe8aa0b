"""`POST /s/{key}/user`: the agent has given its final answer; what does the user say to it?

    {"turn": 0, "answer": "Which order?"}     both may be missing, and so may the body
    -> {"turn": 0, "message": {"role": "user", "content": "The second one."}, "done": false}
    -> {"turn": 1, "message": null, "done": true}       the user has no more to say: the agent's work is over

`turn` is how many messages of the user's the agent has had so far. Asking again for the same one gives the same one;
without `turn` the user speaks once after each answer of the agent's model. `answer` is what the agent answered; left
out, it is what its model said last in the main conversation. Errors are as on the model side; once the user has failed,
the session has stopped with the code `user_failed`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
import msgspec

from drawbar.errors import UserError
from drawbar.judging import Ask, Usage
from drawbar.proxy.admission import Admitted
from drawbar.proxy.answers import only
from drawbar.proxy.client import JSON, BodyTooLarge, Client, ClientGone
from drawbar.proxy.headers import status_of_end
from drawbar.proxy.refused import Refused
from drawbar.task import user_message
from drawbar.user import Conversation, ModelUser, User, spoken, user_for
from drawbar.user_part import METADATA, UserPart, UserTurn
from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import dump, load_object, whole

if TYPE_CHECKING:
    from drawbar.gateway import Gateway
    from drawbar.sessions import Session

MOST: Final = 1_000
"""Messages after which a user is taken for one who never ends."""


class UserSide:
    """Asks the users of one gateway's sessions."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def handle(self, who: Admitted, client: Client) -> None:
        """One request, in the session that it names. Raises `Refused`."""
        session = who.session
        if session is None or not await only(client, "POST"):
            return
        try:
            raw = await client.body(self._gateway.settings.max_body)
            turn, answer = _asked(raw)
        except ClientGone:
            return
        except BodyTooLarge:
            raise Refused(413, "The request's body is too large.", "request_too_large", retry=False) from None
        except BadBody as error:
            raise Refused(400, f"This request cannot be read: {error}.", "bad_request", retry=False) from error
        with _stoppable(session) as scope:
            said = await self._next(session, client, turn, answer)
            await client.answer(200, [JSON], dump(said))
        if scope.cancelled_caught:
            raise _stopped(session, client)

    async def at_end(self, session: Session) -> str | None:
        """Why a session whose requests are over did not end as it seems; `session.stop` then says so."""
        user = _user_of(session)
        if user is None:
            return None
        await self._refresh(session)
        part = UserPart.of(_metadata(session)) or UserPart.begun(user)
        if part.fault is not None:
            session.stop = "user_failed" if session.stop in ("completed", "agent_failed") else session.stop
            return part.fault
        if part.done is not None or session.stop != "completed":
            return None
        session.stop = "harness_failed"
        return (
            f"The agent ended while the task's user had more to say (the user had spoken {len(part.turns)} times). "
            "After each final answer it must POST to the URL in DRAWBAR_USER_URL (Assignment.user_url), until the "
            "answer says that the user is done."
        )

    async def _next(self, session: Session, client: Client, turn: int | None, answer: str | None) -> dict[str, Any]:
        async with session.user_lock:
            user = _user_of(session)
            if user is None:
                raise Refused(404, "This session has no user: one request is its whole task.", "no_user", retry=False)
            await self._refresh(session)
            if session.stop is not None:
                raise _stopped(session, client)
            part = UserPart.of(_metadata(session)) or UserPart.begun(user)
            if part.fault is not None:  # before this gateway was started, or at another one
                session.stop = "user_failed"
                raise _stopped(session, client)
            if turn is not None and turn > len(part.turns):
                said = f"The user has spoken {len(part.turns)} times, so turn {turn} is not the next."
                raise Refused(400, said, "bad_request", retry=False)
            if turn is None or turn == len(part.turns):
                part, turn = await self._spoken(session, client, user, part, turn, answer)
        message = part.turns[turn].message if turn < len(part.turns) else None
        return {"turn": turn, "message": message, "done": message is None}

    async def _spoken(
        self, session: Session, client: Client, user: User, part: UserPart, turn: int | None, answer: str | None
    ) -> tuple[UserPart, int]:
        """The user's part with the turn that was asked for, and its number."""
        if part.done is not None:
            return part, len(part.turns)
        answers = await self._answers(session)
        last = next(reversed(answers), None)
        if turn is None and part.turns and part.turns[-1].after == last:
            return part, len(part.turns) - 1
        if answer is None and last is None:
            raise Refused(400, "The agent has not answered anything yet.", "bad_request", retry=False)
        heard = answer if answer is not None else answers[last or ""]
        usage = Usage(part.model or "")
        messages = _messages(session, part, answers, heard)
        ask = _accounted(self._gateway, session, usage)
        conversation = Conversation(task=_task(session), messages=messages, played=len(part.turns), ask=ask)
        try:
            said = await _reply(user, conversation)
        except UserError as error:
            part = msgspec.structs.replace(part, fault=str(error), usage=part.usage.with_more(usage))
            session.stop = session.stop or "user_failed"
            await self._keep(session, part)
            raise Refused(status_of_end(client.headers), str(error), "user_failed", retry=False) from error
        part = msgspec.structs.replace(part, usage=part.usage.with_more(usage))
        if said is None:
            at_limit = isinstance(user, ModelUser) and len(part.turns) >= user.max_turns
            part = msgspec.structs.replace(part, done="max_turns" if at_limit else "said")
        else:
            turned = UserTurn(message=said, after=last, answer=answer)
            part = msgspec.structs.replace(part, turns=(*part.turns, turned))
        await self._keep(session, part)
        return part, len(part.turns) - (said is not None)

    async def _answers(self, session: Session) -> dict[str, str]:
        """What the agent's model said in the main conversation, by the ids of its calls."""
        await self._gateway.recorder.commit()
        trajectory = await self._gateway.checkups.trajectory(session.id)
        main = trajectory.threads[0].calls if trajectory.calls else ()
        return {call.id: call.message.text for call in main if call.status == "answered" and call.message is not None}

    async def _refresh(self, session: Session) -> None:
        """Take in what the user said by another gateway."""
        store = self._gateway.store
        if not session.restored and not store.shared:
            return
        row = await anyio.to_thread.run_sync(store.session, session.id)
        if row is not None and row.status == "open":
            session.row = msgspec.structs.replace(session.row, metadata=row.metadata)

    async def _keep(self, session: Session, part: UserPart) -> None:
        """What a crash could lose is not told."""
        before = session.row
        metadata = dump({**_metadata(session), METADATA: part.to_json()})
        session.row = msgspec.structs.replace(before, metadata=metadata)
        if not await self._gateway.model_side.commit([session.row]):
            session.row = before
            said = "What the user said could not be recorded, so it is not given."
            raise Refused(503, said, "recorder_failed", retry=False)


def _asked(raw: bytes) -> tuple[int | None, str | None]:
    """`turn` and `answer`. Raises `BadBody`."""
    body: Mapping[str, Any] = whole(load_object(raw or b"{}", "the body"))
    turn, answer = body.get("turn"), body.get("answer")
    if not (turn is None or (type(turn) is int and turn >= 0)):
        raise BadBody("`turn` must be a whole number from 0")
    if not (answer is None or isinstance(answer, str)):
        raise BadBody("`answer` must be a text")
    return turn, answer


def _user_of(session: Session) -> User | None:
    """Who plays the user in a session; None: nobody."""
    if session.task is None:
        return None
    own = session.environment.user if session.environment is not None else None
    named = load_object(session.row.config, "its configuration").get("user_model")
    return user_for(own, session.task, named)


def _task(session: Session) -> Any:
    assert session.task is not None
    return session.task


def _metadata(session: Session) -> dict[str, Any]:
    try:
        found: dict[str, Any] = whole(load_object(session.row.metadata, "its metadata"))
        return found
    except BadBody:  # a redaction hook has left none
        return {}


def _messages(session: Session, part: UserPart, words: Mapping[str, str], last: str) -> list[dict[str, Any]]:
    """What was said so far, as a user sees it."""
    told = spoken(_task(session))
    for turn in part.turns:
        answer = turn.answer if turn.answer is not None else words.get(turn.after or "", "")
        told += [{"role": "assistant", "content": answer}, turn.message]
    return [*told, {"role": "assistant", "content": last}]


def _accounted(gateway: Gateway, session: Session, usage: Usage) -> Ask:
    own = session.environment.models if session.environment is not None else None

    async def ask(model: str, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        completion = await gateway.chat(model, body, own)
        usage.add(completion)
        return completion

    return ask


async def _reply(user: User, conversation: Conversation) -> dict[str, Any] | None:
    """What the user says. Raises `UserError`, whatever went wrong."""
    try:
        reply = await user.reply(conversation)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"The user {type(user).__name__} failed: {type(error).__name__}: {error}") from error
    if reply is None:
        return None
    if conversation.played >= MOST:
        raise UserError(f"The user has spoken {MOST} times and does not end.")
    message = user_message(reply)
    if message is None:
        raise UserError(f"The user {type(user).__name__} said {str(reply)[:200]!r}: no text, and no message of a user.")
    try:
        dump(message)
    except (TypeError, ValueError) as error:
        raise UserError(f"The user {type(user).__name__} said something that JSON cannot hold: {error}") from error
    return message


@contextmanager
def _stoppable(session: Session) -> Iterator[anyio.CancelScope]:
    """A session that ends does not wait for its user."""
    with anyio.CancelScope() as scope:

        def abort(cause: str) -> None:
            scope.cancel()

        session.aborts.add(abort)
        session.idle.clear()
        try:
            yield scope
        finally:
            session.aborts.discard(abort)
            if not session.aborts:
                session.idle.set()


def _stopped(session: Session, client: Client) -> Refused:
    cause = session.stop or "cancelled"
    return Refused(status_of_end(client.headers), f"This session has stopped ({cause}).", cause, retry=False)
