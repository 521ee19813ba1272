"""Server reflection, v1 and v1alpha, over our services and the Open Inference Protocol's."""

from collections.abc import AsyncIterable
from typing import Any, cast

import grpc
from google.protobuf import text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import SERVICE_NAME, aio

from open_inference import grpc_service_pb2
from serinus.transport.drain import Drain
from serinus.transport.guard import Context, guarded, write
from serinus.transport.service import parse
from serinus_api.v1 import admin_pb2, predict_pb2, registry_pb2

_V1 = "grpc.reflection.v1.ServerReflection"
_METHOD = "ServerReflectionInfo"


def reflection_handlers(service_names: tuple[str, ...], drain: Drain) -> tuple[grpc.GenericRpcHandler, ...]:
    """The reflection service under both of its names; their messages are the same on the wire.

    Args:
        service_names: Full names of the services shown.
        drain: Ends the streams, which clients like to leave open.
    """
    # The Open Inference Protocol's descriptors live in a pool of their own (see open_inference/pool.py), so this one
    # holds everything that is shown.
    pool = DescriptorPool()
    for file in (
        predict_pb2.DESCRIPTOR,
        admin_pb2.DESCRIPTOR,
        registry_pb2.DESCRIPTOR,
        grpc_service_pb2.DESCRIPTOR,
        health_pb2.DESCRIPTOR,
        reflection_pb2.DESCRIPTOR,
    ):
        _add(pool, cast("FileDescriptor", file))
    pool.AddSerializedFile(_as_v1(reflection_pb2.DESCRIPTOR.serialized_pb))
    servicer = aio.ReflectionServicer((*service_names, SERVICE_NAME, _V1), pool=pool)

    async def until_drained(messages: AsyncIterable[bytes], context: Context) -> None:
        async def answer() -> None:
            # Parsed here, because grpc.aio would send the text of a parser's exception to the client.
            asked = (parse(reflection_pb2.ServerReflectionRequest, message) async for message in messages)
            # The stubs take the generator for a coroutine.
            answers: Any = servicer.ServerReflectionInfo(cast("Any", asked), cast("Any", context))
            async for response in answers:
                await write(context, response)

        await drain.run(answer())

    handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
        guarded(until_drained, "ServerReflectionInfo"),
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return tuple(grpc.method_handlers_generic_handler(name, {_METHOD: handler}) for name in (SERVICE_NAME, _V1))


def _as_v1(serialized: bytes) -> bytes:
    """The file that describes v1: v1alpha's under another name. The package that serves it has only the latter."""
    text = text_format.MessageToString(FileDescriptorProto.FromString(serialized))
    renamed = text_format.Parse(text.replace("v1alpha", "v1"), FileDescriptorProto())
    return renamed.SerializeToString()


def _add(pool: DescriptorPool, file: FileDescriptor) -> None:
    for dependency in file.dependencies:
        _add(pool, dependency)
    pool.AddSerializedFile(file.serialized_pb)
