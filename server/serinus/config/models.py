"""What the operator says about one served model."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from serinus.config.fields import ModelName, Number, Providers, Section, Whole
from serinus.core.artifact import Manifest
from serinus.core.dtypes import DType
from serinus.core.version import ModelVersion, Version

LAST_VERSION_NUMBER = 999_999_999  # nine digits: what a part of a semantic version can hold

VersionNumber = Annotated[Whole, Field(ge=1, le=LAST_VERSION_NUMBER)]
Rows = Annotated[Whole, Field(ge=1, le=1 << 20)]
DeclaredDim = Annotated[Whole, Field(ge=-1)]
Length = Annotated[Whole, Field(ge=0)]


class BatchingSpec(Section):
    """How calls to one model are joined into runs.

    Attributes:
        enabled: Whether calls are joined at all.
        max_rows: A run never holds more; the batcher learns by itself where fewer are faster.
        linger_s: Longest wait for more rows while a run could start.
        preferred_rows: Run sizes to round down to when more rows wait, ascending.
    """

    enabled: bool = True
    max_rows: Rows = 256  # past this no model measured gets faster per row, and one run holds its slot too long
    linger_s: Number = Field(default=0.0, ge=0, le=60)  # the next run fills while one computes
    preferred_rows: tuple[Rows, ...] = ()  # none: the learned cost decides

    @model_validator(mode="after")
    def _preferred_rows_fit(self) -> Self:
        if any(rows > self.max_rows for rows in self.preferred_rows):
            raise ValueError(
                f"preferred_rows: expected no size above max_rows = {self.max_rows}, got {list(self.preferred_rows)}"
            )
        if list(self.preferred_rows) != sorted(set(self.preferred_rows)):
            raise ValueError(f"preferred_rows: expected ascending sizes, got {list(self.preferred_rows)}")
        return self


class DeclaredFill(Section):
    """How a variable axis may be filled up, so that calls of different lengths share a run.

    Attributes:
        axis: Which, from 0, the batch axis included.
        value: What it is filled with, such as the token that stands for nothing, or 0 for a mask.
    """

    axis: Whole = Field(ge=0, le=31)
    value: Number = 0


class QueueSpec(Section):
    """How calls to one model wait.

    Attributes:
        max_calls: Calls that may wait at once; one more is refused.
        timeout_s: Longest wait of one call; None leaves it to the call's deadline.
        max_wait_s: Calls are refused while those that come would wait longer than this; None leaves it to deadlines.
        priority_levels: Priorities run from 1, the most urgent, to this; a larger one counts as this.
        default_priority: What a call without a priority gets.
    """

    max_calls: Whole = Field(default=4096, ge=1, le=(1 << 32) - 1)  # a second of a fast model's work
    timeout_s: Number | None = Field(default=None, gt=0, le=86_400)  # the deadline says it better, call by call
    max_wait_s: Number | None = Field(default=None, gt=0, le=86_400)  # a deadline says better what is too long
    priority_levels: Whole = Field(default=9, ge=1, le=65_535)  # few enough to tell apart
    default_priority: Whole = Field(default=5, ge=1, le=65_535)  # the middle: room to be more urgent and less

    @model_validator(mode="after")
    def _default_priority_is_a_level(self) -> Self:
        if self.default_priority > self.priority_levels:
            raise ValueError(
                f"default_priority: expected a whole number from 1 to priority_levels = {self.priority_levels}, "
                f"got {self.default_priority}"
            )
        return self


class TensorDeclaration(Section):
    """What the operator says that an input or output looks like; checked against the model when it loads.

    Attributes:
        name: As the model file names it.
        dtype: Element type.
        dims: Lengths, -1 for one that each call chooses; without the batch axis if the model's `max_batch_size` is
            above 0.
        optional: Whether a call may leave it out.
    """

    name: str = Field(min_length=1)
    dtype: DType
    dims: tuple[DeclaredDim, ...]
    optional: bool = False


class WarmUpInput(Section):
    """One input of a warm-up run.

    Attributes:
        dtype: Element type.
        dims: Lengths, without the batch axis if the model's `max_batch_size` is above 0.
        fill: What it holds.
        file: For fill "file": its raw little-endian contents, laid out as on the wire.
    """

    dtype: DType
    dims: tuple[Length, ...]
    fill: Literal["zero", "random", "file"] = "zero"
    file: Path | None = None

    @model_validator(mode="after")
    def _file_goes_with_fill(self) -> Self:
        if (self.fill == "file") != (self.file is not None):
            raise ValueError(f"file: expected a path exactly when fill = 'file', got fill = {self.fill!r}")
        return self


class WarmUpSample(Section):
    """One call that a version must answer before it counts as ready.

    Attributes:
        name: For the log.
        inputs: Input by name.
        rows: Length of the batch axis.
        runs: How often it is made.
    """

    name: str
    inputs: dict[str, WarmUpInput]
    rows: Rows = 1
    runs: Whole = Field(default=1, ge=1, le=10_000)


class ModelOptions(Section):
    """How a model is served, wherever its files lie.

    Attributes:
        batching: How its calls are joined.
        queue: How its calls wait.
        batch_axes: Batch axis by tensor name, where it is not what the model file suggests.
        padding: How calls of different lengths may share a run, by input name; {} lets only equal lengths share one.
        unpadding: Axis by output name that is as long as the padded inputs, and is cut back for each call.
        instances: Runs at once; None stands for one for each compute thread.
        intra_op_threads: Threads inside one run.
        providers: Execution providers, most wanted first; None stands for the server's.
        reject_nonfinite: Whether NaN and infinities in inputs are refused.
        max_batch_size: Rows in one call, as Triton clients are told; 0 says that there is no batch axis, None that
            nobody declared it.
        inputs: What its inputs should look like; () trusts the model file.
        outputs: The same for outputs.
        warm_up: Calls to make before it is ready; () lets the server invent one.
        labels: Class names by output, in class order, for classification answers.
        parameters: Free text by name, for clients that ask.
    """

    batching: BatchingSpec = BatchingSpec()
    queue: QueueSpec = QueueSpec()
    batch_axes: dict[str, Length] = Field(default_factory=dict)
    padding: dict[str, DeclaredFill] = Field(default_factory=dict)
    unpadding: dict[str, Length] = Field(default_factory=dict)
    instances: Whole | None = Field(default=None, ge=1, le=1024)
    intra_op_threads: Whole = Field(default=1, ge=1, le=1024)  # parallel runs use the other cores
    providers: Providers | None = None
    reject_nonfinite: bool = False  # many models take NaN for "missing"
    max_batch_size: Whole | None = Field(default=None, ge=0, le=1 << 20)
    inputs: tuple[TensorDeclaration, ...] = ()
    outputs: tuple[TensorDeclaration, ...] = ()
    warm_up: tuple[WarmUpSample, ...] = ()
    labels: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    parameters: dict[str, str] = Field(default_factory=dict)

    def declared_shape(self, declaration: TensorDeclaration) -> tuple[int, ...]:
        """The whole shape of a declared tensor, the batch axis included as -1."""
        return (-1, *declaration.dims) if self.max_batch_size else declaration.dims


class ModelSpec(ModelOptions):
    """One model to serve.

    Attributes:
        name: Its name.
        versions: ONNX file by version number; at least one.
    """

    name: ModelName
    versions: dict[VersionNumber, Path] = Field(min_length=1)

    def model_version(self, number: int) -> ModelVersion:
        """The version that stands for `number`: N is N.0.0."""
        return ModelVersion(model=self.name, version=Version(number), number=number)

    def version_specs(self) -> tuple["VersionSpec", ...]:
        """What to load, newest first."""
        options = ModelOptions.model_validate({key: getattr(self, key) for key in ModelOptions.model_fields})
        return tuple(
            VersionSpec(self.model_version(number), self.versions[number], options)
            for number in sorted(self.versions, reverse=True)
        )


class Tolerance(Section):
    """How far an answer may be from the expected one: |got - expected| <= absolute + relative * |expected|."""

    absolute: Number = Field(default=1e-5, ge=0)  # what float32 loses in a few operations
    relative: Number = Field(default=1e-4, ge=0)  # another machine sums in another order


@dataclasses.dataclass(frozen=True, slots=True)
class VersionSpec:
    """One version to load.

    Attributes:
        identity: Whose answers it will give.
        source: Its ONNX file, trusted because the operator named it; or, for a registered version, its files by hash.
        options: How it is served.
        goldens: Paths in the manifest of requests whose answers are known; a version that answers them otherwise is not
            served.
        tolerance: How far their answers may be from the known ones.
    """

    identity: ModelVersion
    source: Path | Manifest
    options: ModelOptions
    goldens: tuple[str, ...] = ()
    tolerance: Tolerance = dataclasses.field(default_factory=Tolerance)


class ModelTable(ModelOptions):
    """`[models.NAME]` of the configuration file: a model that lies outside any repository.

    Attributes:
        path: Its only ONNX file, which becomes version 1; or
        versions: ONNX file by version number.
    """

    path: Path | None = None
    versions: dict[VersionNumber, Path] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (not self.versions):
            given = "neither" if self.path is None else "both"
            raise ValueError(f"path: expected either 'path' or 'versions', got {given}")
        return self

    def spec(self, name: str) -> ModelSpec:
        """The model that this table describes under `name`."""
        versions = self.versions if self.path is None else {1: self.path}
        options = {key: getattr(self, key) for key in ModelOptions.model_fields if key in self.model_fields_set}
        return ModelSpec(name=name, versions=versions, **options)
