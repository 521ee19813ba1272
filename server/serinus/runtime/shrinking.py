"""Lets a session give back what trials have made it keep: onnxruntime's arena is as large as its largest run was.

After the trials of a load, which join rows, a session of a 3 MiB model held 7 MiB that single calls never need.
"""

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it ships no types

from serinus.core.signature import Signature
from serinus.runtime.invocation import choose_invocation
from serinus.runtime.options import SessionOptions
from serinus.runtime.providers import resolve_providers
from serinus.runtime.session import Session
from serinus.runtime.synthetic import synthetic_row
from serinus.runtime.warmup import LENGTHS


def shrink(session: Session, signature: Signature, options: SessionOptions) -> bool:
    """Give back what lies free in the arena at the end of a run of one row, which this makes; whether it was done.

    Only on the processor: a device's memory is nobody else's meanwhile. Blocks for as long as the run takes.
    """
    if resolve_providers(options.providers) != ["CPUExecutionProvider"]:
        return False
    shrinking = onnxruntime.RunOptions()
    shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    invoke, names = choose_invocation(signature), list(signature.output_names)
    for length in LENGTHS:
        row = synthetic_row(signature, row=0, length=length, samples=options.samples, rng=np.random.default_rng(0))
        try:
            invoke(session, names, row, shrinking)
        except Exception:  # noqa: BLE001, S112 - onnxruntime's share no base class; the next length may do
            continue
        return True
    return False
