"""What a server counts of itself, read from its /metrics."""

import re
import urllib.request

from harness.processes import ServerProcess

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_TIMEOUT_S = 10.0


def counted(server: ServerProcess, name: str, *, model: str) -> float:
    """The sum of a counter over all versions of a model, and over its other labels; 0 where there is none."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/metrics", timeout=_TIMEOUT_S) as answer:
        text = answer.read().decode()
    return sum(
        float(value) for found, labels, value in _SAMPLE.findall(text) if found == name and f'model="{model}"' in labels
    )
