"""Calls that are joined get what they would have got alone: real models, against onnxruntime itself."""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc.aio as triton_aio

from serinus_client import AsyncClient
from tests.end_to_end.clients.calls import tensor
from tests.end_to_end.clients.process import ChildServer
from tests.support import models

CALLS_AT_ONCE = 24
LEAST_ROUNDS, MOST_ROUNDS = 2, 50  # of both ways; a size that lost is tried again after 1024 runs at last
RNG = np.random.default_rng(11)
DATATYPES = {"float32": "FP32", "int32": "INT32", "int64": "INT64", "object": "BYTES"}

Tensors = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, and what to ask it.

    Attributes:
        model: Its name on the server.
        calls: Inputs of each call, one row each.
        rtol: Relative tolerance of floats: kernels sum in another order for another number of rows.
        atol: Absolute tolerance of floats.
        decides: The output whose argmax must be the same to the last row, if there is one.
    """

    model: str
    calls: Sequence[Tensors]
    rtol: float = 0.0
    atol: float = 0.0
    decides: str = ""


def magika() -> Case:
    """Files of random kinds: text-like and binary-like bytes, and padding."""
    rows = RNG.integers(0, 257, (CALLS_AT_ONCE, 1, 2048)).astype(np.int32)
    rows[::2] = RNG.integers(97, 123, rows[::2].shape)
    rows[::3, :, 512:] = 256
    # onnxruntime's own joint run of two rows differs from its run of one by up to 0.15 %.
    return Case("magika", [{"bytes": row} for row in rows], rtol=5e-3, atol=1e-5, decides="target_label")


def ocr_classifier() -> Case:
    """Pictures of lines of text, of two lengths: only those of the same length can be joined."""
    calls = [{"x": RNG.random((1, 3, 48, 192 if call % 2 else 160), np.float32)} for call in range(CALLS_AT_ONCE)]
    return Case("ocr-classifier", calls, rtol=1e-3, atol=1e-5, decides="save_infer_model/scale_0.tmp_1")


def silero() -> Case:
    """Sound and the state of each speaker, whose rows are on axis 1; the sample rate is a scalar that all share."""
    calls = [
        {
            "input": RNG.random((1, 512), np.float32) - np.float32(0.5),
            "state": RNG.random((2, 1, 128), np.float32),
            "sr": np.array(16000, np.int64),
        }
        for _ in range(CALLS_AT_ONCE)
    ]
    return Case("silero", calls, rtol=1e-3, atol=1e-5)


def strings() -> Case:
    """Texts of many lengths and alphabets; nothing may differ."""
    words = ["yes", "", "größe", "a b", "日本語", "no" * 100]
    calls = [{"x": np.array([[words[n % 6], f"{n}:{words[(n + 1) % 6]}"]], np.object_)} for n in range(CALLS_AT_ONCE)]
    return Case("strings", calls)


def source(model: str) -> bytes | Path:
    """The file of a model; the test is skipped if its package is not installed."""
    if model == "strings":
        return models.string_model()
    try:
        return models.real_model(model)
    except FileNotFoundError as error:
        pytest.skip(str(error))


def alone(model: bytes | Path, calls: Sequence[Tensors]) -> list[dict[str, np.ndarray]]:
    """What onnxruntime itself answers to each call."""
    session = onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, call), strict=True)) for call in calls]


async def ask_over_oip(server: ChildServer, case: Case) -> list[Tensors]:
    """Answers to calls made at once, each a message of its own."""
    async with triton_aio.InferenceServerClient(server.target) as client:

        async def ask(call: Tensors) -> Tensors:
            inputs = [tensor(name, array, DATATYPES[array.dtype.name]) for name, array in call.items()]
            answer = await client.infer(case.model, inputs)
            return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}

        return await asyncio.gather(*(ask(call) for call in case.calls))


async def ask_in_frames(server: ChildServer, case: Case) -> list[Tensors]:
    """Answers to calls made at once, many to a message."""
    async with AsyncClient(server.target) as client:
        return await asyncio.gather(*(client.predict(case.model, call) for call in case.calls))


async def runs_by_rows(server: ChildServer, model: str) -> Counter[int]:
    """How many runs there were by number of rows, as Triton's statistics say."""
    async with triton_aio.InferenceServerClient(server.target) as client:
        [stats] = (await client.get_inference_statistics(model)).model_stats
    return Counter({each.batch_size: each.compute_infer.count for each in stats.batch_stats})


@pytest.mark.parametrize("make", [magika, ocr_classifier, silero, strings])
async def test_calls_made_at_once_are_joined_and_get_what_each_gets_alone(server: ChildServer, make) -> None:
    """Every output of every call; and the server's statistics show runs of several rows.

    Where rows hardly pay, a trial on a busy machine may say that they do not; what lost is tried again after a while.
    """
    case = make()
    expected = alone(source(case.model), case.calls)
    before = await runs_by_rows(server, case.model)
    runs: Counter[int] = Counter()
    rounds = 0
    # Runs teach the batcher how many rows pay; the answers are the same before and after.
    while rounds < LEAST_ROUNDS or (max(runs) == 1 and rounds < MOST_ROUNDS):
        for ask in (ask_over_oip, ask_in_frames):
            for answer, wanted in zip(await ask(server, case), expected, strict=True):
                assert_all_same(answer, wanted, case)
        rounds += 1
        runs = await runs_by_rows(server, case.model) - before
    assert sum(rows * count for rows, count in runs.items()) == 2 * CALLS_AT_ONCE * rounds
    assert max(runs) > 1, f"nothing was joined: {runs}"


def assert_all_same(answer: Tensors, wanted: Tensors, case: Case) -> None:
    assert answer.keys() == wanted.keys()
    for name, array in wanted.items():
        assert_same(answer[name], array, case)
    if case.decides:
        assert answer[case.decides].argmax() == wanted[case.decides].argmax()


def assert_same(got: np.ndarray, wanted: np.ndarray, case: Case) -> None:
    if wanted.dtype.hasobject:
        assert [text.decode() for text in got.ravel()] == wanted.ravel().tolist()
    elif wanted.dtype.kind == "f":
        np.testing.assert_allclose(got, wanted, rtol=case.rtol, atol=case.atol)
    else:
        np.testing.assert_array_equal(got, wanted)
