"""Loads and warms up one version, for the process that does nothing else, and measures what that takes."""

import time
from pathlib import Path

from serinus.core.errors import ServerError
from serinus.core.version import ModelVersion, Version
from serinus.runtime.intake_report import IntakeReport, IntakeRequest, Refusal, too_much_memory
from serinus.runtime.model import load_model
from serinus.runtime.native_errors import is_out_of_memory
from serinus.runtime.options import SessionOptions
from serinus.runtime.pool import ComputePool
from serinus.runtime.samples import sample_inputs
from serinus.runtime.sandbox import limit_memory, status_bytes
from serinus.runtime.sources import StagedFolder

_IDENTITY = ModelVersion("examined", Version(1), 1)


def examine(request: IntakeRequest) -> IntakeReport | Refusal:
    """Load, warm up and check against the golden requests, within the memory that the request allows.

    A limit on memory remains: this process can be used for nothing else.
    """
    limit_memory(request.memory_bytes)
    before_bytes = status_bytes("VmRSS")
    started = time.perf_counter()
    source = StagedFolder(Path(request.folder), request.main)
    try:
        options = SessionOptions(
            providers=request.options.providers or request.providers,
            intra_op_threads=request.options.intra_op_threads,
            batching=request.options.batching.enabled,
            batch_axes=request.options.batch_axes,
            padding=request.options.padding,
            unpadding=request.options.unpadding,
            samples=sample_inputs(request.options, source),
            goldens=request.goldens,
            tolerance=request.tolerance,
        )
        # Its threads are not started: all that runs here runs on this one.
        model = load_model(_IDENTITY, source, options, ComputePool(1))
    except ServerError as error:
        if error.reason == "TOO_MUCH_MEMORY":
            return too_much_memory(request.memory_bytes)
        return Refusal(error.message, error.reason, error.field)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return too_much_memory(request.memory_bytes)
    return IntakeReport(
        signature=model.signature,
        notes=model.notes,
        goldens=model.goldens,
        load_s=time.perf_counter() - started,
        peak_bytes=status_bytes("VmHWM"),
        resident_bytes=max(0, status_bytes("VmRSS") - before_bytes),
    )
