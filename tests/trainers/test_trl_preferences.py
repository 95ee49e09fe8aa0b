"""TRL's own data utilities and trainers on exports of preferences: DPO, KTO, and GRPO's prompts with their rewards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.export.rollouts import looked_up, rollout, rollouts

from drawbar.export.engine import Wanted
from drawbar.export.format import format_named
from drawbar.export.run import export
from drawbar.export.writing import target
from drawbar.record.feedback import Feedback
from drawbar.record.store import Store

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

TEMPLATE = """
{%- if tools %}<tools>{{ tools | tojson }}</tools>{% endif -%}
{%- for message in messages -%}
<{{ message.role }}>{{ message.content or "" }}
{%- for call in message.tool_calls or [] -%}<call>{{ call.function | tojson }}</call>{%- endfor -%}
<end>
{%- endfor -%}
{%- if add_generation_prompt -%}<assistant>{%- endif -%}
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Tasks that were solved and not, with tools and without, and one answer that somebody corrected."""
    store = Store.open(tmp_path / "drawbar.db")
    rollouts(store, "plain", [1.0, 0.0, 0.5, 0.0])
    for query, answer, reward in (("one", "Ada.", 1.0), ("one", "Bob.", 0.0), ("two", "Bob.", 0.0)):
        looked_up(store, "tools", query, answer, reward)
    store.write(Feedback(correction="Ada.").rows(rollout(store, "corrected", "Bob.", 0.0).end(), None))
    yield store
    store.close()


def loaded(store: Store, name: str, file: Path) -> Any:
    """An export as `datasets` reads it."""
    from datasets import load_dataset

    format = format_named(name)
    _, manifest = export(store, Wanted(format=format), target(file, None, format), licenses={})
    assert manifest is not None
    kind = "parquet" if file.suffix == ".parquet" else "json"
    return load_dataset(kind, data_files=str(file), split="train", cache_dir=str(file.parent / "cache"))


@pytest.fixture
def tokenizer() -> Any:
    """Of single characters."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.WordLevel(unk_token="<pad>"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    signs = "".join(map(chr, range(32, 127)))
    raw.train_from_iterator([signs], trainers.WordLevelTrainer(special_tokens=["<pad>", "<end>"]))
    made = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<end>")
    made.chat_template = TEMPLATE.strip()
    return made


@pytest.fixture
def model(tokenizer: Any, tmp_path: Path) -> Any:
    """A tiny one that knows nothing. It lies in a folder, from which trainers load it again for reference."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(1)
    made = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=2048, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(made).save_pretrained(tmp_path / "model")
    return LlamaForCausalLM.from_pretrained(tmp_path / "model")


def arguments(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder / "out"), "max_steps": 2, "per_device_train_batch_size": 2, "report_to": [],
        "use_cpu": True, "bf16": False, "save_strategy": "no", "logging_steps": 1, "disable_tqdm": True,
        "learning_rate": 1e-2, "seed": 1,
    }  # fmt: skip


def has_learned(trainer: Any) -> bool:
    """Whether training changes anything."""
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    return any(bool((value != before[name]).any()) for name, value in trainer.model.named_parameters())


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "parquet"])
def test_dpo_trains_on_pairs(store: Store, model: Any, tokenizer: Any, tmp_path: Path, suffix: str) -> None:
    from trl import DPOConfig, DPOTrainer

    rows = loaded(store, "trl-dpo", tmp_path / f"dpo.{suffix}")
    config = DPOConfig(**arguments(tmp_path), max_length=None)
    trainer = DPOTrainer(model=model, args=config, train_dataset=rows, processing_class=tokenizer)
    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    told = [[tokenizer.decode(row[name]).replace(" ", "") for name in names] for row in trainer.train_dataset]
    [corrected] = [row for row in told if "corrected" in row[0]]
    assert [text.partition("<end>")[0] for text in corrected[1:]] == ["Ada.", "Bob."]
    assert any('"query":"one"' in chosen for _, chosen, _ in told), "tool calls are told to the trainer"
    assert all(prompt.startswith("<tools>[") for prompt, _, _ in told)
    assert len(rows) == len(told)
    assert has_learned(trainer)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_kto_trains_on_labels(store: Store, model: Any, tokenizer: Any, tmp_path: Path, suffix: str) -> None:
    from trl import KTOConfig, KTOTrainer

    rows = loaded(store, "trl-kto", tmp_path / f"kto.{suffix}")
    assert {row["label"] for row in rows} == {True, False}
    config = KTOConfig(**arguments(tmp_path), max_length=None)
    trainer = KTOTrainer(model=model, args=config, train_dataset=rows, processing_class=tokenizer)
    assert has_learned(trainer)


def test_grpo_hands_a_tasks_columns_to_reward_functions(
    store: Store, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    from trl import GRPOConfig, GRPOTrainer

    rows = loaded(store, "trl-grpo", tmp_path / "grpo.jsonl")
    assert {row["task"]: row["solve_rate"] for row in rows} == pytest.approx(
        {"plain": 0.25, "tools": 1 / 3, "corrected": 0.0}
    )
    told: list[tuple[str, list[float]]] = []

    def reward(prompts: Any, completions: Any, task: Any, rewards: Any, **_: Any) -> list[float]:
        told.extend(zip(task, rewards, strict=True))
        return [float(len(completion[0]["content"])) for completion in completions]

    config = GRPOConfig(**arguments(tmp_path) | {"max_steps": 1}, num_generations=2, max_completion_length=4)
    trainer = GRPOTrainer(model=model, args=config, train_dataset=rows, processing_class=tokenizer, reward_funcs=reward)
    trainer.train()
    recorded = {"plain": [1.0, 0.0, 0.5, 0.0], "tools": [1.0, 0.0, 0.0], "corrected": [0.0]}
    assert told
    assert all(recorded[task] == rewards for task, rewards in told)


def test_trls_data_utilities_take_the_rows_as_conversations(store: Store, tmp_path: Path, tokenizer: Any) -> None:
    from trl.data_utils import apply_chat_template, is_conversational, maybe_unpair_preference_dataset

    for name in ("trl-dpo", "trl-kto", "trl-grpo"):
        rows = loaded(store, name, tmp_path / f"{name}.jsonl")
        assert all(is_conversational(row) for row in rows)
        assert all("<user>" in apply_chat_template(row, tokenizer)["prompt"] for row in rows if not _tools(row))
    pairs = loaded(store, "trl-dpo", tmp_path / "again.jsonl")
    assert set(maybe_unpair_preference_dataset(pairs)["label"]) == {True, False}


def _tools(row: dict[str, Any]) -> bool:
    return row.get("tools") is not None
