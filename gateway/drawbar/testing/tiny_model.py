"""A language model of one layer with random weights, as a file that llama.cpp reads.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3. It says words that mean nothing, the same
ones for the same prompt and seed.
"""

from __future__ import annotations

import random
import struct
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

_WIDTH: Final = 32
_INNER: Final = 64
_U32, _I32, _F32, _STRING, _ARRAY = 4, 5, 6, 8, 9
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
_TEMPLATE: Final = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + (message['content'] or '') }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_UNSAID: Final = -4.0
"""The weight that keeps bytes and marks out of what is said."""


def write_tiny_model(path: Path, words: int = 200) -> None:
    """Write the model; `words` is how many it knows."""
    tokens = _vocabulary(words)
    tensors = _tensors([kind for _, kind in tokens])
    with path.open("wb") as file:
        values = _values(tokens)
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values)))
        for name, (kind, value) in values.items():
            file.write(_text(name) + struct.pack("<I", kind) + value)
        at = 0
        for name, (shape, data) in tensors.items():
            file.write(_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, at))
            at += len(data) * 4 + -len(data) * 4 % 32
        file.write(bytes(-file.tell() % 32))
        for _, data in tensors.values():
            file.write(data.tobytes() + bytes(-len(data) * 4 % 32))


def _vocabulary(words: int) -> list[tuple[str, int]]:
    """Each token's text, and what it is."""
    chance = random.Random(1)
    made: dict[str, None] = {}
    while len(made) < words:
        made["▁" + "".join(chance.choice("aeioulmnrst") for _ in range(chance.randint(2, 6)))] = None
    marks = [("<unk>", _UNKNOWN), ("<s>", _CONTROL), ("</s>", _CONTROL)]
    return [*marks, *((f"<0x{byte:02X}>", _BYTE) for byte in range(256)), *((word, _NORMAL) for word in made)]


def _values(tokens: list[tuple[str, int]]) -> Mapping[str, tuple[int, bytes]]:
    def whole(value: int) -> tuple[int, bytes]:
        return _U32, struct.pack("<I", value)

    def texts(values: list[str]) -> tuple[int, bytes]:
        return _ARRAY, struct.pack("<IQ", _STRING, len(values)) + b"".join(map(_text, values))

    scores = struct.pack("<IQ", _F32, len(tokens)) + array("f", [0.0] * len(tokens)).tobytes()
    kinds = struct.pack("<IQ", _I32, len(tokens)) + array("i", [kind for _, kind in tokens]).tobytes()
    return {
        "general.architecture": (_STRING, _text("llama")),
        "llama.block_count": whole(1),
        "llama.context_length": whole(4096),
        "llama.embedding_length": whole(_WIDTH),
        "llama.feed_forward_length": whole(_INNER),
        "llama.attention.head_count": whole(2),
        "llama.attention.head_count_kv": whole(2),
        "llama.attention.layer_norm_rms_epsilon": (_F32, struct.pack("<f", 1e-5)),
        "llama.rope.dimension_count": whole(_WIDTH // 2),
        "llama.vocab_size": whole(len(tokens)),
        "tokenizer.ggml.model": (_STRING, _text("llama")),
        "tokenizer.ggml.tokens": texts([text for text, _ in tokens]),
        "tokenizer.ggml.scores": (_ARRAY, scores),
        "tokenizer.ggml.token_type": (_ARRAY, kinds),
        "tokenizer.ggml.unknown_token_id": whole(0),
        "tokenizer.ggml.bos_token_id": whole(1),
        "tokenizer.ggml.eos_token_id": whole(2),
        "tokenizer.chat_template": (_STRING, _text(_TEMPLATE)),
    }


def _tensors(kinds: list[int]) -> Mapping[str, tuple[tuple[int, ...], Any]]:
    """Shapes (the fastest dimension first) and numbers. The first number of every embedding is large and the same, so
    that the output's first weight is a bias."""
    chance = random.Random(2)

    def matrix(rows: int, columns: int, size: float) -> tuple[tuple[int, ...], Any]:
        return (columns, rows), array("f", (chance.gauss(0, size) for _ in range(rows * columns)))

    def rows(firsts: Iterator[float], size: float) -> tuple[tuple[int, ...], Any]:
        made = array("f")
        for first in firsts:
            made.extend([first, *(chance.gauss(0, size) for _ in range(_WIDTH - 1))])
        return (_WIDTH, len(made) // _WIDTH), made

    ones = ((_WIDTH,), array("f", [1.0] * _WIDTH))
    layer = {name: matrix(_WIDTH, _WIDTH, 0.05) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    layer |= {"ffn_gate": matrix(_INNER, _WIDTH, 0.05), "ffn_up": matrix(_INNER, _WIDTH, 0.05)}
    layer |= {"ffn_down": matrix(_WIDTH, _INNER, 0.05), "attn_norm": ones, "ffn_norm": ones}
    return {
        "token_embd.weight": rows((10.0 for _ in kinds), 3.0),
        **{f"blk.0.{name}.weight": tensor for name, tensor in layer.items()},
        "output_norm.weight": ones,
        "output.weight": rows((0.0 if kind == _NORMAL else _UNSAID for kind in kinds), 0.6),
    }


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw
