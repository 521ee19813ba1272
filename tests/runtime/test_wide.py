"""A second session for calls that have the machine to themselves: opened where it is faster, and only there."""

import threading

import numpy as np
import pytest
from onnx import helper

from serinus.core.dtypes import DType
from serinus.core.predictor import Request
from serinus.core.signature import Signature, TensorSpec
from serinus.core.version import ModelVersion, Version
from serinus.runtime import wide
from serinus.runtime.learned import Learned
from serinus.runtime.model import OnnxModel
from serinus.runtime.model_file import ModelFile
from serinus.runtime.options import SessionOptions
from serinus.runtime.wide import MOST_BYTES, SMALL_BYTES, TRIAL, WideSession, may_pay
from tests.support import models

SIGNATURE = Signature((TensorSpec("x", DType.FP32, ("N", 2), 0),), (TensorSpec("y", DType.FP32, ("N", 2), 0),))
REQUEST = Request({"x": np.zeros((1, 2), np.float32)}, deadline=0.0)
USUAL = {"lone_threads": 2}


class FakeSession:
    """Answers, and says where it did."""

    def __init__(self, name: str, ran: list[tuple[str, str]]) -> None:
        self.name, self.ran = name, ran

    def run(self, _names, inputs, _options):
        self.ran.append((self.name, threading.current_thread().name.split("-")[0]))
        return [inputs["x"]]


def known(narrow_s: float, wide_s: float) -> Learned:
    learned = Learned(SIGNATURE, quick_s=200e-6)
    for _ in range(3):
        if narrow_s:
            learned.narrow.observe(1, narrow_s)
        if wide_s:
            learned.wide.observe(1, wide_s)
    return learned


def test_the_faster_has_the_runs_and_the_other_a_turn_now_and_then():
    """One decision out of `TRIAL` is for the one that lost."""
    for narrow_s, wide_s, usual in ((2e-3, 1e-3, True), (1e-3, 2e-3, False), (0.0, 1e-3, False), (1e-3, 0.0, True)):
        session = WideSession(FakeSession("wide", []), 2)
        chosen = [session.pays(known(narrow_s, wide_s), 1, 1) for _ in range(2 * TRIAL)]
        assert (chosen.count(usual), chosen[0]) == (2 * TRIAL - 2, usual)


@pytest.mark.parametrize(
    ("options", "size_bytes", "expected"),
    [
        (USUAL, MOST_BYTES, True),
        (USUAL, MOST_BYTES + 1, False),
        ({}, 1, False),
        ({"lone_threads": 2, "intra_op_threads": 2}, 1, False),
    ],
)
def test_a_second_session_is_tried_where_nobody_decided_otherwise(options, size_bytes, expected):
    """Not for large models, and not where the operator chose the threads."""
    assert may_pay(SessionOptions(**options), size_bytes) is expected


@pytest.mark.parametrize(
    ("size_bytes", "narrow_s", "wide_s", "opens"),
    [
        (MOST_BYTES, 9e-4, 1e-6, False),
        (MOST_BYTES, 2e-3, 1.9e-3, False),
        (MOST_BYTES, 2e-3, 1e-3, True),
        (SMALL_BYTES, 2e-3, 2.4e-3, True),
        (SMALL_BYTES, 2e-3, 2.6e-3, False),
    ],
)
def test_it_stays_where_it_is_clearly_faster(size_bytes, narrow_s, wide_s, opens):
    """By a tenth at least, and only where one row takes a millisecond; a small one if it is not clearly slower."""
    runs = []

    def run_s(session, observe, _row):
        seconds = narrow_s if session is NARROW else wide_s
        runs.append(session is NARROW)
        observe(1, seconds, 1)
        return seconds

    learned = Learned(SIGNATURE, quick_s=0.0)
    options = SessionOptions(lone_threads=2)
    found = wide.try_wide(FILE, size_bytes, NARROW, SIGNATURE, options, learned, run_s)
    assert (found is not None) is opens
    turns = [] if narrow_s < wide.LEAST_S else [False, *[True, False] * 5]
    assert runs == [True, True, *turns]
    assert repr(found) == ("<WideSession 2 threads>" if opens else "None")


NARROW = FakeSession("narrow", [])
FILE = ModelFile("m.onnx", models.identity(), {}, 10, {"": 17}, frozenset(), has_loop=False)


async def test_a_call_that_has_the_machine_to_itself_goes_to_the_faster_session(compute_pool):
    """What is quick stays where it is quickest, and all others never go there."""
    ran: list[tuple[str, str]] = []
    model = OnnxModel(
        ModelVersion("m", Version(1), 1), FakeSession("narrow", ran), SIGNATURE, SessionOptions(), compute_pool
    )
    await model.predict_wide(REQUEST)
    model._wide = WideSession(FakeSession("wide", ran), 2)
    for narrow_s, wide_s in ((2e-3, 1e-3), (1e-3, 2e-3), (1e-4, 1e-5)):
        model._know(known(narrow_s, wide_s))
        await model.predict_wide(REQUEST)
    model._know(known(2e-3, 1e-3))
    await model.predict(REQUEST)
    narrow, at_once = ("narrow", "compute"), ("narrow", "MainThread")
    assert ran == [narrow, ("wide", "compute"), narrow, at_once, narrow]
    assert model.lone_threads == 2


def heavy() -> bytes:
    """A real model whose run takes milliseconds: x FP32 [N,256] -> y, through 60 products with a matrix of 256 KiB."""
    weights = np.eye(256, dtype=np.float32)
    return models.build(
        [helper.make_node("Tile", ["x", "many"], ["h0"])]
        + [helper.make_node("MatMul", [f"h{layer}", "w"], [f"h{layer + 1}"]) for layer in range(60)]
        + [helper.make_node("Gather", ["h60", "first"], ["y"])],
        [models.value("x", DType.FP32, [1, 256])],
        [models.value("y", DType.FP32, [1, 256])],
        [
            models.constant("w", weights),
            models.constant("many", np.array([128, 1])),
            models.constant("first", np.array([0])),
        ],
    )


def test_a_real_model_answers_the_same_on_both(load):
    """Whatever the trial says here, the session itself works, does not spin, and is gone after the close."""
    model = load(heavy(), lone_threads=2)
    if model._wide is None:  # the machine was busy
        file = ModelFile("m.onnx", heavy(), {}, 10, {"": 17}, frozenset(), has_loop=False)
        model._wide = WideSession(wide.open_session(file, SessionOptions(), threads=2), 2)
    options = model._wide.session.get_session_options()
    spinning = options.get_session_config_entry("session.intra_op.allow_spinning")
    assert (options.intra_op_num_threads, spinning) == (2, "0")
    x = np.arange(256, dtype=np.float32)[None]
    request = Request({"x": x}, deadline=0.0)
    response = model._run(model._wide.session, model._learned.wide.observe, request)
    np.testing.assert_allclose(response.outputs["y"], x)
    assert {point.threads for point in model.cost_points()} == {1, 2}
    model.close()
    assert (model._wide, model.lone_threads) == (None, 1)
