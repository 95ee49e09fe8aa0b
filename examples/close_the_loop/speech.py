"""How the tiny model writes: a tokenizer trained on the words of its world alone, and a chat template."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END = "<|end|>"
_MARKS = ["<pad>", END, "<|user|>", "<|assistant|>", "<|tool|>", "<call>", "</call>"]
_PIECE = r"<\|?/?[a-z]+\|?>|[A-Z][A-Z]|[A-Za-z]+|\s|[^\sA-Za-z]"
_CALL = re.compile(r"<call>(.*?)</call>", re.S)

# `generation` marks what the model itself said: TRL trains on nothing else (`assistant_only_loss`). Tools are not
# listed: there are always the same two, and a context of 200 tokens is all that the model ever sees.
_TEMPLATE = """
{%- for message in messages -%}
{%- if message.role == "assistant" -%}
{{- "<|assistant|>" -}}
{%- generation -%}
{%- for call in message.tool_calls or [] -%}
{{- "<call>" -}}
{%- set arguments = call.function.arguments -%}
{{- '{"name": "' + call.function.name + '", "arguments": ' -}}
{{- (arguments if arguments is string else arguments | tojson) + "}</call>" -}}
{%- endfor -%}
{{- (message.content or "") + "<|end|>" -}}
{%- endgeneration -%}
{%- else -%}
{{- "<|" + message.role + "|>" + message.content + "<|end|>" -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- "<|assistant|>" -}}{%- endif -%}
"""

# How TRL's GRPOTrainer reads tool calls in what the model said.
_RESPONSE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|assistant|>",
    "fields": {
        "tool_calls": {
            "open": "<call>",
            "close": "</call>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close": END, "content": "text"},
    },
}


def make_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words, syllables and marks, for texts made of such."""
    raw = Tokenizer(models.WordLevel(unk_token="<pad>"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECE), "isolated")
    raw.decoder = decoders.Fuse()
    raw.train_from_iterator(texts, trainers.WordLevelTrainer(special_tokens=_MARKS))
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token=END, clean_up_tokenization_spaces=False
    )
    made.chat_template = _TEMPLATE.strip()
    made.response_template = _RESPONSE
    return made


def said(text: str) -> dict[str, Any]:
    """The message that the model's words mean, as the chat API has it."""
    calls = list(_calls(text))
    content = _CALL.sub("", text).strip() if calls else text
    message: dict[str, Any] = {"role": "assistant", "content": content or None}
    return message | ({"tool_calls": calls} if calls else {})


def _calls(text: str) -> Iterator[dict[str, Any]]:
    for number, written in enumerate(_CALL.findall(text)):
        try:
            call = json.loads(written)
            function = {"name": str(call["name"]), "arguments": json.dumps(call["arguments"])}
        except (ValueError, KeyError, TypeError):
            continue  # not a call after all: the words stay words
        yield {"id": f"call_{number}", "type": "function", "function": function}


def asks(tool: str, **arguments: str) -> dict[str, Any]:
    """A message with one tool call."""
    function = {"name": tool, "arguments": arguments}
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]}
