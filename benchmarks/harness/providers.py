"""The execution providers that a person names, found usable before minutes are spent on servers that cannot start."""

import tempfile
from pathlib import Path

import onnxruntime

from harness.models import tiny
from serinus.runtime.providers import check_granted, resolve_providers


def usable(names: str) -> tuple[str, ...]:
    """Onnxruntime's names of "cuda,cpu" and the like; () for "".

    Raises:
        ModelRejected: this onnxruntime lacks one, or a session does not get it.
    """
    if not names:
        return ()
    wanted = resolve_providers([name.strip() for name in names.split(",") if name.strip()])
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what it lacks is said below
        # A build for GPUs has their providers on any machine; only a session shows whether there is one.
        session = onnxruntime.InferenceSession(tiny(Path(folder)), options, providers=wanted)
    check_granted(wanted, session.get_providers())
    return (*wanted,)
