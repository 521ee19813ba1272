"""How long a call is: the one number, beside its rows, that the cost of a run depends on."""

import math

from serinus.core.predictor import Tensors
from serinus.core.signature import Signature


def length_of(signature: Signature, inputs: Tensors) -> int:
    """Positions of one row along the axes that calls choose: tokens of a text, pixels of an image, samples of a sound.

    The product of those axes' lengths, of the input where it is largest; 1 for a model whose calls choose none. Of
    joined and padded inputs it is the padded length.
    """
    length = 1
    for name, axes in signature.open_axes:
        tensor = inputs.get(name)
        if tensor is not None:
            length = max(length, math.prod([tensor.shape[axis] for axis in axes]))
    return length
