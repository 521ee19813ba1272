"""Opens onnxruntime sessions, silent and single-threaded by default, and asks how new a model may be."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import onnx
import onnxruntime  # type: ignore[import-untyped]  # it ships no types

from serinus.core.errors import ModelRejected, ServerError
from serinus.runtime.model_file import ModelFile
from serinus.runtime.native_errors import is_out_of_memory, why_refused
from serinus.runtime.options import SessionOptions
from serinus.runtime.providers import check_granted, resolve_providers
from serinus.runtime.signatures import Declares

_SILENT = 4  # fatal only; what goes wrong is raised, and its text holds paths


class Session(Declares, Protocol):
    """What this program uses of `onnxruntime.InferenceSession`; `run` may be called by many threads at once."""

    def run(self, output_names: Sequence[str], input_feed: Mapping[str, Any], run_options: Any, /) -> list[Any]:
        """Outputs as numpy arrays, in the order of `output_names`."""
        ...

    def run_with_ort_values(
        self, output_names: Sequence[str], input_feed: Mapping[str, Any], run_options: Any, /
    ) -> list[Any]:
        """The same with onnxruntime's own tensors."""
        ...


def open_session(file: ModelFile, options: SessionOptions, *, threads: int | None = None) -> Session:
    """A session over the bytes that were checked.

    Args:
        file: Those bytes.
        options: How to run them.
        threads: Inside one run; None leaves it to the options.

    Raises:
        ModelRejected: onnxruntime refuses the model, or lacks what the options ask for.
    """
    providers = resolve_providers(options.providers)
    _check_age(file)
    settings = _settings(threads or options.intra_op_threads)
    if file.external_data:
        buffers = list(file.external_data.values())
        settings.add_external_initializers_from_files_in_memory(
            list(file.external_data), buffers, [len(buffer) for buffer in buffers]
        )
    try:
        session = _create(file.content, settings, providers)
        check_granted(providers, session.get_providers())
    except ServerError:
        raise
    except Exception as error:  # its exceptions share no base class
        if is_out_of_memory(error):
            raise ModelRejected(
                f"the model file {file.name!r} takes more memory than there is", reason="TOO_MUCH_MEMORY"
            ) from error
        raise ModelRejected(
            f"onnxruntime {onnxruntime.__version__} refuses the model file {file.name!r}: {why_refused(error)}"
        ) from error
    return session  # type: ignore[no-any-return]  # onnxruntime ships no types


def _create(content: bytes, settings: Any, providers: Sequence[str]) -> Any:
    # Without the fallback: onnxruntime would print, and go on with another provider than the one asked for.
    session = onnxruntime.InferenceSession(content, settings, providers=providers, enable_fallback=0)
    # It keeps the file's bytes for that fallback, which would double a large model's memory.
    session._model_bytes = None  # noqa: SLF001 - there is no public way
    return session


def _settings(threads: int) -> Any:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _SILENT
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # A thread that spins while it waits burns a core that another model, or the event loop, needs.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return settings


def _check_age(file: ModelFile) -> None:
    if file.ir_version > (newest := newest_ir_version()):
        raise ModelRejected(
            f"the model file {file.name!r} has IR version {file.ir_version}; the newest supported is {newest}",
            reason="MODEL_TOO_NEW",
        )
    opset = file.opsets.get("", 0)
    if opset > (newest := newest_opset()):
        raise ModelRejected(
            f"the model file {file.name!r} needs opset {opset}; the newest supported is {newest}",
            reason="MODEL_TOO_NEW",
        )


@functools.cache
def newest_opset() -> int:
    """The newest version of the standard operators that this onnxruntime loads."""
    return _newest(onnx.defs.onnx_opset_version(), lambda opset: _loads(opset, ir_version=8))


@functools.cache
def newest_ir_version() -> int:
    """The newest version of the file format that this onnxruntime loads."""
    return _newest(int(onnx.IR_VERSION), lambda ir_version: _loads(opset=13, ir_version=ir_version))


def _newest(start: int, works: Callable[[int], bool]) -> int:
    """Found by offering tiny models, down from `start` to one that works or up from there; onnxruntime does not say."""
    version = start
    while version > 1 and not works(version):
        version -= 1
    while version >= start and works(version + 1):
        version += 1
    return version


def _loads(opset: int, ir_version: int) -> bool:
    tensor = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "probe", [tensor], [result])
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=ir_version
    ).SerializeToString()
    try:
        _create(model, _settings(1), ["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001 - its exceptions share no base class
        return False
    return True
