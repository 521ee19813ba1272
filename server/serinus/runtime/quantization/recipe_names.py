"""What the recipes are called: all that the server's own process knows of them, since their tools load slowly."""

import enum
from collections.abc import Iterable

from serinus.core.errors import InvalidInput


class RecipeName(enum.StrEnum):
    """The ways to quantize, in the order in which they are tried.

    FLOAT: the model as it is, which the others are compared with. DYNAMIC_MATMUL: int8 weights of matrix
    multiplications, ranges of activations found in each run. DYNAMIC_ALL: the same for convolutions and recurrences
    too. STATIC_QDQ_TENSOR, STATIC_QDQ_CHANNEL: int8 with ranges from the calibration data, one scale for each tensor,
    or for each channel of the weights. STATIC_QOPERATOR: the same in the older format. STATIC_QDQ_EXCLUDE: static,
    without the operators that lose by it. FP16: half precision, but for inputs and outputs.
    """

    FLOAT = "float"
    DYNAMIC_MATMUL = "dynamic-matmul"
    DYNAMIC_ALL = "dynamic-all"
    STATIC_QDQ_TENSOR = "static-qdq-tensor"
    STATIC_QDQ_CHANNEL = "static-qdq-channel"
    STATIC_QOPERATOR = "static-qoperator"
    STATIC_QDQ_EXCLUDE = "static-qdq-exclude"
    FP16 = "fp16"


def chosen_recipes(names: Iterable[str]) -> tuple[RecipeName, ...]:
    """The recipes of these names in the order in which they are tried, without FLOAT; all of them for no name.

    Raises:
        InvalidInput: there is no recipe of that name.
    """
    wanted = set()
    for name in names:
        if name not in set(RecipeName):
            raise InvalidInput(
                f"unknown recipe {name[:64]!r}: expected one of {', '.join(RecipeName)}",
                reason="INVALID_RECIPE",
                field="recipes",
            )
        wanted.add(name)
    return tuple(name for name in RecipeName if name is not RecipeName.FLOAT and (not wanted or name in wanted))
