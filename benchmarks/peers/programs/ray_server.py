"""Ray Serve behind its gRPC proxy: `ray_server.py NAME PATH PORT REPLICAS`. Runs in Ray's environment.

Needs `open_inference` on PYTHONPATH: Ray's proxy parses and makes the messages of whatever service it is told of.
"""

import signal
import socket
import sys

import grpc
import numpy as np
import ray
from ray import serve
from ray.serve.config import HTTPOptions, gRPCOptions
from session import Session

from open_inference import grpc_service_pb2 as oip

_ELEMENTS = {"FP32": np.float32, "INT32": np.int32, "INT64": np.int64}
_DATATYPES = {np.dtype(element): name for name, element in _ELEMENTS.items()}


def add_inference(servicer: object, server: grpc.Server) -> None:
    """The one method that is measured, as generated code would add it."""
    handler = grpc.unary_unary_rpc_method_handler(
        servicer.ModelInfer,
        request_deserializer=oip.ModelInferRequest.FromString,
        response_serializer=oip.ModelInferResponse.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": handler})
    server.add_generic_rpc_handlers((service,))


class Servicer:
    """Names the method; Ray puts its own in its place."""

    def ModelInfer(self, request: oip.ModelInferRequest, context: object) -> None:  # noqa: N802 - the protocol's name
        """Never called."""


@serve.deployment(max_ongoing_requests=256)
class OnnxModel:
    """One ONNX file."""

    def __init__(self, name: str, path: str) -> None:
        self._name = name
        self._session = Session(path, 1)

    async def ModelInfer(self, request: oip.ModelInferRequest) -> oip.ModelInferResponse:  # noqa: N802 - the protocol's
        """Run one request."""
        values = self._session.run(
            {
                each.name: np.frombuffer(raw, _ELEMENTS[each.datatype]).reshape(each.shape)
                for each, raw in zip(request.inputs, request.raw_input_contents, strict=True)
            }
        )
        return oip.ModelInferResponse(
            model_name=self._name,
            id=request.id,
            outputs=[
                oip.ModelInferResponse.InferOutputTensor(name=name, datatype=_DATATYPES[value.dtype], shape=value.shape)
                for name, value in values.items()
            ],
            raw_output_contents=[value.tobytes() for value in values.values()],
        )


def main(name: str, path: str, port: str, replicas: str) -> None:
    """Serve until asked to end."""
    ray.init(
        address="local",
        num_cpus=int(replicas) + 1,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        object_store_memory=128 << 20,
    )
    serve.start(
        http_options=HTTPOptions(host="127.0.0.1", port=_free_port()),
        grpc_options=gRPCOptions(
            port=int(port), grpc_servicer_functions=["ray_server.add_inference"], enable_reflection=False
        ),
    )
    serve.run(OnnxModel.options(num_replicas=int(replicas)).bind(name, path), name="model")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(*sys.argv[1:])
