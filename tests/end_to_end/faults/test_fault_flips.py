"""Row 34: requests with bits flipped at random end in an answer or in a refusal, and in nothing else."""

import asyncio
import collections
import itertools

import grpc

from tests.end_to_end.faults.flips import cases, count
from tests.end_to_end.faults.messages import INFER, PREDICT
from tests.support.invariants import World

_IN_PROCESS = 40_000
_ON_THE_WIRE = 4_000
_AT_ONCE = 32
ALLOWED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,  # another model's or version's name
    grpc.StatusCode.RESOURCE_EXHAUSTED,  # a time-out too short to be met
    grpc.StatusCode.DEADLINE_EXCEEDED,  # a time-out that is over
}


async def test_flipped_bits_where_messages_are_read():
    """Tens of thousands, in process: whatever is not a refusal of ours fails with its bytes."""
    ends = await count(_IN_PROCESS, seed=34)
    assert ends.total() == _IN_PROCESS
    assert ends["OK"] > _IN_PROCESS / 100, "some still mean something"
    assert len(ends) > 10, "the decoders are reached, not only the parser"


async def test_flipped_bits_on_the_wire(world: World):
    """Thousands, against the server: no status but those that flipped bits explain."""
    codes: collections.Counter[grpc.StatusCode] = collections.Counter()
    todo = itertools.islice(cases(seed=35), _ON_THE_WIRE)

    async def call() -> None:
        for is_infer, message in todo:
            answer = await world.call(INFER if is_infer else PREDICT, message)
            assert answer.code in ALLOWED, f"{answer} to {message!r}"
            codes[answer.code] += 1

    async with world.standing(), asyncio.TaskGroup() as callers:
        for _ in range(_AT_ONCE):
            callers.create_task(call())
    assert codes.total() == _ON_THE_WIRE
