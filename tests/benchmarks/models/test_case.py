import dataclasses
import tomllib
from pathlib import Path

import numpy as np

from models.case import Case, Pad

_SENTENCES = Case(
    "sentences",
    Path("/models/s.onnx"),
    [
        {"ids": np.array([[7, 8]]), "mask": np.array([[1, 1]])},
        {"ids": np.array([[9, 10, 11]]), "mask": np.array([[1, 1, 1]])},
    ],
    padding={"ids": Pad(axis=1, value=5), "mask": Pad(axis=1, value=0)},
    unpadding={"hidden": 1},
)
_STATES = Case(
    "states",
    Path("/models/v.onnx"),
    [{"x": np.ones((1, 3)), "state": np.full((2, 1, 2), each), "rate": np.array(16)} for each in (1, 2)],
    batch_axes={"x": 0, "state": 1, "y": 0},
)


def test_shorter_calls_are_filled_up_to_the_longest_of_their_run():
    """Each input with its own value."""
    joined = _SENTENCES.joined(_SENTENCES.inputs)

    assert {name: array.tolist() for name, array in joined.items()} == {
        "ids": [[7, 8, 5], [9, 10, 11]],
        "mask": [[1, 1, 0], [1, 1, 1]],
    }


def test_rows_are_joined_along_the_batch_axis_of_each_input():
    """An input without one belongs to no row."""
    joined = _STATES.joined(_STATES.inputs)

    assert {name: array.tolist() for name, array in joined.items()} == {
        "x": [[1, 1, 1], [1, 1, 1]],
        "state": [[[1, 1], [2, 2]], [[1, 1], [2, 2]]],
        "rate": 16,
    }


def test_a_caller_that_fills_up_leaves_nothing_to_the_server():
    """All calls have the same length, and no padding is declared."""
    padded = _SENTENCES.padded_to(4)

    assert [call["ids"].tolist() for call in padded.inputs] == [[[7, 8, 5, 5]], [[9, 10, 11, 5]]]
    assert tomllib.loads(padded.table()) == {"models": {"sentences": {"path": "/models/s.onnx"}}}


def test_the_server_is_told_what_it_cannot_see_in_the_file():
    """As a table of its configuration."""
    assert tomllib.loads(_SENTENCES.table() + _STATES.table()) == {
        "models": {
            "sentences": {
                "path": "/models/s.onnx",
                "padding": {"ids": {"axis": 1, "value": 5}, "mask": {"axis": 1, "value": 0}},
                "unpadding": {"hidden": 1},
            },
            "states": {"path": "/models/v.onnx", "batch_axes": {"x": 0, "state": 1, "y": 0}},
        }
    }


def test_a_bound_set_by_hand_is_passed_on():
    """Beside what the file does not say."""
    bound = dataclasses.replace(_STATES, batch_axes={}, max_rows=8)
    assert tomllib.loads(bound.table()) == {
        "models": {"states": {"path": "/models/v.onnx", "batching": {"max_rows": 8}}}
    }
