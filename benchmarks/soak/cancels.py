"""A million calls that are cancelled: `python benchmarks/soak/cancels.py [--frames 1000000] [--unary 100000]`.

In frames and one by one, at once or when they may have been answered. Every call must end once, memory must not grow
with their number, and files and threads must come back. Exits with 1 where that does not hold.
"""

import asyncio
import collections
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import grpc
import grpc.aio
import typer
from standing import INPUTS, MODEL, conclude, given_back, held, machine, say, soaked

from harness.processes import ServerProcess
from harness.rising import rising
from serinus.bench.messages import predict_message
from serinus.bench.transports import PREDICT
from serinus_api.v1 import predict_pb2 as pb

_FRAMES = "/serinus.v1.PredictService/PredictStream"
_LOOKS = 20
_WAVE = 1000
_AT_ONCE = 100  # unary calls
# A call. In frames: an object of Python's is larger. One by one: grpc.aio forgets some 125 bytes for each call that is
# cancelled, also in a server that does nothing but echo (its issue 43360); twice that would be ours.
_MOST_BYTES = {"in_frames": 32, "one_by_one": 250}
Wave = Callable[[grpc.aio.Channel], Coroutine[Any, Any, collections.Counter[str]]]
_MESSAGE = predict_message(MODEL, INPUTS)


async def in_frames(channel: grpc.aio.Channel) -> collections.Counter[str]:
    """A thousand calls on a stream, and their cancellation: with them, or behind them when some have been answered."""
    stream = channel.stream_stream(_FRAMES)(timeout=60)
    ends: collections.Counter[str] = collections.Counter()
    request = pb.PredictRequest.FromString(_MESSAGE)
    calls = [pb.Call(id=n, request=request) for n in range(_WAVE)]
    await stream.write(pb.PredictFrame(calls=calls).SerializeToString())
    await stream.write(pb.PredictFrame(cancel=range(_WAVE)).SerializeToString())
    await stream.done_writing()
    waiting = set(range(_WAVE))
    async for message in stream:
        for reply in pb.ReplyFrame.FromString(message).replies:
            waiting.remove(reply.id)  # a call ends once
            ends[reply.error.reason or "answered"] += 1
    ends["never ended"] += len(waiting)
    return ends


async def one_by_one(channel: grpc.aio.Channel) -> collections.Counter[str]:
    """A hundred unary calls, cancelled at once or a moment later."""
    calls = [channel.unary_unary(PREDICT)(_MESSAGE, timeout=60) for _ in range(_AT_ONCE)]
    for call in calls:
        if random.random() < 0.3:
            await asyncio.sleep(random.choice((0, 0.0005)))
        call.cancel()
    return collections.Counter([(await call.code()).name for call in calls])


async def storm(
    server: ServerProcess, wave: Wave, calls: int, size: int
) -> tuple[list[float], collections.Counter[str]]:
    """Memory after each twentieth of the calls, in MiB, and how they ended."""
    ends: collections.Counter[str] = collections.Counter()
    mib = [server.rss_mib()]
    waves = max(_LOOKS, calls // size)
    async with grpc.aio.insecure_channel(server.target) as channel:
        for number in range(1, waves + 1):
            ends += await wave(channel)
            if number * _LOOKS // waves > (number - 1) * _LOOKS // waves:
                mib.append(server.rss_mib())
                say(f"{wave.__name__}: {number * size} calls, {mib[-1]:.1f} MiB")
    return mib, ends


def main(
    frames: Annotated[int, typer.Option(min=20_000)] = 1_000_000,
    unary: Annotated[int, typer.Option(min=2000)] = 100_000,
    results: Annotated[Path | None, typer.Option(help="Where the figures are written.")] = None,
) -> None:
    """Cancel, and look at the memory."""
    facts = machine()
    figures: dict[str, Any] = {}
    faults: list[str] = []
    with soaked() as server:
        asyncio.run(storm(server, in_frames, _LOOKS * _WAVE, _WAVE))
        before = held(server)
        for wave, calls, size in ((in_frames, frames, _WAVE), (one_by_one, unary, _AT_ONCE)):
            mib, ends = asyncio.run(storm(server, wave, calls, size))
            grown, low, high = (each * (1 << 20) for each in rising([n * calls / _LOOKS for n in range(len(mib))], mib))
            figures[wave.__name__] = {
                "calls": sum(ends.values()),
                "ends": dict(ends),
                "bytes_a_call": [low, grown, high],
            }
            if low > _MOST_BYTES[wave.__name__]:
                faults.append(f"{wave.__name__}: memory grows by {grown:.0f} bytes a call")
            if ends["never ended"]:
                faults.append(f"{wave.__name__}: {ends['never ended']} calls never ended")
        after, more = given_back(server, before)
    figures["fds"] = [before.fds, after.fds]
    figures["rss_mib"] = [round(before.rss_mib, 1), round(after.rss_mib, 1)]
    conclude("cancels", facts, figures, faults + more, results)


if __name__ == "__main__":
    typer.run(main)
