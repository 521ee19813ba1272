"""Server reflection, v1 and v1alpha, over our services and the Open Inference Protocol's."""

from typing import cast

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import SERVICE_NAME, aio

from open_inference import grpc_service_pb2
from serinus_api.v1 import admin_pb2, predict_pb2

_V1 = "grpc.reflection.v1.ServerReflection"
_METHOD = "ServerReflectionInfo"


def reflection_handlers(service_names: tuple[str, ...]) -> tuple[grpc.GenericRpcHandler, ...]:
    """The reflection service under both of its names; their messages are the same on the wire.

    Args:
        service_names: Full names of the services shown.
    """
    # The Open Inference Protocol's descriptors live in a pool of their own (see open_inference/pool.py), so this one
    # holds everything that is shown.
    pool = DescriptorPool()
    for file in (
        predict_pb2.DESCRIPTOR,
        admin_pb2.DESCRIPTOR,
        grpc_service_pb2.DESCRIPTOR,
        health_pb2.DESCRIPTOR,
        reflection_pb2.DESCRIPTOR,
    ):
        _add(pool, cast("FileDescriptor", file))
    servicer = aio.ReflectionServicer((*service_names, SERVICE_NAME, _V1), pool=pool)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return tuple(grpc.method_handlers_generic_handler(name, {_METHOD: handler}) for name in (SERVICE_NAME, _V1))


def _add(pool: DescriptorPool, file: FileDescriptor) -> None:
    for dependency in file.dependencies:
        _add(pool, dependency)
    pool.AddSerializedFile(file.serialized_pb)
