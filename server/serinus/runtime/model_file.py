"""What a model file must be before onnxruntime sees it: whole, without foreign code, referring to nothing outside."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping

import onnx

from serinus.core.errors import ModelRejected
from serinus.runtime.carving import WHOLE_FILE, carve
from serinus.runtime.external_data import embed_external_data, map_external_data
from serinus.runtime.plain_files import Buffer, release
from serinus.runtime.sources import ModelSource, open_source

MOST_NODES = 200_000  # of large language models; each costs parsing, during which nothing else of the process runs

_MOST_ELEMENTS = 1 << 36  # of one weight; what is beyond is a damaged number
_STANDARD_DOMAINS = frozenset(
    {
        "",
        "ai.onnx",
        "ai.onnx.ml",
        "ai.onnx.preview.training",
        "ai.onnx.training",
        "com.microsoft",
        "com.microsoft.dml",
        "com.microsoft.experimental",
        "com.microsoft.nchwc",
        "com.ms.internal.nhwc",
        "org.pytorch.aten",
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file that passed the checks.

    Attributes:
        name: The file's name, without its folder.
        content: The very bytes that were checked, as an ONNX file without its large weights; external data of inner
            tensors is embedded.
        external_data: Where those weights are: contents by location, as `content` writes it.
        ir_version: The file format's version.
        opsets: Operator set version by domain.
        without_rank: Inputs and outputs whose number of axes the file does not say.
        has_loop: Whether values, not only shapes, may decide how long a run takes.
    """

    name: str
    content: bytes
    external_data: Mapping[str, Buffer]
    ir_version: int
    opsets: Mapping[str, int]
    without_rank: frozenset[str]
    has_loop: bool


def read_model_file(source: ModelSource) -> ModelFile:
    """Read and check the ONNX file of `source`.

    Raises:
        ModelRejected: the file cannot be served.
        DataLost: a file is not what was registered.
    """
    files = open_source(source)
    name = files.main_name
    content = files.main()
    if not content:
        raise ModelRejected(f"the model file {name!r} is empty")
    carved = carve(content)
    model = _parse(carved.content, len(content), name)
    _check_nodes(model, name)
    apart = [tensor for tensor in model.graph.initializer if _lies_in_whole_file(tensor)]
    if len(apart) != carved.count:
        raise ModelRejected(
            "the location of the model's external data is one that no file can have", reason="EXTERNAL_DATA_FORBIDDEN"
        )
    inner = list(_inner_tensors(model))
    for tensor in (*model.graph.initializer, *inner):
        _check_shape(tensor, name)
    outer = (tensor for tensor in model.graph.initializer if not _lies_in_whole_file(tensor))
    external_data = dict(map_external_data(files, (*outer, *inner)))
    # What onnxruntime does not take from memory it would look for in the folder where the server was started.
    graph = _serialize(model, name) if embed_external_data(inner, external_data) else carved.content
    if apart:
        external_data[WHOLE_FILE] = content
    else:
        release(content)
    return ModelFile(
        name=name,
        content=graph,
        external_data=external_data,
        ir_version=model.ir_version,
        opsets={"" if opset.domain == "ai.onnx" else opset.domain: opset.version for opset in model.opset_import},
        without_rank=frozenset(
            value.name
            for value in (*model.graph.input, *model.graph.output)
            if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape")
        ),
        has_loop=any(node.op_type == "Loop" for node in _nodes(model)),
    )


def _parse(content: bytes, size_bytes: int, name: str) -> onnx.ModelProto:
    try:
        model = onnx.ModelProto.FromString(content)
    except Exception as error:  # protobuf's own class is not this package's to import
        raise ModelRejected(
            f"the model file {name!r} of {size_bytes} bytes is not an ONNX model, or is damaged"
        ) from error
    if model.ir_version < 1 or not model.HasField("graph") or not model.graph.output:
        raise ModelRejected(f"the model file {name!r} holds no ONNX graph with an output")
    return model


def _serialize(model: onnx.ModelProto, name: str) -> bytes:
    try:
        return model.SerializeToString()
    except Exception as error:  # protobuf's own class is not this package's to import
        raise ModelRejected(f"the model file {name!r} and the weights of its inner graphs exceed 2 GiB") from error


def _check_nodes(model: onnx.ModelProto, name: str) -> None:
    """Not too many, and no code but onnxruntime's own: operators of other domains would need a library."""
    known = _STANDARD_DOMAINS | {function.domain for function in model.functions}
    for count, node in enumerate(_nodes(model), 1):
        if count > MOST_NODES:
            raise ModelRejected(
                f"the model file {name!r} has too many nodes: expected at most {MOST_NODES}", reason="TOO_MANY_NODES"
            )
        if node.domain not in known:
            raise ModelRejected(
                f"the model file {name!r} uses the operator {node.op_type[:64]!r} of the unknown domain"
                f" {node.domain[:64]!r}; custom operators are not loaded",
                reason="UNKNOWN_OPERATOR",
            )


def _check_shape(tensor: onnx.TensorProto, name: str) -> None:
    if any(dim < 0 for dim in tensor.dims) or math.prod(tensor.dims) > _MOST_ELEMENTS:
        raise ModelRejected(
            f"the model file {name!r} holds the weight {tensor.name[:64]!r} of the impossible shape"
            f" {str(list(tensor.dims))[:64]}"
        )


def _lies_in_whole_file(tensor: onnx.TensorProto) -> bool:
    return any(entry.key == "location" and entry.value == WHOLE_FILE for entry in tensor.external_data)


def _graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    yield model.graph
    for training in model.training_info:
        yield training.initialization
        yield training.algorithm


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """All nodes, those of subgraphs and functions included."""
    waiting = [node for graph in _graphs(model) for node in graph.node]
    waiting.extend(node for function in model.functions for node in function.node)
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(inner for graph in _subgraphs(node) for inner in graph.node)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _inner_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Whatever could refer to another file, but for the initializers of the graph itself."""
    for training in model.training_info:
        yield from (*training.initialization.initializer, *training.algorithm.initializer)
    for graph in _graphs(model):
        yield from _sparse(graph.sparse_initializer)
    for node in _nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("sparse_tensor"):
                yield from _sparse([attribute.sparse_tensor])
            yield from _sparse(attribute.sparse_tensors)
        for graph in _subgraphs(node):
            yield from graph.initializer
            yield from _sparse(graph.sparse_initializer)


def _sparse(tensors: Iterable[onnx.SparseTensorProto]) -> Iterator[onnx.TensorProto]:
    for tensor in tensors:
        yield from (tensor.values, tensor.indices)
