"""A shop at work, as processes: its tool server, its model, its agents, and `drawbar serve` in front of them.

Each writes its own log: the model what it was asked and said, the shop what it was called with and which e-mails went
out, the agents what they were told. What the gateway recorded is held against these.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

SHOP = Path(__file__).parents[2] / "examples" / "shop_support"
PATIENCE = 240.0
"""Seconds for a process to be ready, or for what is waited for."""
PROGRAM = "import sys; from drawbar.cli.main import main; main(sys.argv[1:])"
SLOW = 2.5
TIMEOUT = 1.0
"""Seconds that the slow carrier takes, and that a tool call may take."""


class Works:
    """The processes and their logs, in a folder of their own."""

    def __init__(self, folder: Path, stack: ExitStack, faults: int | None) -> None:
        self.folder = folder
        self.kills = 0
        self._stack = stack
        self._faults = faults
        self._gateway: subprocess.Popen[str] | None = None
        self.shop: subprocess.Popen[str] | None = None
        self.tools_url = self.model_url = self.url = ""

    @property
    def example(self) -> Path:
        """Where the programs are."""
        return SHOP

    @property
    def store(self) -> Path:
        return self.folder / "drawbar.db"

    @property
    def errors(self) -> str:
        """What all of them said of errors."""
        return (self.folder / "errors.txt").read_text()

    def log(self, name: str) -> list[dict[str, Any]]:
        """The lines of somebody's own log."""
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def lines(self, name: str) -> int:
        path = self.folder / name
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def open_shop(self) -> None:
        """Its tools, at a port that stays the same."""
        arguments = ["--data", str(self.folder), "--port", "0", "--slow", str(SLOW)]
        self.shop = self.start("shop.py", *arguments)
        self.tools_url = _first_line(self.shop)["url"]

    def close_shop(self) -> None:
        assert self.shop is not None
        _end(self.shop)

    def open_model(self) -> None:
        faults = [] if self._faults is None else ["--faults", str(self._faults)]
        self.model_url = self.model("--log", str(self.folder / "model.jsonl"), *faults)

    def model(self, *flags: str) -> str:
        """Where a model is served."""
        return str(_first_line(self.start("model.py", "--port", "0", *flags))["url"])

    def start(self, program: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """One of the example's programs."""
        return self._process([sys.executable, str(SHOP / program), *arguments], **variables)

    async def serve(self, *flags: str) -> None:
        """The gateway: at the same port and on the same store, however often it is started."""
        port = self.url.rpartition(":")[2] or "0"
        flags = ("--store", str(self.store), "--base-url", self.model_url, "--port", port, *flags)
        self._gateway = self.drawbar("serve", "--config", str(SHOP / "drawbar.toml"), *flags)
        self.url = await anyio.to_thread.run_sync(_served_at, self._gateway)

    async def kill(self) -> None:
        """SIGKILL the gateway."""
        assert self._gateway is not None
        self._gateway.kill()
        await anyio.to_thread.run_sync(self._gateway.communicate)
        assert self._gateway.returncode == -signal.SIGKILL
        self.kills += 1

    async def stop(self) -> None:
        """Ask the gateway to end, as its owner would."""
        assert self._gateway is not None
        self._gateway.terminate()
        await anyio.to_thread.run_sync(self._gateway.communicate)
        assert self._gateway.returncode == 0

    def drawbar(self, *arguments: str) -> subprocess.Popen[str]:
        variables = {"SHOP_TOOLS_URL": self.tools_url, "SHOP_TOOLS_TIMEOUT": str(TIMEOUT)}
        return self._process([sys.executable, "-c", PROGRAM, *arguments], **variables)

    async def told(self, *arguments: str, may_fail: bool = False) -> Any:
        """What a command of drawbar's says in JSON. `may_fail`: it may end with status 1."""
        process = self.drawbar(*arguments, "--json", "--store", str(self.store))
        output, _ = await anyio.to_thread.run_sync(process.communicate)
        assert process.returncode in (0, int(may_fail)), f"{arguments}: {output[-2000:]}\n{self.errors[-2000:]}"
        return json.loads(output)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what other processes do."""
        with anyio.fail_after(PATIENCE):
            while True:
                if condition():
                    return
                await anyio.sleep(0.02)

    def hire(self, number: int, customers: Sequence[Mapping[str, Any]], at_once: int) -> subprocess.Popen[str]:
        """A process of the agent's, that serves these customers."""
        path = self.folder / f"customers{number}.jsonl"
        path.write_text("".join(json.dumps(customer) + "\n" for customer in customers))
        arguments = ["--tools", f"{self.url}/mcp/shop_support", "--customers", str(path), "--at-once", str(at_once)]
        log = ["--log", str(self.folder / f"agent{number}.jsonl")]
        variables = {"OPENAI_BASE_URL": f"{self.url}/v1", "OPENAI_API_KEY": "sk-shop"}
        return self.start("agent.py", *arguments, *log, **variables)

    def _process(self, command: list[str], **variables: str) -> subprocess.Popen[str]:
        with (self.folder / "errors.txt").open("a") as errors:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=self.folder,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **variables},
            )  # fmt: skip
        self._stack.callback(_end, process)
        return process


def _first_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "it did not become ready"
    told: dict[str, Any] = json.loads(line)
    return told


def _served_at(gateway: subprocess.Popen[str]) -> str:
    """Where it says that it serves."""
    assert gateway.stdout is not None
    for line in gateway.stdout:
        if line.startswith("drawbar serves "):
            return line.split()[2].removesuffix("/v1")
    raise AssertionError("the gateway did not become ready")


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


@pytest.fixture
def works(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Works]:
    """A shop and its model, running; a gateway is started by the test. The parameter is the seed of the model's faults,
    if it is to fail."""
    with ExitStack() as stack:
        made = Works(tmp_path, stack, getattr(request, "param", None))
        made.open_shop()
        made.open_model()
        yield made
