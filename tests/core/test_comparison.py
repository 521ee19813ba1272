"""When two answers to the same call count as the same, and what tells them apart otherwise."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serinus.core.comparison import Difference, compare, cosines
from serinus.core.traffic import Likeness, Measure

VALUES = Likeness(Measure.VALUES, absolute=0.1, relative=0.1)
COSINE = Likeness(Measure.COSINE, cosine=0.9)
CLASS = Likeness(Measure.CLASS)
ROWS = {"y": 0}


def apart(baseline, candidate, likeness=VALUES, *, dtype=np.float32, row_axes=ROWS):
    """What tells two answers of one output `y` apart."""
    return compare({"y": np.array(baseline, dtype)}, {"y": np.array(candidate, dtype)}, likeness, row_axes)


def test_what_is_within_the_tolerance_is_the_same():
    """The absolute part and the relative part add up."""
    assert apart([[10, -10]], [[11, -11]]) is None
    assert apart([[10, -10]], [[11.2, -11]]) == Difference(
        "y",
        Measure.VALUES,
        pytest.approx(1.2, rel=1e-6),
        "output 'y' differs by 1.2 at [0, 0]: the baseline has 10, at most 1.1 from it is allowed, the candidate has"
        " 11.2",
    )


def test_the_worst_row_decides_by_cosine():
    """One row that points elsewhere is not outvoted by the others."""
    assert apart([[1, 0], [0, 2]], [[2, 0.1], [0, 1]], COSINE) is None
    assert apart([[1, 0], [0, 2]], [[2, 0.1], [1, 0]], COSINE) == Difference(
        "y", Measure.COSINE, 0.0, "output 'y': the cosine of row 1 is 0, at least 0.9 is allowed"
    )


def test_the_class_of_each_row_decides_by_class():
    """However far the numbers are apart; all axes but the batch axis are one."""
    assert apart([[[1, 2], [3, 4]]], [[[0, 0], [0, 9]]], CLASS) is None
    assert apart([[1, 2], [4, 3], [5, 6]], [[1, 2], [3, 4], [6, 5]], CLASS) == Difference(
        "y",
        Measure.CLASS,
        2.0,
        "output 'y': 2 of 3 rows are of another class; row 1 is of 0 by the baseline, of 1 by the candidate",
    )


def test_rows_lie_along_the_batch_axis():
    """Wherever it is; an output without one is one row."""
    baseline, candidate = [[1, 4], [2, 3]], [[1, 9], [2, 3]]
    assert apart(baseline, candidate, CLASS, row_axes={"y": 1}) is None
    assert apart(np.transpose([[1, 2], [4, 3]]), np.transpose([[1, 2], [3, 4]]), CLASS, row_axes={"y": 1}).number == 1.0
    assert apart([[1, 2], [3, 4]], [[2, 1], [3, 4]], CLASS, row_axes={"y": None}) is None


@pytest.mark.parametrize("likeness", [COSINE, CLASS])
def test_single_numbers_are_compared_by_value(likeness):
    """They have neither a direction nor a class."""
    assert apart([[1], [2]], [[1], [2]], likeness) is None
    assert apart([[1], [2]], [[1], [3]], likeness).measure is Measure.VALUES
    assert apart(1.0, 2.0, likeness, row_axes={}).measure is Measure.VALUES


@pytest.mark.parametrize("likeness", [VALUES, COSINE, CLASS])
@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_must_be_so_on_both_sides(likeness, strange):
    """The same at the same place is no difference."""
    assert apart([[strange, 1, 2]], [[strange, 1, 2]], likeness) is None
    found = apart([[1, 9, 2]], [[1, strange, 2]], likeness)
    # Infinity is the largest number there is, so that it leaves a class as it was where the largest was before.
    assert (found is None) == (likeness is CLASS and strange == np.inf)


def test_a_row_of_nan_is_of_no_class():
    """Its largest element would otherwise stand at the first place."""
    assert apart([[9, 1]], [[np.nan, np.nan]], CLASS) == Difference(
        "y", Measure.CLASS, 1.0, "output 'y' holds NaN or an infinity on one side alone"
    )


@pytest.mark.parametrize(
    ("dtype", "baseline", "candidate", "sentence"),
    [
        (np.int64, [[1, 2]], [[1, 3]], "1 of 2 elements differ; at [0, 1] the baseline has 2, the candidate 3"),
        (np.bool_, [[True]], [[False]], "1 of 1 elements differ; at [0, 0] the baseline has True, the candidate False"),
        (np.object_, [b"yes"], [b"no"], "1 of 1 elements differ; at [0] the baseline has b'yes', the candidate b'no'"),
    ],
)
def test_what_is_no_float_must_be_the_same(dtype, baseline, candidate, sentence):
    """No tolerance makes 3 of a 2."""
    for likeness in (VALUES, COSINE, CLASS):
        assert apart(baseline, baseline, likeness, dtype=dtype) is None
        assert apart(baseline, candidate, likeness, dtype=dtype) == Difference(
            "y", None, 1.0, f"output 'y': {sentence}"
        )


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.float64])
def test_every_float_is_one(dtype):
    """bfloat16 too, which numpy does not count among them."""
    assert apart([[1.0, 100]], [[1.05, 104]], dtype=dtype) is None
    assert apart([[1.0, 100]], [[1.5, 100]], dtype=dtype).number == 0.5


def test_another_shape_type_or_no_output_at_all_differs():
    """There is nothing to compare; what the candidate has besides is not looked at."""
    x = np.zeros((1, 2), np.float32)
    assert compare({"y": x}, {"y": x, "z": x}, VALUES, ROWS) is None
    for candidate, sentence in (
        ({"z": x}, "output 'y' is missing"),
        ({"y": x[:, :1]}, "output 'y' is float32 [1, 1], the baseline's is float32 [1, 2]"),
        ({"y": x.astype(np.float64)}, "output 'y' is float64 [1, 2], the baseline's is float32 [1, 2]"),
    ):
        assert compare({"y": x}, candidate, VALUES, ROWS) == Difference("y", None, 0.0, sentence)


def test_the_first_output_that_differs_is_named():
    """In the order of the baseline."""
    one, two = np.array([[1.0, 0.0]]), np.array([[2.0, 0.0]])
    found = compare({"a": one, "b": one, "c": one}, {"c": two, "b": two, "a": one}, VALUES, {})
    assert found is not None
    assert found.output == "b"


@pytest.mark.parametrize("likeness", [VALUES, COSINE, CLASS])
def test_no_rows_are_the_same(likeness):
    """An empty answer can be right."""
    assert apart(np.zeros((0, 3)), np.zeros((0, 3)), likeness) is None


floats = arrays.arrays(
    np.float32, arrays.array_shapes(max_dims=3, max_side=4), elements=st.floats(width=32, allow_nan=True)
)


@given(floats, st.sampled_from([VALUES, COSINE, CLASS]), st.sampled_from([None, 0]))
def test_every_answer_is_the_same_as_itself(tensor, likeness, axis):
    """Whatever it holds."""
    assert compare({"y": tensor}, {"y": tensor.copy()}, likeness, {"y": axis}) is None


@given(floats, floats, st.sampled_from([VALUES, COSINE, CLASS]))
def test_inputs_are_left_alone_and_no_answer_is_too_strange(one, other, likeness):
    """Comparing raises nothing and writes nothing."""
    one.flags.writeable = other.flags.writeable = False
    found = compare({"y": one}, {"y": other}, likeness, ROWS)
    assert found is None or len(found.sentence) < 300


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e300])
def test_no_length_is_too_short_or_too_long_for_a_direction(scale):
    """The square of none is formed."""
    left, right = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]]), np.array([[4.0, 3.0], [0.0, 0.0], [0.0, 1.0]])
    assert cosines(left * scale, right * scale).tolist() == [pytest.approx(0.96), 1.0, 0.0]
