import subprocess
import sys
from pathlib import Path

import pytest

PROTOS = Path(__file__).parents[2] / "protos"
BUF = Path(sys.executable).with_name("buf")


@pytest.mark.skipif(not BUF.exists(), reason="buf-bin comes with the extra `dev`")
def test_our_protocol_passes_the_standard_rules(tmp_path: Path) -> None:
    """`buf lint` finds nothing beyond the exceptions that buf.yaml gives reasons for."""
    done = subprocess.run(
        [BUF, "lint"],
        check=False,
        capture_output=True,
        text=True,
        cwd=PROTOS,
        env={"BUF_CACHE_DIR": str(tmp_path), "HOME": str(tmp_path)},
        timeout=60,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
