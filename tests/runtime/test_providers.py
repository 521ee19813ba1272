"""The hardware that a model is to run on."""

import pytest

from serinus.core.errors import ModelRejected
from serinus.runtime.providers import check_granted, resolve_providers

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["cpu"], [CPU]),
        (["CUDA", "cpu"], [CUDA, CPU]),
        (["tensorrt", "cuda", CPU, "cpu"], [TENSORRT, CUDA, CPU]),
    ],
)
def test_short_and_full_names_are_known(wanted, expected):
    """Order is kept, repetitions are not."""
    assert resolve_providers(wanted, [TENSORRT, CUDA, CPU]) == expected


def test_a_missing_provider_is_an_error_that_names_the_cure():
    """What this build has and what to install stand in the message."""
    with pytest.raises(ModelRejected) as caught:
        resolve_providers(["cuda"], [CPU])
    assert caught.value.reason == "PROVIDER_MISSING"
    assert caught.value.message.split("; ") == [
        "the provider 'CUDAExecutionProvider' is not available: this onnxruntime has CPUExecutionProvider",
        "install onnxruntime-gpu in place of onnxruntime, with the CUDA libraries it was built for",
    ]


@pytest.mark.parametrize("wanted", [["warp"], []])
def test_an_unknown_provider_is_an_error(wanted):
    """Nonsense is not silently the CPU."""
    with pytest.raises(ModelRejected) as caught:
        resolve_providers(wanted)
    assert caught.value.reason == "PROVIDER_MISSING"


def test_a_silent_fallback_is_an_error():
    """A session that got less than it asked for is refused."""
    check_granted([CUDA], [CUDA, CPU])
    with pytest.raises(ModelRejected) as caught:
        check_granted([CUDA, CPU], [CPU])
    assert caught.value.reason == "PROVIDER_MISSING"
