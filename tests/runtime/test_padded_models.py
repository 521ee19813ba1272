"""Real models behind the batcher: whatever shares a run, each call gets what it would have got alone."""

import asyncio
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.config.models import DeclaredFill
from serinus.core.predictor import Request, Tensors
from serinus.core.version import ModelVersion, Version
from serinus.runtime.model import OnnxModel, load_model
from serinus.runtime.options import SessionOptions
from serinus.runtime.pool import ComputePool
from serinus.serving.batching.batch_policy import BatchPolicy
from serinus.serving.batching.batcher import Batcher
from serinus.serving.batching.slots import RunSlots
from tests.support import models
from tests.support.fakes import FakeBatchMetrics

TOKENS = {"ids": DeclaredFill(axis=1, value=0), "mask": DeclaredFill(axis=1)}
SENTENCES = {name: DeclaredFill(axis=1) for name in ("input_ids", "attention_mask", "token_type_ids")}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory, compute_pool: ComputePool) -> OnnxModel:
    path = tmp_path_factory.mktemp("tokens") / "model.onnx"
    path.write_bytes(models.tokens())
    options = SessionOptions(padding=TOKENS, unpadding={"each": 1})
    return load_model(ModelVersion("tokens", Version(1), 1), path, options, compute_pool)


async def together(model: OnnxModel, calls: list[Request], *, max_rows: int = 256) -> list[tuple[int, Mapping]]:
    """The rows of the run that answered each call, and its outputs."""
    async with Batcher(
        model,
        policy=BatchPolicy(max_rows=max_rows),
        padding=model.padding,
        slots=RunSlots(1),
        metrics=FakeBatchMetrics(),
    ) as layer:
        responses = await asyncio.gather(*[layer.predict(call) for call in calls])
    return [(each.batch_rows, each.outputs) for each in responses]


def check_as_alone(model: OnnxModel, calls: list[Request], answers: list[tuple[int, Mapping]]) -> None:
    for wish, (_, outputs) in zip(calls, answers, strict=True):
        alone = model.run(Request(wish.inputs, deadline=0.0, rows=wish.rows)).outputs
        assert outputs.keys() == alone.keys()
        for name, expected in alone.items():
            np.testing.assert_allclose(outputs[name], expected, rtol=1e-4, atol=1e-4, strict=True)


def request(inputs: Tensors) -> Request:
    return Request(inputs, deadline=float("inf"), rows=len(next(iter(inputs.values()))))


shapes = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 40)), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(shapes=shapes, max_rows=st.sampled_from([2, 8, 256]), seed=st.integers(0, 9))
def test_any_mix_of_rows_and_lengths_gives_what_each_call_gives_alone(
    tokens: OnnxModel, shapes: list[tuple[int, int]], max_rows: int, seed: int
):
    """With holes in the masks, and calls that are split."""
    rng = np.random.default_rng(seed)
    calls = []
    for rows, length in shapes:
        mask = rng.integers(0, 2, (rows, length))
        mask[:, 0] = 1
        calls.append(request({"ids": rng.integers(0, 100, (rows, length)), "mask": mask}))
    check_as_alone(tokens, calls, asyncio.run(together(tokens, calls, max_rows=max_rows)))


def test_a_model_that_keeps_to_its_mask_is_padded(load):
    """As declared; nothing needs to be said. Calls of different lengths do share a run."""
    model = load(models.tokens(), padding=TOKENS, unpadding={"each": 1})
    assert (model.pads, model.notes) == (True, ())
    calls = [request({"ids": np.ones((1, n), np.int64), "mask": np.ones((1, n), np.int64)}) for n in (5, 6)]
    assert [rows for rows, _ in asyncio.run(together(model, calls))] == [2, 2]


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_model_that_looks_past_its_mask_is_served_unpadded(load, pooling: str):
    """It says so, calls of one length are joined as ever, and every answer is right."""
    model = load(models.tokens(pooling), padding=TOKENS, unpadding={"each": 1})
    note = "calls are not padded: the output 'all' of a row depends on how far it is padded"
    assert (model.pads, model.signature.is_batched, model.notes) == (False, True, (note,))
    rng = np.random.default_rng(0)
    calls = [request({"ids": rng.integers(0, 100, (1, n)), "mask": np.ones((1, n), np.int64)}) for n in (3, 9, 3, 4, 9)]
    answers = asyncio.run(together(model, calls))
    check_as_alone(model, calls, answers)
    assert [rows for rows, _ in answers] == [2, 2, 2, 1, 2]


def test_outputs_of_an_eighth_of_the_length_are_cut(load):
    """The share is found out; a call whose length is no multiple of it runs by itself."""
    model = load(models.steps(), padding={"x": DeclaredFill(axis=2)}, unpadding={"y": 2})
    assert (model.pads, model.padding.step, model.notes) == (True, 8, ())
    rng = np.random.default_rng(0)
    calls = [request({"x": rng.random((1, 1, n), np.float32)}) for n in (16, 24, 20)]
    answers = asyncio.run(together(model, calls))
    check_as_alone(model, calls, answers)
    assert [(rows, outputs["y"].shape[2]) for rows, outputs in answers] == [(2, 2), (2, 3), (1, 2)]


def test_models_that_are_not_joined_are_not_padded(load):
    """Batching is off."""
    model = load(models.tokens(), padding=TOKENS, unpadding={"each": 1}, batching=False)
    assert (model.pads, model.notes) == (
        False,
        ("requests are not joined: batching is off", "calls are not padded: they are not joined"),
    )


def test_sentences_of_any_length_share_runs_of_a_real_encoder(load):
    """MiniLM: padding is proven, and shows in no answer."""
    try:
        path = models.real_model("minilm")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    model = load(path, padding=SENTENCES, unpadding={"last_hidden_state": 1})
    assert (model.pads, model.notes) == (True, ())
    rng = np.random.default_rng(0)
    calls = []
    for rows, length in ((1, 9), (2, 12), (1, 31), (3, 10), (1, 60), (1, 11)):
        ids = rng.integers(1000, 30_000, (rows, length))
        calls.append(request({"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": ids * 0}))
    answers = asyncio.run(together(model, calls))
    check_as_alone(model, calls, answers)
    assert any(rows > wish.rows for wish, (rows, _) in zip(calls, answers, strict=True))
