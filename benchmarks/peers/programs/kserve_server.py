"""KServe's Python server with ONNX Runtime: `kserve_server.py NAME PATH PORT AT_ONCE`. Runs in KServe's environment."""

import logging
import sys

import uvloop
from grpc import aio
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelRepository
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor, LoggingInterceptor
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.utils.numpy_codec import from_np_dtype
from session import Session

_LONGEST_BYTES = 64 << 20


class OnnxModel(Model):
    """One ONNX file."""

    def __init__(self, name: str, session: Session) -> None:
        super().__init__(name)
        self._session = session
        self.enable_latency_logging = False
        self.ready = True

    async def predict(self, payload: InferRequest, *_: object) -> InferResponse:
        """Run one request."""
        values = await self._session.predict({each.name: each.as_numpy() for each in payload.inputs})
        outputs = []
        for name, value in values.items():
            output = InferOutput(name, list(value.shape), from_np_dtype(value.dtype))
            output.set_data_from_numpy(value)  # raw bytes: the quicker of its two forms
            outputs.append(output)
        return InferResponse(payload.id, self.name, outputs)


async def main(name: str, path: str, port: str, at_once: str) -> None:
    """Serve until killed, as `kserve.protocol.grpc.server.GRPCServer` does, but on loopback alone."""
    models = ModelRepository()
    models.update(OnnxModel(name, Session(path, int(at_once))))
    data = DataPlane(models)
    server = aio.server(
        interceptors=(LoggingInterceptor(), ExceptionToStatusInterceptor()),
        options=[("grpc.max_send_message_length", _LONGEST_BYTES), ("grpc.max_receive_message_length", _LONGEST_BYTES)],
    )
    servicer = InferenceServicer(data, ModelRepositoryExtension(models))
    grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    logging.getLogger("kserve").setLevel(logging.ERROR)  # it would write a line for each call
    uvloop.run(main(*sys.argv[1:]))
