"""A shop's support agent: a plain program on the OpenAI SDK and an MCP client. It knows a model's URL and a tools' URL.

It serves all customers of a file, some at a time (`--customers`), or one conversation (`--messages`). A customer is a
line of JSON: {"name": "kim", "says": ["My lamp is broken, I want my money back.", ...]}. What it did it writes down
for itself (`--log`). It knows nothing of drawbar.

OPENAI_BASE_URL=http://127.0.0.1:8787/v1 python examples/shop_support/agent.py \\
    --tools http://127.0.0.1:8787/mcp/shop_support --customers examples/shop_support/customers.jsonl
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Any, TypeAlias

import httpx
from mcp import Client
from openai import APIError, AsyncOpenAI

SYSTEM = "You work for the support of a shop. Look at the order before you act, and write to the customer after."
PATIENCE = 40
"""How often a tool server that cannot be reached is tried again, and a stream that broke off is asked for again."""


Says: TypeAlias = Callable[[str | None], Awaitable[str | None]]


@dataclass
class Customer:
    """Who asks, and what comes next when they were answered."""

    name: str
    says: Says
    """Given the last answer, the customer's next words; None: they have gone."""
    stream: bool = False
    leaves: Mapping[str, str] = field(default_factory=dict)
    """At which reply (its number) they close the window while it is written: to ask `again`, or for `good`."""


class Tools:
    """The tool server as functions. Each call has a connection of its own: one that breaks breaks nothing else."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def listed(self) -> list[dict[str, Any]]:
        for attempt in range(PATIENCE):
            try:
                async with Client(self._url) as client:
                    return [as_function(tool) for tool in (await client.list_tools()).tools]
            except Exception:
                if attempt == PATIENCE - 1:
                    raise
                await asyncio.sleep(0.25)
        raise AssertionError("unreachable")

    async def call(self, name: str, arguments: dict[str, Any]) -> str:
        """Its words. Nothing is called twice: what a call that broke off has done is not known."""
        for attempt in range(PATIENCE):
            sent = False
            try:
                async with Client(self._url) as client:
                    sent = True
                    result: Any = await client.call_tool(name, arguments)
                return "\n".join(block.text for block in result.content if block.type == "text")
            except Exception as error:
                if sent or attempt == PATIENCE - 1:
                    return f"The tool failed: {type(error).__name__}"
                await asyncio.sleep(0.25)
        raise AssertionError("unreachable")


def as_function(tool: Any) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return {"type": "function", "function": function}


class Agent:
    """Serves customers."""

    def __init__(self, model: str, tools: str, log: IO[str] | None = None) -> None:
        self._openai = AsyncOpenAI(max_retries=12)  # reads OPENAI_BASE_URL and OPENAI_API_KEY
        self._model, self._tools_url, self._log = model, tools, log

    async def serve(self, customer: Customer, messages: list[Any]) -> None:
        """One conversation, to its end."""
        tools = Tools(self._tools_url)
        offered = await tools.listed()
        for number in count():
            said = await self._asked(customer, messages, offered, number)
            if said is None:
                return
            messages.append(said)
            for call in said.get("tool_calls") or ():
                messages.append(await self._called(customer, tools, call))
            if not said.get("tool_calls"):
                words = await customer.says(said["content"])
                if words is None:
                    return
                messages.append({"role": "user", "content": words})

    async def _asked(
        self, customer: Customer, messages: Sequence[Any], offered: Sequence[Any], number: int
    ) -> dict[str, Any] | None:
        """The model's reply; None: the customer has left for good meanwhile."""
        leaves = customer.leaves.get(str(number))
        given: dict[str, Any] = {"model": self._model, "messages": list(messages), "tools": list(offered)}
        for attempt in range(PATIENCE):
            if leaves is not None:
                await self._left(given)
                self._note(customer, left=leaves)
                if leaves == "good":
                    return None
                leaves = None
            try:
                id, said = await (self._streamed(given) if customer.stream else self._whole(given))
            except (APIError, httpx.HTTPError) as error:
                self._note(customer, failed=type(error).__name__)
                if attempt == PATIENCE - 1:
                    raise
                continue
            self._note(customer, reply=id, said=said)
            return said
        raise AssertionError("unreachable")

    async def _whole(self, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        answer = await self._openai.chat.completions.create(**given)
        return answer.id, answer.choices[0].message.model_dump(exclude_none=True)

    async def _streamed(self, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        id, content, calls, ended = "", "", dict[int, dict[str, Any]](), False
        async with await self._openai.chat.completions.create(**given, stream=True) as stream:
            async for chunk in stream:
                id = chunk.id
                for choice in chunk.choices:
                    ended = ended or choice.finish_reason is not None
                    content += choice.delta.content or ""
                    for piece in choice.delta.tool_calls or ():
                        call = calls.setdefault(piece.index, {"id": piece.id, "name": "", "arguments": ""})
                        call["name"] += (piece.function and piece.function.name) or ""
                        call["arguments"] += (piece.function and piece.function.arguments) or ""
        if not ended:
            raise httpx.ReadError("the stream broke off")
        said: dict[str, Any] = {"role": "assistant", "content": content or None}
        if calls:
            said["tool_calls"] = [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": call["name"], "arguments": call["arguments"]},
                }
                for call in calls.values()
            ]
        return id, said

    async def _left(self, given: Mapping[str, Any]) -> None:
        """Somebody closes the window while the reply is written."""
        try:
            async with await self._openai.chat.completions.create(**given, stream=True) as stream:
                async for _ in stream:
                    break
        except (APIError, httpx.HTTPError):
            pass

    async def _called(self, customer: Customer, tools: Tools, call: Mapping[str, Any]) -> dict[str, Any]:
        name, arguments = call["function"]["name"], json.loads(call["function"]["arguments"])
        result = await tools.call(name, arguments)
        self._note(customer, call=call["id"], tool=name, arguments=arguments, result=result)
        return {"role": "tool", "tool_call_id": call["id"], "content": result}

    def _note(self, customer: Customer, **what: Any) -> None:
        if self._log is not None:
            self._log.write(json.dumps({"customer": customer.name, **what}) + "\n")
            self._log.flush()


def customers(path: Path) -> Iterator[tuple[Customer, list[Any]]]:
    """Those of a file, each with the opening of their conversation."""
    for line in path.read_text().splitlines():
        told = json.loads(line)
        words = iter(told["says"])

        async def next_words(_: str | None, words: Iterator[str] = words) -> str | None:
            return next(words, None)

        opening = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": next(words)}]
        yield Customer(told["name"], next_words, told.get("stream", False), told.get("leaves", {})), opening


async def work(agent: Agent, waiting: Iterator[tuple[Customer, list[Any]]], at_once: int) -> None:
    """Serve them all."""

    async def desk() -> None:
        for customer, opening in waiting:
            await agent.serve(customer, opening)

    await asyncio.gather(*(desk() for _ in range(at_once)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tools", required=True, help="the tool server's URL")
    parser.add_argument("--model", default="support")
    parser.add_argument("--customers", type=Path, help="a file of customers")
    parser.add_argument("--at-once", type=int, default=8, help="how many of them are served at a time")
    parser.add_argument("--messages", type=Path, help="a file with the opening messages of one conversation")
    parser.add_argument("--customer", help="the URL that is asked for what its customer says next")
    parser.add_argument("--log", type=Path, help="a file to write down what was done")
    arguments = parser.parse_args()
    with open(arguments.log or os.devnull, "a", encoding="utf-8") as log:
        agent = Agent(arguments.model, arguments.tools, log)
        if arguments.customers is not None:
            asyncio.run(work(agent, customers(arguments.customers), arguments.at_once))
        else:
            opening = json.loads(arguments.messages.read_text())
            asyncio.run(agent.serve(Customer("the customer", asked_at(arguments.customer or None)), opening))


def asked_at(url: str | None) -> Says:
    """A customer who is asked at a URL what they say to an answer; who says nothing more where there is none."""
    turns = count()

    async def next_words(answer: str | None) -> str | None:
        if url is None:
            return None
        async with httpx.AsyncClient(timeout=60) as http:
            response = await http.post(url, json={"turn": next(turns), "answer": answer})
        message = response.raise_for_status().json()["message"]
        return None if message is None else str(message["content"])

    return next_words


if __name__ == "__main__":
    main()
