"""The litellm proxy as a process of its own. Runs in the peer's environment."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_START_LIMIT = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("upstream")
    arguments = parser.parse_args()
    entry = {"model": "openai/scripted", "api_base": f"{arguments.upstream}/v1", "api_key": "none"}
    key = f"sk-{secrets.token_hex(16)}"
    config = {
        "model_list": [{"model_name": "scripted", "litellm_params": entry}],
        "general_settings": {"master_key": key},
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(json.dumps(config))
        command = [str(Path(sys.executable).parent / "litellm"), "--config", str(path)]
        command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as proxy:
            _wait_for(port, proxy)
            print(json.dumps({"url": f"http://127.0.0.1:{port}", "keys": [key]}), flush=True)
            proxy.wait()


def _wait_for(port: int, proxy: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_LIMIT
    while time.monotonic() < deadline and proxy.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("The litellm proxy did not start.")


if __name__ == "__main__":
    main()
