"""onnxruntime keeps what it knows to itself."""

import os
import subprocess
import sys
from pathlib import Path


def test_importing_the_runtime_leaves_nothing_in_the_home_folder(tmp_path: Path):
    """It would make a database there, of what it means to send."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run(
        [sys.executable, "-c", "import serinus.runtime.session"],
        env=environment | {"HOME": str(tmp_path), "XDG_CACHE_HOME": ""},
        check=True,
    )
    assert list(tmp_path.rglob("*")) == []
