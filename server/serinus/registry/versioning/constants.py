"""Whether an answer that is always the same is one that a model's callers could have got from the model."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from serinus.core.dtypes import DType
from serinus.core.signature import Dim, Signature
from serinus.core.traffic import Constant

_MOST_VALUES: Final = 65_536
"""Of one output; it is kept in the registry and in every snapshot of it, and longer ones are mistakes."""


def constant_problem(constant: Constant, signature: Signature) -> str:
    """Why `constant` is no answer that `signature` promises, in a sentence without its full stop; "" if it is one."""
    if missing := [name for name in signature.output_names if name not in constant.outputs]:
        return f"output {missing[0][:64]!r} is missing"
    if unknown := sorted(constant.outputs.keys() - signature.output.keys()):
        return f"there is no output {unknown[0][:64]!r}"
    lengths: dict[Dim, int] = {}
    for spec in signature.outputs:
        output = f"output {spec.name[:64]!r}"
        dims = [dim for axis, dim in enumerate(spec.shape) if axis != spec.batch_axis]
        try:
            shape, values = _measured(constant.outputs[spec.name], len(dims))
        except ValueError as error:
            return f"{output}: {error}"
        if problem := _length_problem(dims, shape, signature, lengths) or _value_problem(spec.dtype, values):
            return f"{output}: {problem}"
    return ""


def _measured(value: object, axes: int) -> tuple[Sequence[int], Sequence[object]]:
    """How long nested lists are along each axis, and what is in the innermost."""
    shape: list[int] = []
    level: list[object] = [value]
    for _ in range(axes):
        lists = [each for each in level if isinstance(each, list)]
        if len(lists) < len(level) or len({len(each) for each in lists}) > 1:
            raise ValueError(f"expected one row, lists that are nested {axes} deep and equally long at each depth")
        shape.append(len(lists[0]) if lists else 0)
        if len(lists) * shape[-1] > _MOST_VALUES:
            raise ValueError(f"expected at most {_MOST_VALUES} values")
        level = [each for inner in lists for each in inner]
    return shape, level


def _length_problem(dims: Sequence[Dim], shape: Sequence[int], signature: Signature, known: dict[Dim, int]) -> str:
    """What is wrong with the lengths; those of free axes are added to `known`, by name."""
    for axis, (dim, length) in enumerate(zip(dims, shape, strict=True)):
        if isinstance(dim, int):
            if dim != length:
                return f"expected length {dim} along axis {axis} of a row, got {length}"
        elif dim in _dims_of_inputs(signature):
            return f"axis {axis} of a row is as long as an axis of the inputs is, which no constant can be"
        elif known.setdefault(dim, length) != length:
            return f"axis {axis} of a row is as long as another output's axis, {known[dim]}, got {length}"
    return ""


def _dims_of_inputs(signature: Signature) -> Iterator[Dim]:
    return (dim for spec in signature.inputs for dim in spec.shape)


def _value_problem(dtype: DType, values: Sequence[object]) -> str:
    match dtype:
        case DType.BOOL:
            is_fit, expected = all(isinstance(value, bool) for value in values), "true or false"
        case DType.BYTES:
            is_fit, expected = all(isinstance(value, str) for value in values), "texts"
        case _:
            kind = "finite" if dtype.is_float else "whole"
            is_fit, expected = _are_numbers(dtype, values), f"{kind} numbers that {dtype} can hold"
    return "" if is_fit else f"expected {expected}"


def _are_numbers(dtype: DType, values: Sequence[object]) -> bool:
    kinds = (int, float) if dtype.is_float else (int,)
    if any(isinstance(value, bool) or not isinstance(value, kinds) for value in values):
        return False
    try:
        with np.errstate(over="ignore"):
            held = np.array(values, np.float64 if dtype.is_float else dtype.numpy).astype(dtype.numpy)
    except OverflowError:  # a whole number that is too large
        return False
    return not dtype.is_float or bool(np.isfinite(held.astype(np.float64)).all())
