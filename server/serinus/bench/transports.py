"""The ways to a server: opens a connection and gives the `Call` that goes there, cheap for the generator."""

import contextlib
import enum
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import grpc
import grpc.aio

from serinus.bench.calls import Call
from serinus.bench.messages import Arrays, oip_message, predict_message
from serinus.bench.oip_stream import OipStream
from serinus_api.v1 import predict_pb2 as pb
from serinus_client import NO_RETRIES, AsyncClient, Tls

PREDICT = "/serinus.v1.PredictService/Predict"
INFER = "/inference.GRPCInferenceService/ModelInfer"

_OPTIONS = [
    ("grpc.enable_retries", 0),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Each channel gets a connection of its own: else all would share one, and with it one worker.
    ("grpc.use_local_subchannel_pool", 1),
]


class Way(enum.Enum):
    """How calls travel."""

    FRAMES = "frames"
    """The SDK, many calls in one message."""
    UNARY = "unary"
    """Our own service, one message a call."""
    OIP = "oip"
    """ModelInfer of the Open Inference Protocol; any server that speaks it."""
    OIP_STREAM = "oip-stream"
    """ModelStreamInfer of it."""


@contextlib.asynccontextmanager
async def opened(
    target: str, model: str, inputs: Sequence[Arrays], way: Way, *, connections: int = 1, tls: Tls | None = None
) -> AsyncIterator[Call]:
    """A connection, and the call that sends `inputs` of `model` in turns.

    Args:
        target: HOST:PORT.
        model: NAME, or NAME@VERSION.
        inputs: What the calls send, by input name; call i sends `inputs[i % len(inputs)]`.
        way: How calls travel.
        connections: Calls take turns on so many.
        tls: An encrypted connection; None for plaintext.
    """
    if not inputs or connections < 1:
        raise ValueError(f"expected inputs and connections, got {len(inputs)} and {connections}")
    name, _, version = model.partition("@")
    async with contextlib.AsyncExitStack() as block:
        if way is Way.FRAMES:
            clients = [
                await block.enter_async_context(AsyncClient(target, tls=tls, retry=NO_RETRIES))
                for _ in range(connections)
            ]
            yield in_turns([frames_call(client, name, inputs, version=version) for client in clients])
            return
        channels = [await block.enter_async_context(channel(target, tls)) for _ in range(connections)]
        match way:
            case Way.UNARY:
                messages = [predict_message(name, arrays, version=version) for arrays in inputs]
                yield in_turns([unary_call(each, messages) for each in channels])
            case Way.OIP:
                messages = [oip_message(name, arrays, version=version) for arrays in inputs]
                yield in_turns([raw_call(each, INFER, messages) for each in channels])
            case Way.OIP_STREAM:
                messages = [oip_message(name, arrays, version=version) for arrays in inputs]
                yield in_turns(
                    [await block.enter_async_context(OipStream(each, messages)) for each in channels],
                )


def channel(target: str, tls: Tls | None = None) -> grpc.aio.Channel:
    """A connection of its own."""
    if tls is None:
        return grpc.aio.insecure_channel(target, options=_OPTIONS)
    named = [("grpc.ssl_target_name_override", tls.server_name)] if tls.server_name else []
    return grpc.aio.secure_channel(target, tls.credentials(), options=[*_OPTIONS, *named])


def raw_call(channel: grpc.aio.Channel, method: str, messages: Sequence[bytes]) -> Call:
    """A unary call of bytes that are made beforehand, whose answer nobody reads."""
    begin: Any = channel.unary_unary(method)
    count = len(messages)

    async def call(number: int, timeout_s: float, /) -> int:
        await begin(messages[number % count], timeout=timeout_s)
        return 0

    return call


def unary_call(channel: grpc.aio.Channel, messages: Sequence[bytes]) -> Call:
    """A unary call of our own service, whose answer is read for the rows of its run."""
    begin: Any = channel.unary_unary(PREDICT)
    count = len(messages)

    async def call(number: int, timeout_s: float, /) -> int:
        return pb.PredictResponse.FromString(await begin(messages[number % count], timeout=timeout_s)).batch_rows

    return call


def frames_call(client: AsyncClient, model: str, inputs: Sequence[Mapping[str, Any]], *, version: str = "") -> Call:
    """A call of the SDK as its users make it."""
    count = len(inputs)

    async def call(number: int, timeout_s: float, /) -> int:
        prediction = await client.call(model, inputs[number % count], version=version, timeout_s=timeout_s)
        return prediction.batch_rows

    return call


def in_turns(calls: Sequence[Call]) -> Call:
    """One of several for each call, in turns."""
    if len(calls) == 1:
        return calls[0]
    turns = itertools.cycle(calls)

    async def call(number: int, timeout_s: float, /) -> int:
        return await next(turns)(number, timeout_s)

    return call
