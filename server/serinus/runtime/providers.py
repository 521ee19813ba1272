"""Which hardware onnxruntime may use, by the names that people write; what is asked for and missing is an error."""

from collections.abc import Sequence

import onnxruntime  # type: ignore[import-untyped]  # it ships no types

from serinus.core.errors import ModelRejected

_SHORT = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_NEEDS_GPU_BUILD = frozenset({"CUDAExecutionProvider", "TensorrtExecutionProvider"})


def resolve_providers(wanted: Sequence[str], available: Sequence[str] | None = None) -> list[str]:
    """The names that onnxruntime has for `wanted`, in the same order, each once.

    Args:
        wanted: "cpu", "cuda", "tensorrt", or onnxruntime's own names.
        available: What this build has; asked of onnxruntime when None.

    Raises:
        ModelRejected: PROVIDER_MISSING, because this build of onnxruntime lacks one.
    """
    present = onnxruntime.get_available_providers() if available is None else available
    names = list(dict.fromkeys(_SHORT.get(name.lower(), name) for name in wanted))
    if not names:
        raise ModelRejected("no provider is named: expected cpu, cuda or tensorrt", reason="PROVIDER_MISSING")
    for name in names:
        if name not in present:
            raise _missing(name, present)
    return names


def check_granted(wanted: Sequence[str], granted: Sequence[str]) -> None:
    """Make sure that a session runs on what was asked for; onnxruntime falls back without a word.

    Raises:
        ModelRejected: PROVIDER_MISSING, because the session did not get one.
    """
    for index, name in enumerate(wanted):
        if index >= len(granted) or granted[index] != name:
            raise _missing(name, granted)


def _missing(name: str, present: Sequence[str]) -> ModelRejected:
    cure = (
        "; install onnxruntime-gpu in place of onnxruntime, with the CUDA libraries it was built for"
        if name in _NEEDS_GPU_BUILD
        else ""
    )
    return ModelRejected(
        f"the provider {name[:64]!r} is not available: this onnxruntime has {', '.join(present)}{cure}",
        reason="PROVIDER_MISSING",
    )
