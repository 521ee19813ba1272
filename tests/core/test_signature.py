"""What a model takes and gives."""

import pytest

from serinus.core.dtypes import DType
from serinus.core.signature import Signature, TensorSpec

ROWS = TensorSpec("x", DType.FP32, ("n", 8), 0)
SECOND = TensorSpec("state", DType.FP32, (2, "n", 4), 1)
LENGTHS = TensorSpec("tokens", DType.INT64, ("n", "length"), 0)
SCALAR = TensorSpec("rate", DType.INT64, ())
FIXED = TensorSpec("weights", DType.FP32, (3, 2))
OPTIONAL = TensorSpec("offset", DType.FP32, ("n", 1), 0, optional=True)


@pytest.mark.parametrize(
    ("spec", "shape"), [(ROWS, (-1, 8)), (SECOND, (2, -1, 4)), (LENGTHS, (-1, -1)), (SCALAR, ()), (FIXED, (3, 2))]
)
def test_the_wire_shows_minus_one_for_what_each_call_chooses(spec: TensorSpec, shape: tuple[int, ...]):
    """Axes have no names there."""
    assert spec.wire_shape == shape


def test_tensors_are_found_by_name_and_keep_their_order():
    """That of the model file."""
    signature = Signature((SECOND, ROWS), (LENGTHS, FIXED))
    assert signature.input == {"state": SECOND, "x": ROWS}
    assert list(signature.input) == ["state", "x"]
    assert signature.output == {"tokens": LENGTHS, "weights": FIXED}
    assert signature.output_names == ("tokens", "weights")


@pytest.mark.parametrize(
    ("inputs", "outputs", "is_batched"),
    [
        ((ROWS,), (ROWS,), True),
        ((ROWS, SCALAR), (ROWS, SECOND), True),  # an input that all rows share
        ((SECOND,), (ROWS,), True),
        ((FIXED,), (ROWS,), False),
        ((ROWS,), (ROWS, SCALAR), False),  # whose output would it be?
        ((), (ROWS,), False),
        ((ROWS,), (), True),
    ],
)
def test_calls_can_be_joined_when_rows_go_in_and_every_output_has_them(
    inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], *, is_batched: bool
):
    """Each output must be cut into the calls' parts."""
    assert Signature(inputs, outputs).is_batched is is_batched


@pytest.mark.parametrize(
    ("inputs", "has_one_shape"),
    [
        ((ROWS, SECOND), True),
        ((ROWS, LENGTHS), False),
        ((ROWS, SCALAR), False),  # two calls may send two values
        ((ROWS, FIXED), False),
        ((ROWS, OPTIONAL), False),  # one call may leave it out
        ((), True),
    ],
)
def test_any_two_calls_can_be_joined_when_only_rows_are_free(inputs: tuple[TensorSpec, ...], *, has_one_shape: bool):
    """Then nobody needs to compare shapes, call by call."""
    assert Signature(inputs, (ROWS,)).has_one_shape is has_one_shape
