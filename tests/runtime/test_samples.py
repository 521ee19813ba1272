"""Warm-up calls as they were described."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from serinus.config.models import ModelOptions
from serinus.core.errors import ModelRejected
from serinus.runtime.samples import sample_inputs

SOURCE = Path("model.onnx")


def sampled(max_batch_size: int | None = None, rows: int = 1, **inputs: Any) -> dict[str, Any]:
    sample = {"name": "s", "rows": rows, "inputs": inputs}
    return dict(sample_inputs(ModelOptions(max_batch_size=max_batch_size, warm_up=[sample]), SOURCE))


def test_no_sample_leaves_it_to_the_model():
    """The runtime invents inputs then."""
    assert sample_inputs(ModelOptions(), SOURCE) == {}


@pytest.mark.parametrize(
    ("dtype", "numpy"),
    [("FP32", np.float32), ("INT8", np.int8), ("BOOL", np.bool_), ("BF16", ml_dtypes.bfloat16)],
)
def test_a_sample_of_zeros(dtype: str, numpy: type):
    """The batch axis leads when the model has one."""
    (tensor,) = sampled(8, 3, x={"dtype": dtype, "dims": [2], "fill": "zero"}).values()
    assert (tensor.dtype, tensor.shape, np.count_nonzero(tensor)) == (np.dtype(numpy), (3, 2), 0)


@pytest.mark.parametrize("max_batch_size", [None, 0])
def test_a_sample_of_a_model_without_declared_rows_is_whole(max_batch_size: int | None):
    """Its dims are all of its axes."""
    (tensor,) = sampled(max_batch_size, 3, x={"dtype": "FP32", "dims": [4, 2]}).values()
    assert tensor.shape == (4, 2)


def test_a_sample_of_random_values_is_the_same_each_time():
    """Fractions for floats; for the others 0, which is valid as an index."""
    described = {"dtype": "FP16", "dims": [100], "fill": "random"}
    first, second = sampled(x=described)["x"], sampled(x=described)["x"]
    assert (first.dtype, first.tolist()) == (np.float16, second.tolist())
    assert 0 <= first.min() < first.max() <= 1
    assert not sampled(x={"dtype": "INT64", "dims": [3], "fill": "random"})["x"].any()


def test_a_sample_of_strings_is_empty_strings():
    """Not numbers."""
    assert sampled(x={"dtype": "BYTES", "dims": [2]})["x"].tolist() == [b"", b""]


def test_a_sample_may_lie_in_a_file(tmp_path: Path):
    """Raw, as on the wire."""
    (tmp_path / "x").write_bytes(np.array([[1.5], [2.5]], np.float32).tobytes())
    (tmp_path / "t").write_bytes(b"\x02\x00\x00\x00hi")
    found = sampled(
        8,
        2,
        x={"dtype": "FP32", "dims": [1], "fill": "file", "file": tmp_path / "x"},
    )
    assert found["x"].tolist() == [[1.5], [2.5]]
    assert sampled(t={"dtype": "BYTES", "dims": [1], "fill": "file", "file": tmp_path / "t"})["t"].tolist() == [b"hi"]


@pytest.mark.parametrize("content", [b"\x00" * 7, None])
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, content: bytes | None):
    """Or that is not there; the sentence names no folder."""
    if content is not None:
        (tmp_path / "x").write_bytes(content)
    with pytest.raises(ModelRejected) as refused:
        sampled(x={"dtype": "FP32", "dims": [2], "fill": "file", "file": tmp_path / "x"})
    assert refused.value.message == "warm-up input 'x': its data file does not hold FP32 [2]"


@pytest.mark.parametrize("fill", ["zero", "random"])
@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ([2**26 + 1], "warm-up inputs: expected at most 268435456 bytes that are not in files, got 268435460"),
        ([2**40], "warm-up input 'x': expected at most 2147483647 elements, got shape [1099511627776]"),
        ([0, 2**62], "warm-up input 'x': expected at most 2147483647 elements, got shape [0, 4611686018427387904]"),
    ],
)
def test_a_sample_that_would_take_all_memory_is_refused(fill: str, dims: list[int], message: str):
    """Clients may send configurations."""
    with pytest.raises(ModelRejected) as refused:
        sampled(x={"dtype": "FP32", "dims": dims, "fill": fill})
    assert refused.value.message == message
