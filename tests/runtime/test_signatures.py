"""What a model takes and gives, and which axis counts rows."""

import pytest

from serinus.core.dtypes import DType
from serinus.core.errors import ModelRejected
from serinus.core.signature import Signature, TensorSpec
from tests.support import models


def fp32(name: str, *shape: int | str, axis: int | None = None, optional: bool = False) -> TensorSpec:
    return TensorSpec(name, DType.FP32, shape, batch_axis=axis, optional=optional)


@pytest.mark.parametrize(
    ("content", "inputs", "outputs", "note"),
    [
        pytest.param(models.tabular(), (fp32("x", "N", 8, axis=0),), (fp32("y", "N", 4, axis=0),), "", id="batched"),
        pytest.param(
            models.identity(shape=(None, None)),
            (fp32("x", "x.0", "x.1", axis=0),),
            (fp32("y", "y.0", "y.1", axis=0),),
            "",
            id="unnamed axes get unique names",
        ),
        pytest.param(
            models.identity(shape=("-1", 3, "?", "?", "None")),
            (fp32("x", "x.0", 3, "x.2", "x.3", "x.4", axis=0),),
            (fp32("y", "y.0", 3, "y.2", "y.3", "y.4", axis=0),),
            "",
            id="placeholders tie no axes together",
        ),
        pytest.param(
            models.scalar_model(),
            (fp32("x", "N", 2, axis=0), fp32("factor")),
            (fp32("y", "N", 2, axis=0),),
            "",
            id="a scalar input has no rows",
        ),
        pytest.param(
            models.optional_input(),
            (fp32("x", "N", 2, axis=0), fp32("offset", 1, optional=True)),
            (fp32("y", "N", 2, axis=0),),
            "",
            id="an optional input has no rows",
        ),
        pytest.param(
            models.no_batch_axis(),
            (fp32("x", 3, 2),),
            (fp32("y", 2, 3),),
            "requests are not joined: the first axis of 'x' is always 3",
            id="fixed",
        ),
        pytest.param(
            models.identity(shape=("N", "N")),
            (fp32("x", "N", "N"),),
            (fp32("y", "N", "N"),),
            "requests are not joined: 'x' has the length 'N' on two axes",
            id="square",
        ),
        pytest.param(
            models.identity(shape=()),
            (fp32("x"),),
            (fp32("y"),),
            "requests are not joined: no input has a batch axis",
            id="scalar",
        ),
        pytest.param(
            models.batch_axis_one(),
            (fp32("x", 2, "N"),),
            (fp32("y", 2, "N"),),
            "requests are not joined: the first axis of 'x' is always 2",
            id="another axis, not declared",
        ),
    ],
)
def test_axis_0_counts_rows_where_the_shapes_allow_it(load, content, inputs, outputs, note):
    """And the model says why where they do not."""
    model = load(content)
    assert model.signature == Signature(inputs, outputs)
    assert model.notes[:1] == ((note,) if note else ())


def test_a_declared_axis_replaces_what_the_shapes_say(load):
    """Rows on axis 1 are joined once the operator says so."""
    model = load(models.batch_axis_one(), batch_axes={"x": 1, "y": 1})
    assert model.signature == Signature((fp32("x", 2, "N", axis=1),), (fp32("y", 2, "N", axis=1),))
    assert (model.signature.is_batched, model.notes) == (True, ())


def test_batching_can_be_turned_off(load):
    """Then no tensor has a batch axis."""
    model = load(models.tabular(), batching=False)
    assert model.signature == Signature((fp32("x", "N", 8),), (fp32("y", "N", 4),))
    assert model.notes[0] == "requests are not joined: batching is off"


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"z": 0}, "batch axes: the model has no tensor 'z'; it has x, y"),
        ({"x": 2, "y": 1}, "batch axes: 'x': expected an axis from 0 to 1, got 2"),
        ({"x": -1, "y": 1}, "batch axes: 'x': expected an axis from 0 to 1, got -1"),
        ({"x": 0, "y": 1}, "batch axes: 'x': axis 0 has the fixed length 2"),
        ({"x": 1}, "batch axes: expected at least one input and every output, missing: y"),
        ({"y": 1}, "batch axes: expected at least one input and every output, missing: an input"),
    ],
)
def test_declared_axes_that_do_not_fit_are_rejected(load, axes, message):
    """With the name and the range."""
    with pytest.raises(ModelRejected) as caught:
        load(models.batch_axis_one(), batch_axes=axes)
    assert (caught.value.reason, caught.value.message) == ("INVALID_BATCH_AXIS", message)
