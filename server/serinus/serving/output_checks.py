"""Tells answers that cannot be meant: NaN, infinities, values out of range."""

from collections.abc import Mapping

import numpy as np

from serinus.core.dtypes import dtype_of
from serinus.core.predictor import Response, Tensor, Tensors


class OutputCheck:
    """What the outputs of a model may hold.

    Attributes:
        ranges: Lowest and highest value allowed, by output. Outputs without one are only expected to be finite, text
            is not looked at.
    """

    def __init__(self, ranges: Mapping[str, tuple[float, float]]) -> None:
        self._ranges = tuple(ranges.items())

    def is_invalid(self, response: Response) -> bool:
        """Whether an answer cannot be meant. Looks at no tensor if there is nothing to be found in it."""
        outputs = response.outputs
        # The count is of the whole run: it may be a neighbour's row that is not finite.
        if response.nonfinite_rows and not all(_is_finite(tensor) for tensor in outputs.values()):
            return True
        return bool(self._ranges) and not self._are_in_range(outputs)

    def _are_in_range(self, outputs: Tensors) -> bool:
        return all(_is_between(outputs[name], *bounds) for name, bounds in self._ranges if name in outputs)


def _is_finite(tensor: Tensor) -> bool:
    return not dtype_of(tensor).is_float or bool(np.isfinite(tensor).all())


def _is_between(tensor: Tensor, lowest: float, highest: float) -> bool:
    if tensor.dtype == np.object_ or not tensor.size:
        return True
    # Not `min < lowest`: NaN compares false, and is in no range.
    return bool(tensor.min() >= lowest and tensor.max() <= highest)
