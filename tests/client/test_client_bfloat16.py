"""BF16 by bit arithmetic equals BF16 by a package."""

import ml_dtypes
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serinus_client import bfloat16


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=64))
def test_any_float32_rounds_as_ml_dtypes_rounds_it(bits):
    """All bit patterns: ties, subnormals, infinities, and NaNs by being NaN."""
    values = np.array(bits, np.uint32).view(np.float32)
    ours = bfloat16.to_float32(bfloat16.from_float32(values))
    with np.errstate(invalid="ignore"):
        theirs = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(ours, theirs)


def test_every_bfloat16_survives_the_way_there_and_back():
    """Widening and rounding again changes nothing."""
    bits = np.arange(2**16, dtype="<u2")
    wide = bfloat16.to_float32(bits)
    kept = ~np.isnan(wide)
    np.testing.assert_array_equal(bfloat16.from_float32(wide)[kept], bits[kept])
    assert np.isnan(bfloat16.to_float32(bfloat16.from_float32(wide[~kept]))).all()


def test_a_scalar_stays_a_scalar():
    """Shape () survives."""
    assert bfloat16.from_float32(np.array(1.0, np.float32)).shape == ()
