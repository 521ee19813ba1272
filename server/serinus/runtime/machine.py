"""What the cost of a run depends on besides the model: where it runs, and on what."""

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import onnxruntime  # type: ignore[import-untyped]  # it ships no types


def machine_fingerprint(*, threads: int, providers: Sequence[str], cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """SHA-256, in hexadecimal, of all that is known of this machine's speed; equal where costs may be compared.

    Args:
        threads: Runs at once.
        providers: Execution providers, most wanted first.
        cpuinfo: Where Linux describes its processors.
    """
    facts = {
        "processor": _processor(cpuinfo),
        "cores": os.cpu_count(),
        "threads": threads,
        "providers": list(providers),
        "onnxruntime": onnxruntime.__version__,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _processor(cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())
