"""Models that people use: rows give the same alone and together."""

from pathlib import Path

import numpy as np
import pytest

from serinus.core.predictor import Request, Tensor
from tests.support.models import real_model


def installed(name: str) -> Path:
    """The model's file; the test is skipped without it, because some packages are too large to require."""
    try:
        return real_model(name)
    except FileNotFoundError as error:
        pytest.skip(str(error))


RNG = np.random.default_rng(7)


def split(array: Tensor, axis: int | None, row: int) -> Tensor:
    return array if axis is None else np.take(array, [row], axis)


CASES = [
    pytest.param("magika", {}, {"bytes": RNG.integers(0, 257, (3, 2048)).astype(np.int32)}, id="magika"),
    pytest.param("ocr-classifier", {}, {"x": RNG.random((3, 3, 48, 192), np.float32)}, id="ocr-classifier"),
    pytest.param("ocr-recognition", {}, {"x": RNG.random((3, 3, 48, 160), np.float32)}, id="ocr-recognition"),
    pytest.param(
        "silero",
        {"batch_axes": {"input": 0, "state": 1, "output": 0, "stateN": 1}},
        {
            "input": RNG.random((3, 512), np.float32) - np.float32(0.5),
            "state": RNG.random((2, 3, 128), np.float32),
            "sr": np.array(16000, np.int64),
        },
        id="silero",
    ),
]


@pytest.mark.parametrize(("name", "options", "inputs"), CASES)
def test_rows_of_a_real_model_give_the_same_alone_and_together(load, name, options, inputs):
    """Three rows in one run against three runs; the warm-up finds the same."""
    model = load(installed(name), samples=inputs, **options)
    assert (model.signature.is_batched, model.notes) == (True, ())
    takes, gives = model.signature.input, model.signature.output
    together = model.run(Request(inputs, deadline=0.0, rows=3)).outputs
    for row in range(3):
        one = {key: split(array, takes[key].batch_axis, row) for key, array in inputs.items()}
        alone = model.run(Request(one, deadline=0.0, rows=1)).outputs
        for key, array in alone.items():
            np.testing.assert_allclose(split(together[key], gives[key].batch_axis, row), array, rtol=1e-3, atol=1e-5)


def test_silero_without_a_declaration_is_served_alone(load):
    """Its state has rows on axis 1, which no shape tells."""
    model = load(installed("silero"))
    assert (model.signature.is_batched, model.notes[0]) == (
        (False, "requests are not joined: the first axis of 'state' is always 2")
    )
