"""Fills the warm-up calls that an operator or an author described."""

from collections.abc import Mapping

import numpy as np

from serinus.config.models import ModelOptions, WarmUpInput, WarmUpSample
from serinus.core.dtypes import DType
from serinus.core.errors import InvalidInput, ModelRejected
from serinus.core.predictor import Tensor, Tensors
from serinus.core.raw_tensors import element_count, tensor_from_raw
from serinus.runtime.sources import ModelSource, SourceFiles, open_source

_MOST_INVENTED_BYTES = 1 << 28  # clients may send configurations, and must not thereby choose how much is allocated


def sample_inputs(options: ModelOptions, source: ModelSource) -> Tensors:
    """The inputs of the first warm-up call that was described, batch axis included; {} if there is none. Reads files.

    Args:
        options: Describe the calls.
        source: Where the files of samples are found, as those of the model are.

    Raises:
        ModelRejected: a data file does not hold what its description says, or an input is too large to invent.
        DataLost: a data file is not what was registered.
    """
    files = open_source(source)
    for sample in options.warm_up:
        leading = (sample.rows,) if options.max_batch_size else ()
        shapes = {name: (*leading, *described.dims) for name, described in sample.inputs.items()}
        _check_size(sample, shapes)
        return {name: _filled(name, shapes[name], described, files) for name, described in sample.inputs.items()}
    return {}


def _check_size(sample: WarmUpSample, shapes: Mapping[str, tuple[int, ...]]) -> None:
    try:
        size_bytes = sum(
            element_count(name, shapes[name]) * described.dtype.numpy.itemsize
            for name, described in sample.inputs.items()
            if described.fill != "file"
        )
    except InvalidInput as error:
        raise ModelRejected(f"warm-up {error.message}") from error
    if size_bytes > _MOST_INVENTED_BYTES:
        raise ModelRejected(
            f"warm-up inputs: expected at most {_MOST_INVENTED_BYTES} bytes that are not in files, got {size_bytes}"
        )


def _filled(name: str, shape: tuple[int, ...], described: WarmUpInput, files: SourceFiles) -> Tensor:
    dtype = described.dtype
    if described.fill == "file" and described.file is not None:
        try:
            return tensor_from_raw(name, dtype, shape, files.file(described.file))
        except (InvalidInput, OSError) as error:
            raise ModelRejected(f"warm-up input {name!r}: its data file does not hold {dtype} {list(shape)}") from error
    if dtype is DType.BYTES:
        return np.full(shape, b"", np.object_)
    if described.fill == "random" and dtype.is_float:
        return np.random.default_rng(0).random(shape).astype(dtype.numpy)
    return np.zeros(shape, dtype.numpy)
