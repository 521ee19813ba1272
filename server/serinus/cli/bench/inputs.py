"""What the calls of a bench send: what a person named, or something that fits what the model says it takes."""

from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio
import numpy as np
import numpy.typing as npt

from open_inference import grpc_service_pb2 as oip
from serinus.bench.messages import invented
from serinus.bench.transports import Way, channel
from serinus.cli.output import CommandFailed, ExitCode
from serinus.cli.target import ANSWER_S, Server, connected_async, translated
from serinus_api.v1 import predict_pb2 as pb
from serinus_client import TensorInfo
from serinus_client.casting import to_wire_array
from serinus_client.errors import InvalidInput, from_rpc_error

_METADATA = "/inference.GRPCInferenceService/ModelMetadata"


async def taken(server: Server, model: str, version: str, way: Way) -> Sequence[TensorInfo]:
    """What the model says it takes, asked in the protocol that the calls will use.

    Raises:
        CommandFailed: nobody answers, or there is no such model.
    """
    if way in {Way.FRAMES, Way.UNARY}:
        async with connected_async(server) as client:
            return (await client.model_info(model, version=version)).inputs
    request = oip.ModelMetadataRequest(name=model, version=version).SerializeToString()
    with translated(server):
        async with channel(server.address, server.tls) as open_channel:
            ask: Any = open_channel.unary_unary(_METADATA)
            try:
                answer = oip.ModelMetadataResponse.FromString(await ask(request, timeout=ANSWER_S))
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error) from None
    return [TensorInfo(tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in answer.inputs]


def made(
    tensors: Sequence[TensorInfo], given: dict[str, Any], *, rows: int, length: int
) -> tuple[dict[str, npt.NDArray[Any]], int]:
    """The arrays of a call, and its rows: what is given, and something that fits for the rest.

    Raises:
        CommandFailed: it does not fit the model.
    """
    names = [tensor.name for tensor in tensors]
    if unknown := [name for name in given if name not in names]:
        raise CommandFailed(f"the model takes {', '.join(names)}, got {unknown[0]!r}", code=ExitCode.USAGE)
    try:
        arrays = invented(
            [tensor for tensor in tensors if tensor.name not in given],
            rows=rows,
            length=length,
            rng=np.random.default_rng(0),
        )
        for tensor in tensors:
            if tensor.name in given:
                number = pb.DataType.Value(f"DATA_TYPE_{tensor.dtype}")
                arrays[tensor.name] = to_wire_array(given[tensor.name], number, tensor.name)
    except InvalidInput as error:
        raise CommandFailed(error.message, code=ExitCode.USAGE) from error
    except ValueError as error:
        raise CommandFailed(f"{error}: give it with --input", code=ExitCode.USAGE) from error
    lengths = {array.shape[0] for name, array in arrays.items() if name in given and array.ndim}
    return {name: arrays[name] for name in names if name in arrays}, lengths.pop() if len(lengths) == 1 else rows
