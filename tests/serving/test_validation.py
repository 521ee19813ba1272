"""What fits a signature, and what is said of what does not."""

import ml_dtypes
import numpy as np
import pytest

from serinus.core.dtypes import DType
from serinus.core.errors import InvalidInput
from serinus.core.predictor import Request, Tensor
from serinus.core.signature import Signature, TensorSpec
from serinus.serving.validation import Validation
from tests.support.fakes import FAR, FakePredictor, spec
from tests.support.virtual_loop import run_virtual

OUTPUTS = (spec("y", "n"), spec("z", "n"))
FOUR = Signature((spec("x", "n", 4, dtype=DType.FP32), spec("ids", "n", "length")), OUTPUTS)
X, IDS = np.zeros((2, 4), np.float32), np.zeros((2, 9), np.int64)
OPTIONAL = Signature((spec("x", "n"), TensorSpec("scale", DType.FP32, (), optional=True)), OUTPUTS)
# As a recurrent model has it: the state's batch axis is its second.
STATE = Signature((spec("x", "n", 3), spec("state", 2, "n", 5, batch_axis=1), spec("rate", batch_axis=None)), OUTPUTS)
ALONE = Signature((spec("x", "n", 3, batch_axis=None),), OUTPUTS)
UNJOINABLE = Signature((spec("x", "n", 3),), (spec("y", "n"), spec("mean", batch_axis=None)))


def rows_of(signature: Signature, *, outputs: tuple[str, ...] = (), finite: bool = False, **inputs: Tensor) -> int:
    """The rows that a call is passed on with."""
    inner = FakePredictor()
    request = Request(inputs, FAR, outputs=outputs, rows=-1)
    run_virtual(Validation(inner, signature=signature, reject_nonfinite=finite).predict(request))
    assert inner.calls == [request]
    return request.rows


def fault(signature: Signature, **call) -> tuple[str, str, str]:
    """Reason, field and message of the refusal."""
    with pytest.raises(InvalidInput) as refused:
        rows_of(signature, **call)
    return refused.value.reason, refused.value.field, refused.value.message


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        # Fault 6: another element type than the model's.
        ({"x": X.astype(np.float64)}, ("WRONG_DTYPE", "x", "input 'x': expected FP32, got FP64")),
        ({"ids": IDS.astype(np.uint64)}, ("WRONG_DTYPE", "ids", "input 'ids': expected INT64, got UINT64")),
        ({"ids": IDS.astype(object)}, ("WRONG_DTYPE", "ids", "input 'ids': expected INT64, got BYTES")),
        # Fault 7: rank, and lengths that are fixed.
        ({"x": X[0]}, ("WRONG_SHAPE", "x", "input 'x': expected shape [-1, 4], got [4]")),
        ({"x": X[:, :3]}, ("WRONG_SHAPE", "x", "input 'x': expected shape [-1, 4], got [2, 3]")),
        ({"x": X[None]}, ("WRONG_SHAPE", "x", "input 'x': expected shape [-1, 4], got [1, 2, 4]")),
        ({"ids": IDS[0, 0]}, ("WRONG_SHAPE", "ids", "input 'ids': expected shape [-1, -1], got []")),
        # Inputs that disagree on the number of rows.
        ({"ids": IDS[:1]}, ("ROWS_DIFFER", "ids", "input 'ids': expected 2 rows as in 'x', got 1")),
        # Fault 20: unknown inputs, however long their names.
        ({"w": X}, ("UNKNOWN_INPUT", "w", "unknown inputs ['w']: expected ['x', 'ids']")),
        ({"w" * 999: X}, ("UNKNOWN_INPUT", "w" * 64, f"unknown inputs ['{'w' * 64}']: expected ['x', 'ids']")),
    ],
)
def test_what_does_not_fit_is_named(inputs: dict[str, Tensor], expected: tuple[str, str, str]):
    """The message has the input, what was expected and what came."""
    assert fault(FOUR, **({"x": X, "ids": IDS} | inputs)) == expected


def test_missing_inputs_are_listed():
    """Fault 18; a missing input is said before an unknown one."""
    assert fault(FOUR, ids=IDS) == ("MISSING_INPUT", "x", "missing inputs ['x']: expected ['x', 'ids']")
    assert fault(FOUR) == ("MISSING_INPUT", "x", "missing inputs ['x', 'ids']: expected ['x', 'ids']")
    assert fault(FOUR, X=X, ids=IDS)[:2] == ("MISSING_INPUT", "x")


def test_many_unknown_inputs_make_a_short_message():
    """What a caller can repeat does not grow the answer."""
    extra = {f"{number:04}": X for number in range(1000)}
    assert len(fault(FOUR, x=X, ids=IDS, **extra)[2]) < 200


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (("y", "w"), ("UNKNOWN_OUTPUT", "w", "unknown outputs ['w']: expected some of ['y', 'z']")),
        (("y", "y"), ("DUPLICATE_OUTPUT", "y", "output 'y': expected at most once, got 2 times")),
        (("z", "y") * 9999, ("DUPLICATE_OUTPUT", "y", "output 'y': expected at most once, got 9999 times")),
    ],
)
def test_outputs_are_known_and_asked_for_once(outputs: tuple[str, ...], expected: tuple[str, str, str]):
    """Fault 21."""
    assert fault(FOUR, x=X, ids=IDS, outputs=outputs) == expected


def test_rows_are_counted_along_the_batch_axis():
    """Wherever it is; tensors without one have no say; zero rows are rows."""
    assert rows_of(FOUR, x=X, ids=IDS, outputs=("z", "y")) == 2
    assert rows_of(FOUR, x=X[:0], ids=IDS[:0]) == 0
    rate = np.array(16000)
    assert rows_of(STATE, x=np.zeros((7, 3), np.int64), state=np.zeros((2, 7, 5), np.int64), rate=rate) == 7
    assert fault(STATE, x=np.zeros((7, 3), np.int64), state=np.zeros((2, 6, 5), np.int64), rate=rate) == (
        "ROWS_DIFFER",
        "state",
        "input 'state': expected 7 rows as in 'x', got 6",
    )
    assert fault(STATE, x=np.zeros((7, 3), np.int64), state=np.zeros((3, 7, 5), np.int64), rate=rate) == (
        "WRONG_SHAPE",
        "state",
        "input 'state': expected shape [2, -1, 5], got [3, 7, 5]",
    )
    assert fault(STATE, x=np.zeros((7, 3), np.int64), state=np.zeros((2, 7, 5), np.int64), rate=rate[None])[2] == (
        "input 'rate': expected shape [], got [1]"
    )


def test_a_model_whose_calls_are_never_joined_has_one_row_a_call():
    """Whether because it has no batch axis or because some output has none."""
    assert rows_of(ALONE, x=np.zeros((5, 3), np.int64)) == 1
    assert rows_of(UNJOINABLE, x=np.zeros((5, 3), np.int64)) == 1


def test_optional_inputs_may_be_left_out():
    """If they come, they have to fit."""
    x = np.zeros(3, np.int64)
    assert rows_of(OPTIONAL, x=x) == 3
    assert rows_of(OPTIONAL, x=x, scale=np.array(1, np.float32)) == 3
    assert fault(OPTIONAL, x=x, scale=np.array(1))[0] == "WRONG_DTYPE"
    assert fault(OPTIONAL, x=x, shift=x) == (
        "UNKNOWN_INPUT",
        "shift",
        "unknown inputs ['shift']: expected ['x', 'scale']",
    )


@pytest.mark.parametrize("dtype", [DType.FP16, DType.BF16, DType.FP32, DType.FP64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_pass_unless_refused(dtype: DType, value: float):
    """Fault 22: the model's operator decides, for every float type."""
    signature = Signature((spec("x", "n", dtype=dtype), spec("ids", "n")), OUTPUTS)
    bad = np.array([1, value, 2], np.float64).astype(dtype.numpy)
    ids = np.zeros(3, np.int64)
    assert rows_of(signature, x=bad, ids=ids) == 3
    assert rows_of(signature, x=bad[:1], ids=ids[:1], finite=True) == 1
    assert fault(signature, x=bad, ids=ids, finite=True) == (
        "NOT_FINITE",
        "x",
        "input 'x': expected finite values, got NaN or infinity",
    )


def test_bfloat16_is_not_uint16():
    """Two bytes each, and never mistaken for one another."""
    signature = Signature((spec("x", "n", dtype=DType.BF16),), OUTPUTS)
    assert rows_of(signature, x=np.zeros(2, ml_dtypes.bfloat16)) == 2
    assert fault(signature, x=np.zeros(2, np.uint16))[2] == "input 'x': expected BF16, got UINT16"
