import subprocess
import sys
from pathlib import Path

import peers

_KEEPER = Path(peers.__file__).parent / "keeper.py"
_DAEMON = "import os, signal, time; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(60)"
_PARENT = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {_DAEMON!r}], start_new_session=True)"


def test_a_daemon_does_not_outlive_the_server_that_left_it():
    """It has a session of its own, has lost its parent, and does not listen to SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, str(_KEEPER), sys.executable, "-c", f"{_PARENT}; time.sleep(60)"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    daemon = int(process.stdout.readline())
    assert Path(f"/proc/{daemon}").exists()

    process.terminate()

    process.wait(10)
    process.stdout.close()
    assert not Path(f"/proc/{daemon}").exists()
