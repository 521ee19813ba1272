"""Rows whose outputs are not finite are counted, whatever axis and type they have."""

import ml_dtypes
import numpy as np
import pytest

from serinus.runtime.finite import nonfinite_rows

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("outputs", "axes", "expected"),
    [
        ({"y": np.zeros((3, 2), np.float32)}, {"y": 0}, 0),
        ({"y": np.array([[0, NAN], [1, 1], [-INF, INF]], np.float32)}, {"y": 0}, 2),
        ({"y": np.array([[0, NAN, 1], [1, 1, 1]], np.float16)}, {"y": 1}, 1),
        ({"y": np.array([[INF], [0]]), "z": np.array([[0], [NAN]])}, {"y": 0, "z": 0}, 2),
        ({"y": np.array([[INF], [0]]), "z": np.array([[NAN], [0]])}, {"y": 0, "z": 0}, 1),
        ({"y": np.array([[NAN], [0]], ml_dtypes.bfloat16)}, {"y": 0}, 1),
        ({"y": np.array(NAN)}, {"y": None}, 4),
        ({"y": np.array([1, 2]), "s": np.array([b"nan"], object)}, {"y": 0, "s": 0}, 0),
        ({"y": np.zeros((0, 2), np.float32)}, {"y": 0}, 0),
        ({"y": np.full((1, 3), 3e38, np.float32)}, {"y": 0}, 0),
    ],
)
def test_rows_that_are_not_finite_are_counted_once(outputs, axes, expected):
    """Several bad outputs of one row count once; an output without rows counts for all."""
    assert nonfinite_rows(outputs, axes, 4) == expected
