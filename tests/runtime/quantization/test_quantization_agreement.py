"""How far answers are apart."""

import numpy as np
import pytest

from serinus.runtime.quantization.agreement import PERFECT, Agreement, Incomparable, compare


def rows(*values, dtype=np.float32):
    return [{"y": np.array([each], dtype)} for each in values]


def test_the_same_answers_agree_perfectly():
    """Nothing differs."""
    assert compare(rows([1, 2], [4, 3]), rows([1, 2], [4, 3])) == PERFECT


def test_a_row_whose_largest_element_moved_counts_against_the_argmax():
    """One of two rows has its largest output elsewhere."""
    agreement = compare(rows([1, 2], [4, 3]), rows([2, 1], [4, 3]))
    assert agreement == Agreement(0.5, pytest.approx(0.8), 1.0)


def test_single_numbers_are_compared_over_all_rows():
    """The cosine of two single numbers is 1 whatever they are; over all rows it tells wrong from right."""
    assert compare(rows([1], [0], [5]), rows([0], [1], [0])).min_cosine == 0.0
    assert compare(rows([1], [2]), rows([2], [4])).min_cosine == pytest.approx(1.0)


def test_zeros_agree_with_zeros_and_with_nothing_else():
    """There is no direction to compare."""
    assert compare(rows([0, 0]), rows([0, 0])).min_cosine == 1.0
    assert compare(rows([0, 0]), rows([0, 1])).min_cosine == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_new_nonfinite_values_reject_a_form(bad):
    """A form that answers NaN where the float model answers a number is broken."""
    with pytest.raises(Incomparable, match="NaN or an infinity"):
        compare(rows([1, 2]), rows([1, bad]))


def test_nonfinite_values_of_the_float_model_itself_count_for_nothing():
    """What the float model leaves open cannot be compared."""
    assert compare(rows([1, np.nan]), rows([1, 7])) == PERFECT


def test_another_shape_or_type_rejects_a_form():
    """Such answers cannot stand for each other."""
    with pytest.raises(Incomparable, match=r"'y' is float32 \[1, 3\] where the float model's is float32 \[1, 2\]"):
        compare(rows([1, 2]), rows([1, 2, 3]))
    with pytest.raises(Incomparable, match="'y' is float64"):
        compare(rows([1, 2]), rows([1, 2], dtype=np.float64))


@pytest.mark.parametrize(("dtype", "same", "other"), [(np.int64, 3, 4), (np.object_, b"yes", b"no"), (np.bool_, 1, 0)])
def test_what_is_not_a_float_must_be_the_same(dtype, same, other):
    """Classes and texts have no distance."""
    assert compare(rows([same], dtype=dtype), rows([same], dtype=dtype)) == PERFECT
    assert compare(rows([same], dtype=dtype), rows([other], dtype=dtype)) == Agreement(0.0, 1.0, 0.0)


def test_the_worst_of_two_agreements_takes_the_worse_of_each_number():
    """Alone and joined, the worse counts."""
    assert Agreement(1.0, 0.9, 0.1).worst(Agreement(0.5, 0.95, 0.3)) == Agreement(0.5, 0.9, 0.3)
