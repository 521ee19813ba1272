"""Inputs out of nothing."""

import numpy as np
import pytest

from serinus.core.dtypes import DType
from serinus.core.signature import Signature, TensorSpec
from serinus.runtime.synthetic import has_open_lengths, synthetic_row


def takes(*shape: int | str, batch_axis: int | None = 0, optional: bool = False) -> Signature:
    return Signature((TensorSpec("x", DType.FP32, shape, batch_axis, optional=optional),), ())


@pytest.mark.parametrize(
    ("signature", "shape"),
    [
        (takes("N", 3), (1, 3)),
        (takes("N", "L", 3), (1, 16, 3)),
        (takes(2, "N", "L", batch_axis=1), (2, 1, 16)),
        (takes("N", 3, batch_axis=None), (16, 3)),
        (takes(batch_axis=None), ()),
    ],
)
def test_shapes_follow_the_signature(signature, shape):
    """The batch axis is 1, other open lengths as told."""
    made = synthetic_row(signature, row=0, length=16, samples={}, rng=np.random.default_rng(0))
    assert {name: array.shape for name, array in made.items()} == {"x": shape}


@pytest.mark.parametrize(
    ("signature", "samples", "expected"),
    [
        (takes("N", 3), {}, False),
        (takes("N", "L"), {}, True),
        (takes("N", "L"), {"x": np.zeros((1, 3))}, False),
        (takes("L", batch_axis=None), {}, True),
        (takes("L", batch_axis=None, optional=True), {}, False),
    ],
)
def test_lengths_are_guessed_only_where_nothing_says_them(signature, samples, expected):
    """The batch axis, samples and what may be left out need no guess."""
    assert has_open_lengths(signature, samples) is expected


def test_optional_inputs_are_left_out_unless_a_sample_is_given():
    """Their default is as good as any invention."""
    signature = takes(2, batch_axis=None, optional=True)
    rng = np.random.default_rng(0)
    assert synthetic_row(signature, row=0, length=8, samples={}, rng=rng) == {}
    sample = {"x": np.zeros(2, np.float32)}
    assert synthetic_row(signature, row=5, length=8, samples=sample, rng=rng) == sample
