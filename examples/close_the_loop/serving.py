"""The tiny model behind an OpenAI-compatible API, with token ids and log probabilities as vLLM tells them.

Requests that wait at the same time are answered as one batch. What is sampled depends on the request, its seed and
nothing else, so that a run with the same seeds is the same run.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from aiohttp import web
from examples.close_the_loop.speech import said
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

LARGEST_BATCH = 64
LONGEST_REPLY = 64


@dataclass(frozen=True)
class Prompt:
    """What one request asks the model for."""

    ids: list[int]
    temperature: float
    seed: int
    limit: int


@dataclass
class Reply:
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


class Sampler:
    """A model and its tokenizer, from the folder that they were saved in."""

    def __init__(self, folder: Path) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder).to(self.device).eval()

    def prompt(self, body: dict[str, Any]) -> Prompt:
        """The prompt of a chat request."""
        ids = self.tokenizer.apply_chat_template(
            body["messages"], tools=body.get("tools"), add_generation_prompt=True, return_dict=False
        )
        salt = blake2b(json.dumps([ids, body.get("seed")]).encode(), digest_size=7)
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or LONGEST_REPLY
        temperature = body.get("temperature")
        return Prompt(ids, 1.0 if temperature is None else temperature, int(salt.hexdigest(), 16), limit)

    def replies(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """What the model says to each, token by token, all of them side by side."""
        with torch.no_grad():
            return self._replies(prompts)

    def _replies(self, prompts: Sequence[Prompt]) -> list[Reply]:
        longest = max(len(prompt.ids) for prompt in prompts)
        padding = [longest - len(prompt.ids) for prompt in prompts]
        ids = torch.tensor([[0] * pad + prompt.ids for pad, prompt in zip(padding, prompts, strict=True)])
        mask = torch.tensor([[0] * pad + [1] * len(prompt.ids) for pad, prompt in zip(padding, prompts, strict=True)])
        ids, mask = ids.to(self.device), mask.to(self.device)
        chances = [torch.Generator().manual_seed(prompt.seed) for prompt in prompts]
        replies, cache, open_ = [Reply() for _ in prompts], DynamicCache(), set(range(len(prompts)))
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        while open_:
            out = self.model(ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
            logprobs = out.logits[:, -1].float().log_softmax(-1).cpu()
            chosen = [
                _choose(row, prompt, chance) for row, prompt, chance in zip(logprobs, prompts, chances, strict=True)
            ]
            for row in sorted(open_):
                replies[row].ids.append(chosen[row])
                replies[row].logprobs.append(float(logprobs[row, chosen[row]]))
                if chosen[row] == self.tokenizer.eos_token_id or len(replies[row].ids) >= prompts[row].limit:
                    open_.discard(row)
            ids = torch.tensor(chosen, device=self.device)[:, None]
            mask = torch.cat([mask, torch.ones_like(ids)], 1)
            positions = positions[:, -1:] + 1
        return replies


def _choose(logprobs: torch.Tensor, prompt: Prompt, chance: torch.Generator) -> int:
    """One token: the likeliest at temperature 0, else drawn (the Gumbel-max trick)."""
    if prompt.temperature == 0:
        return int(logprobs.argmax())
    noise = -torch.empty_like(logprobs).exponential_(generator=chance).log()
    return int((logprobs / prompt.temperature + noise).argmax())


class Server:
    """Answers `POST /v1/chat/completions` and `GET /v1/models`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._sampler = Sampler(folder)
        self._name = name
        self._waiting: asyncio.Queue[tuple[Prompt, asyncio.Future[Reply]]] = asyncio.Queue()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """The base URL under which it answers meanwhile."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        runner = web.AppRunner(app)
        await runner.setup()
        worker = asyncio.create_task(self._work())
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            worker.cancel()
            await runner.cleanup()

    async def _work(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < LARGEST_BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            prompts = [prompt for prompt, _ in batch]
            try:
                replies = await asyncio.to_thread(self._sampler.replies, prompts)
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), reply in zip(batch, replies, strict=True):
                if not future.done():  # its client may have left
                    future.set_result(reply)

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self._name, "object": "model"}]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.json()
            prompt = self._sampler.prompt(body)
        except (ValueError, KeyError, TypeError) as error:
            return web.json_response({"error": {"message": f"Not a chat request: {error}"}}, status=400)
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        await self._waiting.put((prompt, reply))
        answer = self._answer(body, prompt, await reply)
        return await _streamed(request, answer) if body.get("stream") else web.json_response(answer)

    def _answer(self, body: dict[str, Any], prompt: Prompt, reply: Reply) -> dict[str, Any]:
        tokenizer = self._sampler.tokenizer
        ended = reply.ids[-1] == tokenizer.eos_token_id
        message = said(tokenizer.decode(reply.ids[:-1] if ended else reply.ids))
        finish = "length" if not ended else "tool_calls" if "tool_calls" in message else "stop"
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        if body.get("logprobs"):
            tokens = zip(reply.ids, reply.logprobs, strict=True)
            choice["logprobs"] = {"content": [_entry(tokenizer.decode([id]), value) for id, value in tokens]}
        answer = {
            "id": f"chatcmpl-{time.time_ns():x}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self._name,
            "choices": [choice],
            "usage": {
                "prompt_tokens": len(prompt.ids),
                "completion_tokens": len(reply.ids),
                "total_tokens": len(prompt.ids) + len(reply.ids),
            },
        }
        if body.get("return_token_ids"):
            choice["token_ids"] = reply.ids
            answer["prompt_token_ids"] = prompt.ids
        return answer


def _entry(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode()), "top_logprobs": []}


async def _streamed(request: web.Request, answer: dict[str, Any]) -> web.StreamResponse:
    """The answer as a stream of one piece: the model is done in milliseconds."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    choice = answer["choices"][0]
    message = choice.pop("message")
    for number, call in enumerate(message.get("tool_calls", ())):
        call["index"] = number
    said_, ended = {**choice, "delta": message, "finish_reason": None}, {"index": 0, "delta": {}}
    ended["finish_reason"] = choice["finish_reason"]
    usage = answer.pop("usage")
    for chunk in ({"choices": [said_]}, {"choices": [ended]}, {"choices": [], "usage": usage}):
        event = {**answer, "object": "chat.completion.chunk", **chunk}
        await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    return response
