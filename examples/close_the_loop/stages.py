"""The stages of the loop, each through drawbar's command line, as anybody would go through them."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from examples.close_the_loop.base import train_base
from examples.close_the_loop.serving import Server
from examples.close_the_loop.training import train_on

DEPOT = Path(__file__).parent / "depot.py"
MODEL = "tiny"


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    base_steps: int = 1600
    shown: int = 100
    """Training tasks that the oracle shows once each."""
    tried: int = 400
    """Further training tasks that the model tries by itself."""
    tries: int = 8
    """Rollouts of each of these."""
    held_out: int = 300
    """Tasks of evaluation; their owners are in no task of training."""
    epochs: int = 4


SHORT = Sizes(base_steps=900, shown=60, tried=60, tries=4, held_out=80)


@dataclass(frozen=True)
class Stage:
    """What a model was worth on the held-out tasks."""

    name: str
    trained_on: int
    reward: float
    low: float
    high: float
    run: str


class Loop:
    """Base model, demonstrations, the model's own best rollouts: evaluated after each."""

    def __init__(self, folder: Path, sizes: Sizes, *, seed: int, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._sizes = sizes
        self._seed = seed
        self._say = say
        self._store = folder / "loop.db"
        self.stages: list[Stage] = []

    async def go(self) -> list[Stage]:
        """All of it; the store, the exports, the models and `report.json` stay in the folder."""
        sizes = self._sizes
        base, taught, practised = (self._folder / name for name in ("model-0", "model-1", "model-2"))
        await asyncio.to_thread(train_base, base, steps=sizes.base_steps, seed=self._seed, progress=self._say)
        await self._evaluate("base", base, rows=0)

        shown = await self._drawbar("run", DEPOT, *_tasks("train", sizes.shown))
        rows = await self._learn("demonstrations", f"run = {shown['run']}", base, taught)
        await self._evaluate("demonstrations", taught, rows)

        tried = await self._play(taught, *_tasks("train", sizes.tried, first=sizes.shown), "--rollouts", sizes.tries)
        rows = await self._learn("own-best", f"run = {tried['run']} and reward = 1", taught, practised)
        await self._evaluate("best of its own", practised, rows)
        return self.stages

    async def _learn(self, name: str, where: str, before: Path, after: Path) -> int:
        """Export what a filter means and train on it; how many rows there were."""
        export = self._folder / f"{name}.jsonl"
        await self._drawbar("export", "trl", "--where", where, "--output", export, "--force", "--dedupe", "none")
        self._say(f"training on {export.name}")
        return await asyncio.to_thread(train_on, export, before, after, epochs=self._sizes.epochs, seed=self._seed)

    async def _evaluate(self, name: str, model: Path, rows: int) -> None:
        report = await self._play(model, *_tasks("held_out", self._sizes.held_out))
        reward = report["reward"]
        low, high = reward["ci95"]
        stage = Stage(name, rows, reward["mean"], low, high, report["run"])
        self.stages.append(stage)
        self._say(f"{name}: reward {stage.reward:.3f}, 95 % interval {stage.low:.3f} to {stage.high:.3f}")
        written = [asdict(stage) for stage in self.stages]
        (self._folder / "report.json").write_text(json.dumps(written, indent=2) + "\n")

    async def _play(self, model: Path, *arguments: object) -> Mapping[str, Any]:
        """A run of the model in a folder: sampled as it is, its token ids recorded."""
        async with Server(model, MODEL).listening() as url:
            where = ("--model", MODEL, "--base-url", url, "--upstream-tokens", "vllm", "--token-ids")
            return await self._drawbar("run", DEPOT, *arguments, *where, "--temperature", 1, "--seed", self._seed)

    async def _drawbar(self, *arguments: object) -> Mapping[str, Any]:
        """What `drawbar ... --json` says."""
        command = [sys.executable, "-m", "drawbar", *map(str, arguments), "--store", str(self._store), "--json", "-q"]
        environment = {**os.environ, "DRAWBAR_STORE": str(self._store)}
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environment)
        said, _ = await process.communicate()
        if process.returncode:
            raise SystemExit(f"`{' '.join(command)}` failed with {process.returncode}.")
        found: Mapping[str, Any] = json.loads(said)
        return found


def _tasks(split: str, count: int, first: int = 0) -> tuple[str, ...]:
    options = {"split": split, "count": count, "first": first}
    return tuple(part for name, value in options.items() for part in ("--env-option", f"{name}={value}"))
