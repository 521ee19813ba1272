"""What a server loads before it has anything to do."""

import subprocess
import sys


def test_a_server_starts_without_scipy():
    """Seventeen megabytes and a third of a second, which only rollouts need."""
    code = "import sys; import serinus.app.server; print(*{'scipy', 'scipy.special'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []
