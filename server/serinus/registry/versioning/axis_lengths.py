"""What changed lengths of axes mean for callers: which are fixed, which are free, and which must be the same.

The question is what happens to the calls that fitted before. Each gives every axis of an input a length: the old fixed
one, or one for each name of a free one. An input breaks them if it does not take these lengths; an output breaks them
if it is not as long as they were promised.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Final

from serinus.core.signature import Dim, Signature, TensorSpec
from serinus.registry.records import ChangeLevel

Difference = tuple[ChangeLevel, str]
"""What a difference demands, and what it is, in a sentence."""

_ROWS: Final = "\0rows"  # the name of the length that all batch axes share; no model file has it


@dataclasses.dataclass(frozen=True, slots=True)
class _Axis:
    """An axis of a tensor that both signatures have.

    Attributes:
        title: For sentences.
        old: Its length: a number, or a name for a free one.
        new: The same, now.
        is_given: Every call that fitted before has the tensor.
    """

    title: str
    old: Dim
    new: Dim
    is_given: bool


def length_differences(old: Signature, new: Signature) -> Iterator[Difference]:
    """What differs in the lengths of tensors that both have with as many axes."""
    old_rows, new_rows = _names_of_rows(old), _names_of_rows(new)
    inputs = list(_common("input", old.input, new.input, old_rows, new_rows))
    outputs = list(_common("output", old.output, new.output, old_rows, new_rows))
    yield from _of_inputs(inputs)
    yield from _of_outputs(inputs, outputs)


def _names_of_rows(signature: Signature) -> frozenset[Dim]:
    specs = (*signature.inputs, *signature.outputs)
    return frozenset(spec.shape[spec.batch_axis] for spec in specs if spec.batch_axis is not None)


def _common(
    kind: str,
    old: Mapping[str, TensorSpec],
    new: Mapping[str, TensorSpec],
    old_rows: frozenset[Dim],
    new_rows: frozenset[Dim],
) -> Iterator[_Axis]:
    for name, spec in old.items():
        other = new.get(name)
        if other is not None and len(spec.shape) == len(other.shape):
            for index, (before, after) in enumerate(zip(spec.shape, other.shape, strict=True)):
                # A model whose rows came to depend on each other, as quantizing can make them, is not joined any more;
                # that it gives as many rows as it gets is as true as it was.
                is_row_still = not new_rows and index == spec.batch_axis and isinstance(after, str)
                yield _Axis(
                    title=f"axis {index} of {kind} {name[:64]!r}",
                    old=_length(before, old_rows),
                    new=_ROWS if is_row_still else _length(after, new_rows),
                    is_given=not spec.optional,
                )


def _length(dim: Dim, rows: frozenset[Dim]) -> Dim:
    return _ROWS if isinstance(dim, str) and dim in rows else dim


def _of_inputs(inputs: list[_Axis]) -> Iterator[Difference]:
    first_with_new: dict[Dim, _Axis] = {}
    first_with_old: dict[Dim, _Axis] = {}
    for axis in inputs:
        match axis.old, axis.new:
            case int() as before, int() as after if before != after:
                yield ChangeLevel.MAJOR, f"{axis.title} had length {before} and has length {after} now"
            case str(), int() as after:
                yield ChangeLevel.MAJOR, f"{axis.title} was free and has length {after} now"
            case int() as before, str():
                yield ChangeLevel.MINOR, f"{axis.title} had length {before} and is free now"
        if isinstance(axis.new, str):
            other = first_with_new.setdefault(axis.new, axis)
            if other.old != axis.old:
                yield ChangeLevel.MAJOR, f"{axis.title} must be as long as {other.title} now"
        if isinstance(axis.old, str) and isinstance(axis.new, str):
            other = first_with_old.setdefault(axis.old, axis)
            if other.new != axis.new:
                yield ChangeLevel.MINOR, f"{axis.title} need not be as long as {other.title} any more"


def _of_outputs(inputs: list[_Axis], outputs: list[_Axis]) -> Iterator[Difference]:
    # Which new names stand for an old name; which pairs do in every call; what a new name is as long as in old calls.
    new_names: dict[Dim, set[Dim]] = {}
    for axis in inputs:
        new_names.setdefault(axis.old, set()).add(axis.new)
    given = {(axis.old, axis.new) for axis in inputs if axis.is_given}
    always: dict[Dim, Dim] = {
        axis.new: _old(axis.old) for axis in inputs if axis.is_given and isinstance(axis.new, str)
    }
    first_input = {axis.old: axis for axis in reversed(inputs)}
    first_output: dict[Dim, _Axis] = {}
    for axis in outputs:
        # What it was as long as is still what it is as long as: in every call, or in each that has any of it.
        if isinstance(axis.new, int):
            is_kept = axis.old == axis.new
        else:
            is_kept = (axis.old, axis.new) in given or (
                isinstance(axis.old, str) and new_names.get(axis.old) == {axis.new}
            )
        if is_kept:
            continue
        now = f"has length {axis.new} now" if isinstance(axis.new, int) else "is free now"
        # 1. It was always the same. 2. It was as long as an input. 3. Only the answer told its length.
        if isinstance(axis.old, int):
            yield ChangeLevel.MAJOR, f"{axis.title} had length {axis.old} and {now}"
        elif (like := first_input.get(axis.old)) is not None:
            yield ChangeLevel.MAJOR, f"{axis.title} was as long as {like.title} and {now}"
        else:
            other = first_output.setdefault(axis.old, axis)
            if always.get(other.new, other.new) != always.get(axis.new, axis.new):
                yield ChangeLevel.MAJOR, f"{axis.title} is not as long as {other.title} any more"
            elif isinstance(axis.new, int):
                yield ChangeLevel.PATCH, f"{axis.title} was free and {now}"


def _old(dim: Dim) -> Dim:
    """A length of the old signature among those of the new one: a name that both have means two things."""
    return dim if isinstance(dim, int) else f"\0old {dim}"
