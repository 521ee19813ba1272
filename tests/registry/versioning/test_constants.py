"""Which constant answers a model's callers could have got from the model."""

import pytest

from serinus.core.dtypes import DType
from serinus.core.signature import Dim, Signature, TensorSpec
from serinus.core.traffic import Constant
from serinus.registry.versioning.constants import constant_problem


def problem(value: object, dtype: DType = DType.FP32, shape: tuple[Dim, ...] = ("n", 2)) -> str:
    """Of a constant for the only output, whose first axis is the batch axis if it is called n."""
    batch_axis = shape.index("n") if "n" in shape else None
    inputs = (TensorSpec("x", DType.FP32, ("n", "width"), 0),)
    signature = Signature(inputs, (TensorSpec("y", dtype, shape, batch_axis),))
    return constant_problem(Constant({"y": value}), signature)


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        ([0.5, 1], DType.FP32, ("n", 2)),
        ([0.5, 1], DType.FP64, (2, "n")),
        (7, DType.INT64, ("n",)),
        (-(2**63), DType.INT64, ()),
        (255, DType.UINT8, ("n",)),
        (65504, DType.FP16, ("n",)),
        (1.5, DType.BF16, ("n",)),
        (True, DType.BOOL, ("n",)),
        ("ü", DType.BYTES, ("n",)),
        ([["a"], ["b"]], DType.BYTES, ("n", 2, 1)),
        ([], DType.FP32, ("n", "boxes")),
        ([[1, 2, 3]], DType.INT32, ("n", 1, "boxes")),
        ([[], []], DType.INT32, (2, "boxes")),
    ],
)
def test_an_answer_that_fits(value: object, dtype: DType, shape: tuple[Dim, ...]):
    """One row without its batch axis, or all of an output that has none."""
    assert problem(value, dtype, shape) == ""


@pytest.mark.parametrize(
    ("value", "dtype", "shape", "sentence"),
    [
        (0.5, DType.FP32, ("n", 2), "lists that are nested 1 deep"),
        ([[1.0], [2.0]], DType.FP32, ("n", 2), "finite numbers that FP32 can hold"),
        ([1.0], DType.FP32, ("n", 2), "expected length 2 along axis 0 of a row, got 1"),
        ([[1], [1, 2]], DType.FP32, ("n", 2, "boxes"), "equally long at each depth"),
        ([1.0] * 65_537, DType.FP32, ("n", "boxes"), "at most 65536 values"),
        ([1.0, 2.0], DType.FP32, ("n", "width"), "as long as an axis of the inputs is"),
        ([float("nan"), 0], DType.FP32, ("n", 2), "finite numbers that FP32 can hold"),
        ([float("inf"), 0], DType.FP32, ("n", 2), "finite numbers that FP32 can hold"),
        ([1e39, 0], DType.FP32, ("n", 2), "finite numbers that FP32 can hold"),
        ([10**400, 0], DType.FP64, ("n", 2), "finite numbers that FP64 can hold"),
        (1e39, DType.BF16, ("n",), "finite numbers that BF16 can hold"),
        (True, DType.FP32, ("n",), "finite numbers that FP32 can hold"),
        ("1", DType.FP32, ("n",), "finite numbers that FP32 can hold"),
        (1.0, DType.INT64, ("n",), "whole numbers that INT64 can hold"),
        (2**63, DType.INT64, ("n",), "whole numbers that INT64 can hold"),
        (-1, DType.UINT8, ("n",), "whole numbers that UINT8 can hold"),
        (True, DType.INT64, ("n",), "whole numbers that INT64 can hold"),
        (1, DType.BOOL, ("n",), "expected true or false"),
        (1, DType.BYTES, ("n",), "expected texts"),
        (None, DType.BYTES, ("n",), "expected texts"),
    ],
)
def test_an_answer_that_does_not_fit(value: object, dtype: DType, shape: tuple[Dim, ...], sentence: str):
    """The sentence names the output and what was expected."""
    found = problem(value, dtype, shape)
    assert found.startswith("output 'y': ")
    assert sentence in found


def test_an_answer_has_all_outputs_and_no_other():
    """Callers may ask for any of them."""
    specs = tuple(TensorSpec(name, DType.FP32, ("n", "boxes"), 0) for name in ("y", "z"))
    signature = Signature((TensorSpec("x", DType.FP32, ("n", 4), 0),), specs)
    assert constant_problem(Constant({"y": [1, 2], "z": [3, 4]}), signature) == ""
    assert constant_problem(Constant({"y": [1, 2]}), signature) == "output 'z' is missing"
    assert constant_problem(Constant({"y": [1], "z": [1], "a": 0}), signature) == "there is no output 'a'"
    assert constant_problem(Constant({"y": [1, 2], "z": [3]}), signature) == (
        "output 'z': axis 0 of a row is as long as another output's axis, 2, got 1"
    )
