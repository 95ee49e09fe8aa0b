"""The example that trains a model on what drawbar exports, as its README runs it, smaller."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("trl")

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_model_gets_better_at_held_out_tasks_by_what_is_exported_of_its_training_tasks(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.close_the_loop", "--short", "--folder", str(tmp_path / "loop")]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    base, taught, practised = json.loads((tmp_path / "loop/report.json").read_text())
    assert base["high"] < taught["low"], "the base model was not worse"
    assert taught["reward"] + 0.05 < practised["reward"]
    assert practised["trained_on"] > taught["trained_on"] > 0
    assert (tmp_path / "loop/curve.png").read_bytes().startswith(b"\x89PNG")
    assert f"{practised['reward']:.3f}" in (tmp_path / "loop/report.md").read_text()
