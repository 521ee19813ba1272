"""What a model has learned of its runs: kept, restored, and used to choose where they are."""

import numpy as np
import pytest

from serinus.core.dtypes import DType
from serinus.core.predictor import Request
from serinus.core.run_costs import BestPoint, CostPoint
from serinus.core.signature import Signature, TensorSpec
from serinus.runtime.learned import Learned, checked
from tests.support import models


def signature(*inputs: tuple, outputs: tuple = ("N", 2), dtype: DType = DType.FP32) -> Signature:
    """Inputs `a`, `b` ... and an output, by their shapes; the first axis counts rows."""
    specs = [TensorSpec(name, dtype, shape, 0) for name, shape in zip("abc", inputs, strict=False)]
    return Signature(tuple(specs), (TensorSpec("y", DType.FP32, outputs, 0),))


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (signature(("N", 2)), True),
        (signature(("N", "L")), True),
        (signature(("N", "L"), ("N", "L"), outputs=("N", "L", 4)), True),
        (signature(("N", "L"), ("N", "M")), False),  # the longer one hides the other
        (signature(("N", "H", "W")), False),
        (signature(("N", 2), outputs=("N", "found")), False),  # values decide
        (signature(("N", 2), dtype=DType.BYTES), False),
        (signature(("N", "L"), dtype=DType.BYTES), False),
    ],
)
def test_runs_are_quick_where_rows_and_one_length_decide(of, expected):
    """Then eight quick runs of a size show that the next one is."""
    learned = Learned(of, quick_s=200e-6)
    for _ in range(8):
        learned.observe(1, 1e-4, 8)
    assert learned.is_quick(1, 8) is expected


def test_a_model_with_a_loop_is_never_quick():
    """Its values decide; so it is loaded with 0 seconds."""
    for of in (signature(("N", 2)), signature(("N", "L"))):
        learned = Learned(of, quick_s=0.0)
        for _ in range(8):
            learned.observe(1, 1e-6, 8)
        assert not learned.is_quick(1, 8)


def test_a_model_of_open_lengths_learns_by_length(load):
    """Short rows run at once when eight have shown that they are quick; lengths that nobody saw do not."""
    model = load(models.sequence_model())
    assert model.learned() == {}
    # A run that the machine held up is none in a row: on a busy one it takes more than eight.
    for _ in range(500):
        for length in (4, 100):
            model.run(Request({"x": np.zeros((2, length), np.float32)}, deadline=0.0, rows=2))
        if model.is_quick(2, 4) and model.is_quick(2, 100):
            break
    assert {(point.rows, point.length, point.threads) for point in model.cost_points()} == {(2, 4, 1), (2, 100, 1)}
    assert all(point.runs >= 8 for point in model.cost_points())
    asked = [(2, 4), (2, 100), (2, 5), (1, 4), (2, 5000)]
    assert [model.is_quick(*size) for size in asked] == [True, True, False, False, False]


def test_a_start_is_warm(load):
    """Predictions, the best rows and the costs of both sessions are those of before; what runs are seen now count."""
    kept = {
        "version": 1,
        "narrow": {"version": 1, "points": [[rows, 1, 2e-5, 100] for rows in (1, 2, 4, 8)]},
        "wide": {"version": 1, "points": [[1, 1, 0.25, 40]]},
    }
    model = load(models.tabular(), learned=kept, warm_up_s=0.0)
    assert model.is_restored
    assert model.cost.predict_s(8) == 2e-5
    assert model.cost_points()[-2:] == [CostPoint(8, 1, 1, 2e-5, 50), CostPoint(1, 1, 1, 0.25, 20)]
    assert model.cost.best_rows(8) == 8
    assert model.best_points() == (BestPoint(1, 8, pytest.approx(4e5)),)
    assert model.learned()["wide"] == {"version": 1, "points": [[1.0, 1.0, 0.25, 20]]}


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"version": 2},
        {"version": 1, "other": {}},
        {"version": 1, "narrow": {"version": 1, "points": [[1, 1, -1.0, 1]]}},
        {"version": 1, "wide": None},
    ],
)
def test_what_is_no_document_is_as_good_as_none(load, document):
    """The model is loaded all the same."""
    with pytest.raises(ValueError, match=r"^costs: expected"):
        checked(document)
    model = load(models.tabular(), learned=document or [0])
    assert not model.is_restored


def test_nothing_is_a_document():
    """Nobody knows anything of a new model."""
    assert checked({}) == {}
