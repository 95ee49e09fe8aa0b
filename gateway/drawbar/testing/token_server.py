"""Token ids and log probabilities of a scripted model, told as vLLM, SGLang and llama.cpp's server tell them.

A word with the space after it is a token. Field names and what stands in which event are those of vLLM 0.33, SGLang
0.5.23 and llama.cpp's `tools/server/server-task.cpp`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

Json = dict[str, Any]

END: Final = 2
"""The id of the token that ends a reply, which no text has."""
_WORD: Final = re.compile(r"\S+\s*|\s+")


def token_ids(text: str) -> list[int]:
    """The ids of a text's tokens."""
    return [zlib.crc32(word.encode()) % 50_000 + 3 for word in _WORD.findall(text)]


def prompt_ids(body: Mapping[str, Any]) -> list[int]:
    """The ids of a request's whole prompt."""
    return token_ids(orjson.dumps(body["messages"]).decode())


def logprob(id: int) -> float:
    """The log probability of every token with this id."""
    return -(id % 31 + 1) / 16


class TokenTeller:
    """Adds to a scripted server's answers what was asked for about their tokens."""

    def __init__(self, kind: str) -> None:
        """`kind`: vllm | sglang | llama_cpp | logprobs, as `Models` takes it."""
        self._kind = kind

    def refusal(self, body: Mapping[str, Any]) -> str | None:
        """Why such a server refuses the request; None: it does not."""
        if self._kind == "llama_cpp" and body.get("logprobs") and body.get("tools") and body.get("stream"):
            return "logprobs is not supported with tools + stream"
        return None

    def completion(self, body: Mapping[str, Any], answer: Json) -> Json:
        """A chat completion, with its tokens."""
        choice = answer["choices"][0]
        ids = [*_ids_of(choice["message"]), END]
        answer["usage"] = _usage(body, len(ids))
        self._tell(body, choice, ids)
        if self._kind == "vllm" and body.get("return_token_ids"):
            answer["prompt_token_ids"] = prompt_ids(body)
        answer |= self._sglext(body, ids)
        return answer

    def chunks(self, body: Mapping[str, Any], events: Sequence[Json]) -> list[Json]:
        """The chunks of a streamed one, with their tokens."""
        found: list[Json] = []
        all_ids: list[int] = []
        for event in events:
            if event.get("usage"):
                event["usage"] = _usage(body, len(all_ids))
            for choice in event["choices"]:
                ids = [END] if choice["finish_reason"] else _ids_of(choice["delta"])
                all_ids += ids
                self._tell(body, choice, ids)
            found.append(event)
        if self._kind == "vllm" and body.get("return_token_ids"):
            found[0]["prompt_token_ids"] = prompt_ids(body)
        if more := self._sglext(body, all_ids):
            end = len(found) - 1 if found[-1].get("usage") else len(found)
            head = {name: found[0][name] for name in ("id", "object", "created", "model")}
            found.insert(end, {**head, "choices": [], "usage": None, **more})
        return found

    def response(self, body: Mapping[str, Any], answer: Json) -> Json:
        """An answer of the `responses` dialect, with the log probabilities of its texts."""
        asked = "message.output_text.logprobs" in (body.get("include") or ())
        for item in answer.get("output") or () if asked and self._kind != "llama_cpp" else ():
            for part in item.get("content") or ():
                part["logprobs"] = [_entry(word) for word in _WORD.findall(part.get("text") or "")]
        return answer

    def _tell(self, body: Mapping[str, Any], choice: Json, ids: Sequence[int]) -> None:
        if self._kind == "llama_cpp":
            if (body.get("n_probs") or body.get("logprobs")) and ids:
                choice["logprobs"] = {"content": [{"id": id, **_entry(str(id), id)} for id in ids]}
            return
        choice["logprobs"] = {"content": [_entry(str(id), id) for id in ids]} if body.get("logprobs") and ids else None
        if self._kind == "vllm" and body.get("return_token_ids"):
            choice["token_ids"] = list(ids)

    def _sglext(self, body: Mapping[str, Any], ids: Sequence[int]) -> Json:
        if self._kind != "sglang":
            return {}
        asked = {
            "input_ids": prompt_ids(body) if body.get("return_input_ids_in_sglext") else None,
            "output_ids": [list(ids)] if body.get("return_output_ids_in_sglext") else None,
        }
        told = {name: value for name, value in asked.items() if value is not None}
        return {"sglext": told} if told else {}


def _ids_of(said: Mapping[str, Any]) -> list[int]:
    """The ids of a message, or of a piece of one."""
    texts = [said.get("reasoning_content"), said.get("content")]
    for call in said.get("tool_calls") or ():
        texts += [call["function"].get("name"), call["function"].get("arguments")]
    return [id for text in texts if text for id in token_ids(text)]


def _entry(token: str, id: int | None = None) -> Json:
    value = logprob(token_ids(token)[0] if id is None else id)
    return {"token": token, "bytes": list(token.encode()), "logprob": value, "top_logprobs": []}


def _usage(body: Mapping[str, Any], completion: int) -> Json:
    prompt = len(prompt_ids(body))
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
