"""Reads what a Triton configuration says about tensors: declarations, labels and warm-up data."""

from pathlib import Path

from open_inference.model_config_pb2 import DataType, ModelConfig, ModelInput, ModelOutput, ModelWarmup
from serinus.config.confined import confine, read_text
from serinus.config.models import TensorDeclaration, WarmUpInput, WarmUpSample
from serinus.core.dtypes import DType
from serinus.core.errors import ModelRejected


def declared_inputs(config: ModelConfig) -> tuple[TensorDeclaration, ...]:
    """The inputs that the configuration declares.

    Raises:
        ModelRejected: a declaration says no type, or lengths that cannot be.
    """
    return tuple(_declaration("input", tensor, optional=tensor.optional) for tensor in config.input)


def declared_outputs(config: ModelConfig) -> tuple[TensorDeclaration, ...]:
    """The outputs that the configuration declares.

    Raises:
        ModelRejected: a declaration says no type, or lengths that cannot be.
    """
    return tuple(_declaration("output", tensor, optional=False) for tensor in config.output)


def labels(config: ModelConfig, folder: Path) -> dict[str, tuple[str, ...]]:
    """Class names by output, from the label files in the model's folder, one name a line.

    Raises:
        ModelRejected: a file lies elsewhere or cannot be read.
    """
    return {
        output.name: tuple(line.strip() for line in read_text(folder, output.label_filename).splitlines())
        for output in config.output
        if output.label_filename
    }


def warm_up(config: ModelConfig, folder: Path) -> tuple[WarmUpSample, ...]:
    """The calls that a version must answer before it is ready; those with batch size 0 are skipped, as Triton does.

    Raises:
        ModelRejected: a sample has no data, or a data file that is not in `warmup/`.
    """
    return tuple(_sample(sample, folder / "warmup") for sample in config.model_warmup if sample.batch_size)


def _declaration(kind: str, tensor: ModelInput | ModelOutput, *, optional: bool) -> TensorDeclaration:
    if not tensor.name:
        raise ModelRejected(f"{kind}.name: expected a name, got nothing")
    # Serinus does not reshape: what the model itself takes is what clients send.
    dims = tuple(tensor.reshape.shape) if tensor.HasField("reshape") else tuple(tensor.dims)
    if any(dim < -1 or dim == 0 for dim in dims):
        raise ModelRejected(f"{kind} {tensor.name[:128]!r}: expected dims that are positive or -1, got {list(dims)}")
    return TensorDeclaration(
        name=tensor.name,
        dtype=_dtype(f"{kind} {tensor.name[:128]!r}", tensor.data_type),
        dims=dims,
        optional=optional,
    )


def _dtype(place: str, number: DataType.ValueType) -> DType:
    if number == DataType.TYPE_STRING:
        return DType.BYTES
    word = DataType.Name(number).removeprefix("TYPE_") if number in DataType.values() else ""
    if word not in DType.__members__:
        raise ModelRejected(f"{place}: expected a data_type, got {word or number}")
    return DType(word)


def _sample(sample: ModelWarmup, data: Path) -> WarmUpSample:
    return WarmUpSample(
        name=sample.name,
        inputs={name: _warm_up_input(name, value, data) for name, value in sorted(sample.inputs.items())},
        rows=sample.batch_size,
        runs=sample.count or 1,
    )


def _warm_up_input(name: str, value: ModelWarmup.Input, data: Path) -> WarmUpInput:
    place = f"model_warmup input {name[:128]!r}"
    dtype, dims = _dtype(place, value.data_type), tuple(value.dims)
    if any(dim < 0 for dim in dims):
        raise ModelRejected(f"{place}: expected dims without a free length, got {list(dims)}")
    match value.WhichOneof("input_data_type"):
        case "zero_data":
            return WarmUpInput(dtype=dtype, dims=dims, fill="zero")
        case "random_data":
            return WarmUpInput(dtype=dtype, dims=dims, fill="random")
        case "input_data_file":
            file = confine(data, value.input_data_file, within=data)
            if not file.is_file():
                raise ModelRejected(f"{place}: expected a file in 'warmup', got {value.input_data_file[:128]!r}")
            return WarmUpInput(dtype=dtype, dims=dims, fill="file", file=file)
        case _:
            raise ModelRejected(f"{place}: expected zero_data, random_data or input_data_file, got nothing")
