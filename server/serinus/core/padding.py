"""How rows of different lengths are filled up to the longest, and how each gets back what it would have had alone."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from serinus.core.predictor import Tensor, Tensors


@dataclasses.dataclass(frozen=True, slots=True)
class Fill:
    """How one input is made longer.

    Attributes:
        axis: Which axis, not the batch axis.
        value: What the new positions hold.
    """

    axis: int
    value: float


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """How one output is made shorter again.

    Attributes:
        axis: Which axis, not the batch axis.
        ratio: Positions of the output for each position of the inputs.
    """

    axis: int
    ratio: Fraction = Fraction(1)

    def positions(self, length: int) -> int:
        """How long the output of inputs of `length` is; `length` is a multiple of the ratio's denominator."""
        return length * self.ratio.numerator // self.ratio.denominator


@dataclasses.dataclass(frozen=True)
class Padding:
    """How calls to one model may be made as long as each other.

    Attributes:
        fills: By the name of the input; at least one. All of them are equally long in a call that can be padded.
        cuts: By the name of the output.
    """

    fills: Mapping[str, Fill]
    cuts: Mapping[str, Cut]

    @functools.cached_property
    def step(self) -> int:
        """Lengths that are no multiple of this are not padded: nobody knows how long their outputs would be."""
        return math.lcm(*[cut.ratio.denominator for cut in self.cuts.values()])

    def length(self, inputs: Tensors) -> int | None:
        """How long the inputs are that can be filled; None for a call that must not be padded."""
        found: int | None = None
        for name, fill in self.fills.items():
            tensor = inputs.get(name)
            if tensor is None:
                continue
            length = tensor.shape[fill.axis]
            if found is None:
                found = length
            elif length != found:
                return None
        return None if found is None or found % self.step else found


def joined(tensors: Sequence[Tensor], batch_axis: int, fill: Fill) -> Tensor:
    """The rows of all tensors in one array, each filled up to the longest; other axes are equal."""
    first = tensors[0]
    shape = list(first.shape)
    shape[batch_axis] = sum([tensor.shape[batch_axis] for tensor in tensors])
    shape[fill.axis] = max([tensor.shape[fill.axis] for tensor in tensors])
    whole = np.full(shape, fill.value, first.dtype)
    place = [slice(None)] * len(shape)
    start = 0
    for tensor in tensors:
        stop = start + tensor.shape[batch_axis]
        place[batch_axis] = slice(start, stop)
        place[fill.axis] = slice(tensor.shape[fill.axis])
        whole[tuple(place)] = tensor
        start = stop
    return whole


def shortened(tensor: Tensor, axis: int, positions: int) -> Tensor:
    """A view of the first `positions` along `axis`."""
    return tensor[(slice(None),) * axis + (slice(positions),)]
