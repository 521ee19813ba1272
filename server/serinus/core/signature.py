"""What a model takes and gives: names, element types, shapes, and which axis counts rows."""

import dataclasses
import functools
from collections.abc import Mapping

from serinus.core.dtypes import DType

Dim = int | str
"""A fixed length, or the name of one that each request chooses."""


@dataclasses.dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: As the model file names it.
        dtype: Element type.
        shape: Every axis, the batch axis included; () is a scalar.
        batch_axis: The axis along which requests may be joined, or None if the tensor has none.
        optional: The model has a default for it.
    """

    name: str
    dtype: DType
    shape: tuple[Dim, ...]
    batch_axis: int | None = None
    optional: bool = False

    @property
    def wire_shape(self) -> tuple[int, ...]:
        """The shape with -1 for each length that a request chooses."""
        return tuple(dim if isinstance(dim, int) else -1 for dim in self.shape)


@dataclasses.dataclass(frozen=True)
class Signature:
    """What a model takes and gives, in the order of the model file."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @functools.cached_property
    def input(self) -> Mapping[str, TensorSpec]:
        """The inputs by name."""
        return {spec.name: spec for spec in self.inputs}

    @functools.cached_property
    def output(self) -> Mapping[str, TensorSpec]:
        """The outputs by name."""
        return {spec.name: spec for spec in self.outputs}

    @functools.cached_property
    def output_names(self) -> tuple[str, ...]:
        """All output names, in order."""
        return tuple(spec.name for spec in self.outputs)

    @functools.cached_property
    def is_batched(self) -> bool:
        """Whether requests can be joined: some input and every output has a batch axis."""
        return any(spec.batch_axis is not None for spec in self.inputs) and all(
            spec.batch_axis is not None for spec in self.outputs
        )

    @functools.cached_property
    def open_axes(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Of each input that has any, the axes whose length each call chooses, without the batch axis."""
        axes = (
            (spec.name, tuple(a for a, dim in enumerate(spec.shape) if a != spec.batch_axis and isinstance(dim, str)))
            for spec in self.inputs
        )
        return tuple((name, found) for name, found in axes if found)

    @functools.cached_property
    def has_one_shape(self) -> bool:
        """Whether any two valid requests can be joined, because only the batch axis is free."""
        return all(
            spec.batch_axis is not None
            and all(isinstance(dim, int) for axis, dim in enumerate(spec.shape) if axis != spec.batch_axis)
            and not spec.optional
            for spec in self.inputs
        )
