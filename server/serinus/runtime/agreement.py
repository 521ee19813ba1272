"""Says when a row of a joint run has given what it gives alone."""

from collections.abc import Sequence

import numpy as np

from serinus.core.predictor import Tensor
from serinus.core.signature import TensorSpec

RELATIVE, ABSOLUTE = 1e-2, 1e-3  # what another order of summation may change, half precision included


def agree(spec: TensorSpec, joined: Sequence[Tensor], alone: Sequence[Tensor]) -> bool:
    """Whether the output `spec` of each row of a joint run is what that row gives alone, in its shape too."""
    for got, expected in zip(joined, alone, strict=True):
        if got.shape != expected.shape:
            return False
        if not (_close(got, expected) if spec.dtype.is_float else np.array_equal(got, expected)):
            return False
    return True


def _close(got: Tensor, expected: Tensor) -> bool:
    wide_got, wide_expected = got.astype(np.float64), expected.astype(np.float64)
    # Outputs that are small throughout, such as the shares of thousands of classes, need a finer measure.
    finite = np.abs(wide_expected[np.isfinite(wide_expected)])
    absolute = max(1e-6, min(ABSOLUTE, RELATIVE * float(finite.max(initial=0.0))))
    return np.allclose(wide_got, wide_expected, rtol=RELATIVE, atol=absolute, equal_nan=True)
