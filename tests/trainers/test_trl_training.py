"""TRL itself trains on drawbar's environments and exports: a real `GRPOTrainer`, and `trl sft` as the README has it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from drawbar import Environment
from drawbar.record.facts import FactReader
from drawbar.record.store import Store
from drawbar.trajectory import Trajectory
from drawbar.trl import environment_factory, reward_funcs, train_dataset

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

STEPS, BATCH, GROUP = 10, 32, 8


def looked(trajectory: Trajectory) -> float:
    """How near the model came to asking for two things, whatever it answered: a model this poor learns that soon."""
    return min(len(trajectory.tool_calls), 2) / 2


def depot() -> Environment:
    from examples.close_the_loop.depot import environment

    return replace(environment(count=20), rubric=[looked])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that calls tools, though hardly to any purpose."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    from examples.close_the_loop.base import train_base

    torch.set_num_threads(1)  # threads that wait for each other cost more than matrices as small as these
    train_base(folder, steps=600, seed=1, progress=lambda _: None)
    return folder


def _recorded(url: Path) -> list[Trajectory]:
    store = Store.open(url, read_only=True)
    try:
        return [store.trajectory(id) for id in FactReader(store).ids()]
    finally:
        store.close()


def _grpo(model: Path, folder: Path, factory: Any) -> list[dict[str, Any]]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    env = depot()
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        processing_class=AutoTokenizer.from_pretrained(model),
        train_dataset=train_dataset(env, limit=8),
        environment_factory=factory,
        reward_funcs=reward_funcs(env),
        args=GRPOConfig(
            output_dir=str(folder / "out"),
            max_steps=STEPS,
            per_device_train_batch_size=BATCH,
            num_generations=GROUP,
            max_completion_length=128,
            max_tool_calling_iterations=4,
            learning_rate=2e-4,
            seed=1,
            use_cpu=True,
            bf16=False,
            report_to=[],
            save_strategy="no",
            logging_steps=1,
            disable_tqdm=True,
        ),
    )
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    assert any((value != before[name]).any() for name, value in trainer.model.named_parameters())
    history: list[dict[str, Any]] = trainer.state.log_history
    return [entry for entry in history if "reward" in entry]


def test_grpo_trains_on_an_environment_and_every_rollout_is_recorded(model: Path, tmp_path: Path) -> None:
    factory = environment_factory(depot(), store=str(tmp_path / "rl.db"))
    history = _grpo(model, tmp_path, factory)
    factory.close()
    rollouts = _recorded(tmp_path / "rl.db")
    assert len(history) == STEPS
    assert len(rollouts) == STEPS * BATCH
    assert {each.run for each in rollouts} == {factory.run}
    rewards = [each.reward for each in rollouts if each.reward is not None]
    assert fmean(rewards) == pytest.approx(fmean(entry["reward"] for entry in history))
    versions = {call.policy_version for each in rollouts for call in each.calls}
    assert versions == {f"step-{number}" for number in range(STEPS)}
    first, last = ([entry["reward"] for entry in half] for half in (history[: STEPS // 2], history[STEPS // 2 :]))
    assert fmean(first) < fmean(last), "the model has not got better at what it is rewarded for"
    assert all(call.seen in ("same", None) for each in rollouts for call in each.tool_calls)
    found = {finding.name for each in rollouts for finding in each.health}
    assert found <= {"missing_usage", "empty_reply"}, "TRL does not count tokens, and the model is poor: no more"


def test_sft_of_the_command_line_trains_on_an_export(model: Path, tmp_path: Path) -> None:
    depot = Path(__file__).parents[2] / "examples/close_the_loop/depot.py"
    store = ("--store", str(tmp_path / "rl.db"))
    drawbar = (sys.executable, "-m", "drawbar")
    _do(*drawbar, "run", str(depot), "--env-option", "count=16", *store)
    _do(*drawbar, "export", "trl", "--where", "reward = 1", "-o", str(tmp_path / "sft.jsonl"), *store)
    config = tmp_path / "sft.yaml"
    config.write_text(
        f"model_name_or_path: {model}\n"
        f"datasets:\n  - path: json\n    data_files: {tmp_path / 'sft.jsonl'}\n"
        f"output_dir: {tmp_path / 'out'}\n"
        "assistant_only_loss: true\nmax_steps: 2\nper_device_train_batch_size: 8\nlearning_rate: 1.0e-3\n"
        "report_to: none\nuse_cpu: true\nbf16: false\nsave_strategy: 'no'\n"
    )
    _do(str(Path(sys.executable).with_name("trl")), "sft", "--config", str(config))
    assert (tmp_path / "out/model.safetensors").is_file()


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
