"""A model that knows its trade by heart: what it says follows from the conversation alone. It stands in for a real one.

`reply` is the whole policy. It makes two kinds of mistakes on purpose, so that there is something to score: of some
orders it pays back without having looked, of others it forgets to write to the customer.

As a provider, it gives every answer and every tool call an id of its own. It knows nothing of drawbar.

python examples/shop_support/model.py --port 9001
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Literal, TypeAlias

from aiohttp import web

ORDER = re.compile(r"A-\d{4}")
PACE = 0.002
"""Seconds between two events of a stream."""
TROUBLE = ("timed out", "cannot", "failed", "there is no")


Fault: TypeAlias = Literal["broken", "busy", "cut"]
"""A way to fail: 500, 429, and a stream that breaks off. A whole answer breaks off as an error."""


def says(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def calls(tool: str, **arguments: Any) -> dict[str, Any]:
    return together((tool, arguments))


def together(*wanted: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    functions = ({"name": tool, "arguments": json.dumps(arguments)} for tool, arguments in wanted)
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"type": "function", "function": f} for f in functions],
    }


def reply(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What comes next in a conversation."""
    users = [at for at, message in enumerate(messages) if message["role"] == "user"]
    texts = [str(messages[at]["content"]) for at in users]
    order = next((found[-1] for text in reversed(texts) if (found := ORDER.findall(text))), None)
    if order is None:
        return says("Gladly. What is the number of your order?")
    done = results(messages, order)
    if "that is all" in texts[-1]:
        return says("Good-bye.") if "close_ticket" in done else calls("close_ticket", order_id=order, outcome="done")
    wish = next((text for text in reversed(texts) if _refund(text) or "where" in text.lower()), texts[-1])
    return _refunding(order, done) if _refund(wish) else _tracking(order, done)


def changed(said: dict[str, Any]) -> dict[str, Any]:
    """The same reply of a newer model: it looks for parcels before orders, pays back half, and writes letters."""
    for call in said.get("tool_calls") or ():
        function = call["function"]
        if function["name"] == "refund_order":
            arguments = json.loads(function["arguments"])
            function["arguments"] = json.dumps({**arguments, "amount": arguments["amount"] / 2})
        if function["name"] == "send_email":
            function["name"] = "send_letter"
    return {**said, "tool_calls": said["tool_calls"][::-1]} if said.get("tool_calls") else said


def results(messages: Sequence[Mapping[str, Any]], order: str) -> dict[str, str]:
    """Of each tool that was called about an order, what it said last."""
    about: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls") or ():
            if order in call["function"]["arguments"]:
                about[call["id"]] = call["function"]["name"].replace("send_letter", "send_email")
    return {about[m["tool_call_id"]]: str(m["content"]) for m in messages if m.get("tool_call_id") in about}


def _refund(text: str) -> bool:
    return "money back" in text.lower()


def _refunding(order: str, done: Mapping[str, str]) -> dict[str, Any]:
    hasty, forgetful = int(order[2:]) % 7 == 0, int(order[2:]) % 5 == 0
    if "get_order" not in done and not (hasty and "refund_order" not in done):
        return calls("get_order", order_id=order)
    found = _read(done.get("get_order", ""))
    if "refund_order" not in done:
        amount = round(found["price"] - found["refunded"], 2) if found else 18.0
        if found and not amount:
            return says(f"Your money for {order} was paid back already.")
        return calls("refund_order", order_id=order, amount=amount, reason="the customer asked for it")
    if any(word in done["refund_order"] for word in TROUBLE):
        return says(f"I could not pay you back for {order}: {done['refund_order']}")
    if "send_email" not in done and not forgetful:
        return _email(found, order, f"We paid your money back for {order}.")
    return says(f"Your money for {order} is on its way back to you.")


def _tracking(order: str, done: Mapping[str, str]) -> dict[str, Any]:
    if "track_parcel" not in done:
        return together(("get_order", {"order_id": order}), ("track_parcel", {"order_id": order}))
    said = done["track_parcel"]
    if any(word in said for word in TROUBLE):
        if "send_email" not in done:
            return _email(
                _read(done.get("get_order", "")), order, f"We ask the carrier about {order} and write to you."
            )
        return says(f"The carrier does not answer. I shall write to you about {order}.")
    return says(f"I looked: {said}.")


def _email(found: Mapping[str, Any], order: str, body: str) -> dict[str, Any]:
    return calls("send_email", to=found.get("email", "desk@example.org"), subject=f"Your order {order}", body=body)


def _read(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return {}
    return found


class Faults:
    """Now and then a request fails, up to four times before it is answered."""

    def __init__(self, seed: int | None) -> None:
        """`seed` None: never."""
        self._chance = Random(seed) if seed is not None else None
        self._planned: dict[str, list[Fault]] = {}

    def next(self, body: Mapping[str, Any]) -> Fault | None:
        """What happens to this request."""
        if self._chance is None:
            return None
        asked = json.dumps(body["messages"])
        if asked not in self._planned:
            fails = self._chance.random() < 0.1
            kinds: list[Fault] = ["broken", "busy", "cut"]
            self._planned[asked] = self._chance.choices(kinds, k=self._chance.randint(1, 4)) if fails else []
        return self._planned[asked].pop() if self._planned[asked] else None


class Server:
    """The policy behind HTTP."""

    def __init__(self, faults: Faults, log: Path | None, *, newer: bool = False) -> None:
        self._faults, self._log, self._newer = faults, log, newer
        self._answers, self._calls = count(), count()

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        id, fault = f"chatcmpl-{next(self._answers):08d}", self._faults.next(body)
        said = reply(body["messages"])
        if self._newer:
            said = changed(said)
        for call in said.get("tool_calls") or ():
            call["id"] = f"call-{next(self._calls):08d}"
        noted = {"id": id, "messages": body["messages"], "said": said, "fault": fault}
        if fault == "busy":
            self._noted(noted)
            return _error(429, "Too many customers today.")
        if fault == "broken" or (fault == "cut" and not body.get("stream")):
            self._noted(noted)
            return _error(500, "The model does not feel well.")
        head = {"id": id, "created": 1_700_000_000, "model": body["model"]}
        if not body.get("stream"):
            finish = "tool_calls" if said.get("tool_calls") else "stop"
            choice = {"index": 0, "message": said, "finish_reason": finish}
            self._noted(noted)
            return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": _usage(body)})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for event in _events(said, cut=fault == "cut"):
                chunk = {**head, "object": "chat.completion.chunk", "choices": [event]}
                await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
                await asyncio.sleep(PACE)
            if fault == "cut":
                assert request.transport is not None
                request.transport.abort()
            else:
                usage = {**head, "object": "chat.completion.chunk", "choices": [], "usage": _usage(body)}
                await response.write(b"data: " + json.dumps(usage).encode() + b"\n\ndata: [DONE]\n\n")
        except ConnectionError:
            noted["fault"] = "left"
        self._noted(noted)
        return response

    def _noted(self, what: Mapping[str, Any]) -> None:
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(what) + "\n")


def _events(said: Mapping[str, Any], *, cut: bool) -> Iterator[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in re.findall(r"\S+\s*", said["content"] or "")]
    for index, call in enumerate(said.get("tool_calls") or ()):
        arguments = call["function"]["arguments"]
        deltas.append({"tool_calls": [{"index": index, **call, "function": {**call["function"], "arguments": ""}}]})
        for piece in (arguments[:10], arguments[10:]):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    for delta in deltas[: len(deltas) // 2 + 1 if cut else None]:
        yield {"index": 0, "delta": delta, "finish_reason": None}
    if not cut:
        yield {"index": 0, "delta": {}, "finish_reason": "tool_calls" if said.get("tool_calls") else "stop"}


def _usage(body: Mapping[str, Any]) -> dict[str, int]:
    prompt = len(json.dumps(body["messages"])) // 4
    return {"prompt_tokens": prompt, "completion_tokens": 20, "total_tokens": prompt + 20}


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "error", "code": None}}, status=status)


async def serve(server: Server, port: int) -> None:
    """Until the process is ended."""
    application = web.Application(client_max_size=64 << 20)
    application.router.add_post("/v1/chat/completions", server.complete)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}/v1"}), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--faults", type=int, metavar="SEED", help="fail now and then")
    parser.add_argument("--log", type=Path, help="a file for what was asked and answered")
    parser.add_argument("--newer", action="store_true", help="be another model, with other habits")
    arguments = parser.parse_args()
    asyncio.run(serve(Server(Faults(arguments.faults), arguments.log, newer=arguments.newer), arguments.port))


if __name__ == "__main__":
    main()
