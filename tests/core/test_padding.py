"""Rows that are made as long as each other, and cut back."""

from fractions import Fraction

import numpy as np
import pytest

from serinus.core.padding import Cut, Fill, Padding, joined, shortened

TOKENS = Padding({"ids": Fill(1, 9), "mask": Fill(1, 0)}, {"each": Cut(1)})
STEPS = Padding({"x": Fill(2, 0.5)}, {"y": Cut(2, Fraction(1, 8)), "z": Cut(1, Fraction(2, 3))})


def test_rows_are_filled_up_to_the_longest():
    """Each keeps its place and its type; a call may have several rows, or none."""
    whole = joined(
        [np.array([[1, 2]], np.int32), np.zeros((0, 7), np.int32), np.array([[3], [4]], np.int32)], 0, Fill(1, 9)
    )
    assert (whole.dtype, whole.tolist()) == (np.int32, [[1, 2, *[9] * 5], [3, *[9] * 6], [4, *[9] * 6]])


def test_rows_may_stand_on_another_axis():
    """The batch axis behind the padded one, and one that both share between them."""
    parts = [np.full((2, 3, 1), 1.0), np.full((1, 3, 2), 2.0)]
    assert joined(parts, 2, Fill(0, -1.0)).tolist() == [[[1.0, 2.0, 2.0]] * 3, [[1.0, -1.0, -1.0]] * 3]


@pytest.mark.parametrize(
    ("padding", "shapes", "length"),
    [
        (TOKENS, {"ids": (2, 5), "mask": (2, 5)}, 5),
        (TOKENS, {"ids": (2, 5), "other": (2, 8)}, 5),
        (TOKENS, {"ids": (1, 0), "mask": (1, 0)}, 0),
        (TOKENS, {"ids": (2, 5), "mask": (2, 6)}, None),
        (TOKENS, {"other": (2, 5)}, None),
        (STEPS, {"x": (1, 1, 48)}, 48),
        (STEPS, {"x": (1, 1, 40)}, None),
    ],
)
def test_a_call_is_padded_if_its_own_length_is_one_number(padding, shapes, length):
    """And if its outputs would be whole positions long."""
    assert padding.length({name: np.zeros(shape) for name, shape in shapes.items()}) == length


def test_outputs_are_a_share_of_the_inputs_length():
    """As long, an eighth, two thirds; only views are made."""
    assert (TOKENS.step, STEPS.step) == (1, 24)
    assert [cut.positions(48) for cut in (*TOKENS.cuts.values(), *STEPS.cuts.values())] == [48, 6, 32]
    whole = np.arange(12).reshape(2, 6)
    assert shortened(whole, 1, 2).tolist() == [[0, 1], [6, 7]]
    assert shortened(whole, 1, 2).base is whole.base
