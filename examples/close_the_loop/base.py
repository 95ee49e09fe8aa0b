"""The model before any training on the task: it can copy, and knows what conversations look like, but not what helps.

Its texts are runs of syllables that repeat (in-context copying is what a transformer must have learned to use tools at
all), and conversations in which somebody calls tools and answers at random.
"""

import json
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from examples.close_the_loop.depot import SYLLABLES, code, question
from examples.close_the_loop.speech import asks, make_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

BATCH, COPIED = 32, 48


def train_base(folder: Path, *, steps: int, seed: int, progress: Callable[[str], None]) -> None:
    """Make the model and its tokenizer and write both into the folder."""
    torch.manual_seed(seed)
    chance = random.Random(seed)
    tokenizer = make_tokenizer([" ".join(SYLLABLES), *_words(wandering(chance) for _ in range(50))])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = _new(tokenizer).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01)
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, (step + 1) / 50, 2 * (1 - step / steps) + 0.05)
        batch = _repeated(tokenizer, chance) if step < steps // 2 else _conversations(tokenizer, chance)
        loss = model(**{name: tensor.to(device) for name, tensor in batch.items()}).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 99:
            progress(f"step {step + 1} of {steps}, loss {loss.item():.2f}")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _new(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


def wandering(chance: random.Random) -> list[dict[str, Any]]:
    """A conversation of somebody who knows the tools but hardly what they are for."""
    owner = _any(chance)
    said = [{"role": "user", "content": question(owner)}]
    names = [owner]
    for _ in range(chance.choice((0, 1, 2, 2, 3))):
        name = names[-1] if chance.random() < 0.6 else chance.choice([*names, _any(chance)])
        if chance.random() < (0.6 if len(names) == 1 else 0.3):
            names.append(code("shelf", name))
            said += [asks("find", owner=name), _tool(f"the parcel of {name} is on shelf {names[-1]}")]
        else:
            names.append(code("thing", name))
            said += [asks("look", shelf=name), _tool(f"shelf {name} has a {names[-1]}")]
    return [*said, {"role": "assistant", "content": names[-1] if chance.random() < 0.6 else chance.choice(names)}]


def _tool(text: str) -> dict[str, Any]:
    return {"role": "tool", "content": text}


def _any(chance: random.Random) -> str:
    return chance.choice(SYLLABLES) + chance.choice(SYLLABLES)


def _words(conversations: Iterable[list[dict[str, Any]]]) -> Iterator[str]:
    """All that is said in conversations, calls as JSON."""
    for message in chain.from_iterable(conversations):
        yield message["content"]
        yield from (json.dumps(call["function"]) for call in message.get("tool_calls", ()))


def _repeated(tokenizer: PreTrainedTokenizerFast, chance: random.Random) -> dict[str, torch.Tensor]:
    ids = tokenizer.convert_tokens_to_ids(list(SYLLABLES))
    runs = [[chance.choice(ids) for _ in range(chance.randint(3, 12))] for _ in range(BATCH)]
    batch = torch.tensor([(run * COPIED)[:COPIED] for run in runs])
    return {"input_ids": batch, "labels": batch}


def _conversations(tokenizer: PreTrainedTokenizerFast, chance: random.Random) -> dict[str, torch.Tensor]:
    texts = tokenizer.apply_chat_template([wandering(chance) for _ in range(BATCH // 2)], tokenize=False)
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right", return_token_type_ids=False)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    return {"input_ids": batch["input_ids"], "labels": labels}  # padding comes last: causal attention never sees it
