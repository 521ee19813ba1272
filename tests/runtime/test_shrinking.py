"""What a session keeps of its trials."""

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from serinus.core.dtypes import DType
from serinus.runtime.freed_memory import give_back
from serinus.runtime.model_file import ModelFile
from serinus.runtime.options import SessionOptions
from serinus.runtime.session import Session, open_session
from serinus.runtime.shrinking import shrink
from serinus.runtime.signatures import read_signature
from serinus.runtime.spare_memory import own_use
from tests.support import models

ROW_BYTES = 1 << 20
MANY = 64


def wasteful() -> bytes:
    """[N, 1] → [N, 1], the same; in between, each row takes two mebibytes."""
    wide = np.zeros((1, ROW_BYTES // 4), np.float32)
    wide[0, 0] = 1.0
    return models.build(
        [
            helper.make_node("MatMul", ["x", "wide"], ["left"]),
            helper.make_node("MatMul", ["x", "nothing"], ["right"]),
            helper.make_node("Add", ["left", "right"], ["both"]),
            helper.make_node("MatMul", ["both", "narrow"], ["y"]),
        ],
        [models.value("x", DType.FP32, ("N", 1))],
        [models.value("y", DType.FP32, ("N", 1))],
        [
            models.constant("wide", wide),
            models.constant("nothing", np.zeros_like(wide)),
            models.constant("narrow", wide.T.copy()),
        ],
    )


def opened(content: bytes) -> Session:
    return open_session(ModelFile("m.onnx", content, {}, 10, {"": 17}, frozenset(), has_loop=False), SessionOptions())


def test_what_a_large_run_took_is_given_back():
    """Not all of it: what the session took first it keeps. It answers as before."""
    session = opened(wasteful())
    rows = np.arange(MANY, dtype=np.float32)[:, None]
    for _ in range(2):  # the second time in one piece, beside what the first has left
        session.run(["y"], {"x": rows}, None)
    held_bytes, _ = own_use()
    assert shrink(session, read_signature(session, frozenset()), SessionOptions())
    give_back()
    assert held_bytes - own_use()[0] > MANY * ROW_BYTES
    np.testing.assert_array_equal(session.run(["y"], {"x": rows}, None)[0], rows)


def test_a_model_that_fails_keeps_what_it_has():
    """A run that fails is nobody's concern here."""
    session = opened(models.poison(0.0))
    options = SessionOptions(samples={"x": np.zeros((1, 4), np.float32)})
    assert not shrink(session, read_signature(session, frozenset()), options)


@pytest.mark.skipif(len(onnxruntime.get_available_providers()) == 1, reason="this onnxruntime knows processors alone")
def test_the_memory_of_a_device_is_left_to_its_runtime():
    """Nothing is run for it."""
    session = opened(models.identity())
    options = SessionOptions(providers=tuple(onnxruntime.get_available_providers()))
    assert not shrink(session, read_signature(session, frozenset()), options)
