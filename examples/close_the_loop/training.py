"""Supervised fine-tuning on an export, with TRL: these lines train any model that has a chat template."""

from pathlib import Path

import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from trl import SFTConfig, SFTTrainer


def train_on(export: Path, before: Path, after: Path, *, epochs: int, seed: int) -> int:
    """Train a saved model on a file of `drawbar export trl` and save it in another folder; how many rows there were."""
    rows = load_dataset("json", data_files=str(export), split="train", cache_dir=str(after.parent / "cache"))
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(before),
        processing_class=AutoTokenizer.from_pretrained(before),
        train_dataset=rows,
        args=SFTConfig(
            output_dir=str(after),
            assistant_only_loss=True,
            num_train_epochs=epochs,
            per_device_train_batch_size=16,
            learning_rate=1e-3,
            warmup_steps=5,
            max_length=None,
            seed=seed,
            save_strategy="no",
            report_to=[],
            logging_strategy="no",
            disable_tqdm=True,
            bf16=False,
            use_cpu=not torch.cuda.is_available(),
        ),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model(str(after))
    return len(rows)
