"""An AdminService that answers as it is told, behind a real port: tests see what it was asked."""

from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from serinus.core.errors import ServerError
from serinus.transport.status import status_of
from serinus_api.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message


class FakeAdmin:
    """Every method of the service: `async with FakeAdmin() as fake`.

    Attributes:
        asked: Every request received, in order.
        answers: What each method answers next, by its name, in order; a stream answers with all of a sequence. The last
            one stays. A method without any answers with an empty message.
    """

    def __init__(self) -> None:
        self.asked: list[Message] = []
        self.answers: dict[str, list[Message | Sequence[Message | ServerError] | ServerError]] = {}
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        described = pb.DESCRIPTOR.services_by_name["AdminService"]
        methods = {method.name: self._handler(method) for method in described.methods}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(described.full_name, methods),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self):
        await self._server.start()
        return self

    async def __aexit__(self, *_):
        await self._server.stop(None)

    def _handler(self, method: Any) -> grpc.RpcMethodHandler:
        make = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        return make(
            self._stream(method) if method.server_streaming else self._one(method),
            request_deserializer=getattr(pb, method.input_type.name).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def _next(self, method: Any) -> Any:
        told = self.answers.get(method.name) or [getattr(pb, method.output_type.name)()]
        return told.pop(0) if len(told) > 1 else told[0]

    def _one(self, method: Any) -> Any:
        async def handle(request, context):
            self.asked.append(request)
            answer = self._next(method)
            if isinstance(answer, ServerError):
                await _abort(context, answer)
            return answer

        return handle

    def _stream(self, method: Any) -> Any:
        async def handle(request, context):
            self.asked.append(request)
            for answer in self._next(method):
                if isinstance(answer, ServerError):
                    await _abort(context, answer)
                yield answer

        return handle


async def _abort(context: Any, error: ServerError) -> None:
    status = status_of(error)
    await context.abort(status.code, status.message, status.trailers())
