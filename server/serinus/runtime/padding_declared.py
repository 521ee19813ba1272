"""What is declared of padding, and whether a model's signature allows for it."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from serinus.config.models import DeclaredFill
from serinus.core.dtypes import DType
from serinus.core.padding import Fill
from serinus.core.signature import Signature, TensorSpec


@dataclasses.dataclass(frozen=True, slots=True)
class DeclaredPadding:
    """What an operator or an author says.

    Attributes:
        fills: By input name; {} if nothing is declared.
        cuts: Axis by output name.
    """

    fills: Mapping[str, Fill]
    cuts: Mapping[str, int]


NOT_DECLARED = DeclaredPadding({}, {})


def declared_padding(padding: Mapping[str, DeclaredFill], unpadding: Mapping[str, int]) -> DeclaredPadding:
    """What a configuration says, in the words of `core`."""
    return DeclaredPadding({name: Fill(said.axis, said.value) for name, said in padding.items()}, unpadding)


def contradiction(signature: Signature, declared: DeclaredPadding) -> str:
    """Why a model cannot be padded as declared; "" if its signature does not speak against it."""
    for name, fill in declared.fills.items():
        spec = signature.input.get(name)
        if spec is None:
            return f"the model has no input {name[:64]!r}"
        if found := _of_input(spec, fill):
            return found
    for name, axis in declared.cuts.items():
        spec = signature.output.get(name)
        if spec is None:
            return f"the model has no output {name[:64]!r}"
        if found := _of_axis(spec, axis, "output"):
            return found
    return _of_company(signature, declared)


def _of_input(spec: TensorSpec, fill: Fill) -> str:
    if spec.batch_axis is None:
        return f"the input {spec.name!r} has no rows"
    if spec.dtype is DType.BYTES:
        return f"the input {spec.name!r} holds text"
    if found := _of_axis(spec, fill.axis, "input"):
        return found
    with np.errstate(all="ignore"):
        filling = float(np.array([fill.value]).astype(spec.dtype.numpy).astype(np.float64)[0])
    if not spec.dtype.is_float and filling != fill.value:
        return f"the input {spec.name!r} is {spec.dtype}, which has no {fill.value:g}"
    return ""


def _of_axis(spec: TensorSpec, axis: int, kind: str) -> str:
    if axis < len(spec.shape) and axis != spec.batch_axis and isinstance(spec.shape[axis], str):
        return ""
    return f"calls do not choose the length of axis {axis} of the {kind} {spec.name!r} {list(spec.wire_shape)}"


def _of_company(signature: Signature, declared: DeclaredPadding) -> str:
    """What is as long as a padded input must be padded too, or only equal lengths could be joined."""
    names = {signature.input[name].shape[fill.axis]: name for name, fill in declared.fills.items()}
    for spec in signature.inputs:
        fill = declared.fills.get(spec.name)
        for axis, dim in enumerate(spec.shape):
            says = isinstance(dim, str) and any(letter.isalnum() for letter in dim)  # "?" may stand for anything
            if says and dim in names and (fill is None or fill.axis != axis) and not spec.optional:
                return f"axis {axis} of the input {spec.name!r} is as long as the input {names[dim]!r}, and not padded"
    return ""
