"""A constant has the element types that the model would have given, and as many rows as were asked for."""

import ml_dtypes
import numpy as np
import pytest

from serinus.core.dtypes import DType
from serinus.core.predictor import Request, Tensors
from serinus.core.signature import Signature, TensorSpec
from serinus.core.traffic import Constant
from serinus.serving.fallback.constant_answers import ConstantAnswers
from tests.support.fakes import FAR, spec

CLASSES = Signature(
    (spec("x", "n", 2, dtype=DType.FP32),),
    (
        spec("label", "n", dtype=DType.BYTES),
        spec("scores", "n", 2, dtype=DType.FP32),
        TensorSpec("version", DType.INT64, (1,), None),
    ),
)
CONSTANT = Constant({"label": "unknown", "scores": [0.25, 0.75], "version": [7]})


def answer(
    *outputs: str, rows: int = 2, constant: Constant = CONSTANT, signature: Signature = CLASSES, **inputs: np.ndarray
) -> Tensors | None:
    """What a call gets."""
    x = inputs or {"x": np.zeros((rows, 2), np.float32)}
    return ConstantAnswers(constant, signature).answer(Request(x, FAR, outputs=outputs))


def check(found: Tensors | None, expected: Tensors) -> None:
    """The same tensors, in the same order."""
    assert found is not None
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].tolist()) == (tensor.dtype, tensor.tolist())


def test_each_row_gets_the_same():
    """What has no batch axis stands there once."""
    expected = {
        "label": np.array([b"unknown", b"unknown"], np.object_),
        "scores": np.array([[0.25, 0.75], [0.25, 0.75]], np.float32),
        "version": np.array([7], np.int64),
    }
    check(answer(), expected)


def test_a_call_gets_the_outputs_that_it_wants():
    """In its order; none of none."""
    expected = {"scores": np.zeros((0, 2), np.float32), "label": np.zeros(0, np.object_)}
    check(answer("scores", "label", rows=0), expected)


def test_an_output_that_it_does_not_have_is_no_answer():
    """Nor is a half one."""
    assert answer(constant=Constant({"label": "unknown"})) is None
    assert answer("label", "nothing") is None


@pytest.mark.parametrize(
    "inputs",
    [
        {"x": np.zeros((2, 2), np.float32), "z": np.zeros((3, 2), np.float32)},
        {"x": np.zeros((), np.float32)},
    ],
)
def test_inputs_that_do_not_fit_get_no_answer(inputs: dict[str, np.ndarray]):
    """Nobody has validated a call whose version was not asked."""
    both = Signature((*CLASSES.inputs, spec("z", "n", 2, dtype=DType.FP32)), CLASSES.outputs)
    assert answer(signature=both, **inputs) is None


@pytest.mark.parametrize(("label", "rows"), [("unknown", 1 << 30), ("long " * 1000, 1 << 20)])
def test_a_call_of_many_empty_rows_gets_no_answer(label: str, rows: int):
    """It would be larger than anything that was sent."""
    constant = Constant({"label": label, "scores": [0.25, 0.75], "version": [7]})
    assert answer("label", constant=constant, x=np.zeros((rows, 0), np.float32)) is None


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        (DType.FP32, 1, np.array([1.0], np.float32)),
        (DType.BF16, 0.5, np.array([0.5], ml_dtypes.bfloat16)),
        (DType.UINT8, 255, np.array([255], np.uint8)),
        (DType.INT64, -1, np.array([-1], np.int64)),
        (DType.BOOL, True, np.array([True])),
        (DType.BYTES, "é", np.array(["é".encode()], np.object_)),
    ],
)
def test_json_becomes_the_outputs_element_type(dtype: DType, value: object, expected: np.ndarray):
    """Exactly."""
    signature = Signature(CLASSES.inputs, (spec("y", "n", dtype=dtype),))
    check(answer(rows=1, constant=Constant({"y": value}), signature=signature), {"y": expected})


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (DType.FP32, "1"),
        (DType.FP32, [1.0]),
        (DType.FP32, None),
        (DType.FP32, [[1.0], 2.0]),
        (DType.UINT8, 256),
        (DType.UINT8, -1),
        (DType.INT64, 0.5),
        (DType.INT64, 1 << 80),
        (DType.BOOL, 1),
        (DType.BYTES, 1),
    ],
)
def test_what_does_not_fit_is_refused(dtype: DType, value: object):
    """Its kind, its range, or its shape."""
    signature = Signature(CLASSES.inputs, (spec("y", "n", dtype=dtype),))
    with pytest.raises(ValueError, match=r"expected|inhomogeneous"):
        ConstantAnswers(Constant({"y": value}), signature)
