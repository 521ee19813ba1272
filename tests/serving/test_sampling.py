"""Real inputs for whoever asks for them."""

import asyncio

import numpy as np
import pytest

from serinus.core.errors import NotFound, Refused
from serinus.core.predictor import Request, Response
from serinus.serving.sampling import Sampling
from tests.support.fakes import FAKE_VERSION, TAGGED, TAGGED_LENGTHS, request, tags_of
from tests.support.virtual_loop import virtual


async def answered(call: Request, /) -> Response:
    return Response({"y": call.inputs["x"]}, FAKE_VERSION)


class Echo:
    predict = staticmethod(answered)


async def test_the_rows_of_the_next_calls_are_stacked():
    """As many as were asked for, in the order in which they came; the calls are answered as ever."""
    layer = Sampling(Echo(), signature=TAGGED)
    await layer.predict(request(0))
    collecting = asyncio.create_task(layer.collect(3, timeout_s=5))
    await asyncio.sleep(0)
    for tags in ((1,), (2, 3), (4,)):
        assert tags_of((await layer.predict(request(*tags))).outputs) == list(tags)
    assert tags_of(await collecting, "x") == [1, 2, 3]


async def test_copies_outlive_the_message():
    """What a call was read from may be written over once it is answered."""
    layer = Sampling(Echo(), signature=TAGGED)
    collecting = asyncio.create_task(layer.collect(1, timeout_s=5))
    await asyncio.sleep(0)
    call = request(7)
    await layer.predict(call)
    np.asarray(call.inputs["x"])[:] = 0
    assert tags_of(await collecting, "x") == [7]


async def test_calls_of_other_lengths_are_left_out():
    """They would not stack."""
    layer = Sampling(Echo(), signature=TAGGED_LENGTHS)
    collecting = asyncio.create_task(layer.collect(2, timeout_s=5))
    await asyncio.sleep(0)
    for tag, length in ((1, 4), (2, 5), (3, 4)):
        await layer.predict(request(tag, length=length))
    stacked = await collecting
    assert (tags_of(stacked, "x"), stacked["x"].shape) == ([1, 3], (2, 4))


async def test_time_that_is_up_gives_what_came():
    """Fewer rows are better than none."""
    layer = Sampling(Echo(), signature=TAGGED)
    collecting = asyncio.create_task(layer.collect(100, timeout_s=0.05))
    await asyncio.sleep(0)
    await layer.predict(request(1))
    assert tags_of(await collecting, "x") == [1]


@virtual
async def test_no_call_is_no_sample():
    """Invented inputs would prove nothing."""
    layer = Sampling(Echo(), signature=TAGGED)
    with pytest.raises(NotFound, match="no call came within 5 s"):
        await layer.collect(1, timeout_s=5)


async def test_one_collects_at_a_time_and_a_cancelled_one_leaves_room():
    """Nothing is kept for those who left."""
    layer = Sampling(Echo(), signature=TAGGED)
    first = asyncio.create_task(layer.collect(1, timeout_s=5))
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="collected already"):
        await layer.collect(1, timeout_s=5)
    first.cancel()
    await asyncio.wait([first])
    second = asyncio.create_task(layer.collect(1, timeout_s=5))
    await asyncio.sleep(0)
    await layer.predict(request(2))
    assert tags_of(await second, "x") == [2]
