"""Close the loop: evaluate a tiny model, train it on rollouts that drawbar exports, evaluate it again.

pip install -e '.[train]'
python -m examples.close_the_loop            # some minutes on two cores
python -m examples.close_the_loop --short    # smaller, for a first look
"""

import argparse
import asyncio
import logging
import os
import sys
import time
import warnings
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.close_the_loop", description=__doc__.partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="less of everything")
    parser.add_argument("--folder", type=Path, default=Path("close-the-loop"), help="for the store, models and report")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if (options.folder / "report.json").exists():
        sys.exit(f"{options.folder} holds a report already: name another --folder, or remove it.")
    options.folder.mkdir(parents=True, exist_ok=True)
    _quiet()
    try:
        import torch
        from examples.close_the_loop.report import write_report
        from examples.close_the_loop.stages import SHORT, Loop, Sizes
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is missing. Install what training needs: pip install -e '.[train]'")
    torch.set_num_threads(1)  # threads that wait for each other cost more than matrices as small as these
    began, sizes = time.monotonic(), SHORT if options.short else Sizes()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {what}", flush=True)

    stages = asyncio.run(Loop(options.folder.resolve(), sizes, seed=options.seed, say=say).go())
    seconds = time.monotonic() - began
    write_report(options.folder, stages, tasks=sizes.held_out, seed=options.seed, seconds=seconds)
    say(f"{options.folder / 'report.md'} and curve.png are written")


def _quiet() -> None:
    """Progress bars and remarks of the libraries would bury ours."""
    os.environ |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
    warnings.simplefilter("ignore", FutureWarning)
    logging.getLogger("trl").setLevel(logging.ERROR)


if __name__ == "__main__":
    main()
