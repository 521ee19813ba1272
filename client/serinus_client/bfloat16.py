"""BF16 without a package for it: the upper half of a float32, by bit arithmetic on whole arrays."""

import numpy as np
import numpy.typing as npt

_QUIET = np.uint16(0x0040)


def from_float32(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Round to the nearest BF16, ties to even. NaN stays NaN; beyond the largest BF16 becomes infinity."""
    bits = values.view(np.uint32)
    # 0x7FFF plus the lowest kept bit carries into the upper half exactly when rounding up is nearer, or a tie is odd.
    lowest_kept = (bits >> np.uint32(16)) & np.uint32(1)
    with np.errstate(over="ignore"):
        rounded = ((bits + np.uint32(0x7FFF) + lowest_kept) >> np.uint32(16)).astype("<u2")
    # The carry would turn some NaNs into infinity or zero; keep their sign and make them quiet.
    truncated = (bits >> np.uint32(16)).astype("<u2") | _QUIET
    return np.where(np.isnan(values), truncated, rounded).astype("<u2", copy=False)


def to_float32(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """Widen; every BF16 is a float32."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
