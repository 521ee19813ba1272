"""Recipes on small models, each with a property that matters to them."""

import dataclasses
from typing import Any

import numpy as np
import onnx
import pytest

from serinus.core.dtypes import DType
from serinus.core.errors import InvalidInput
from serinus.core.signature import Signature, TensorSpec
from serinus.runtime.options import SessionOptions
from serinus.runtime.quantization.calibration import write_calibration
from serinus.runtime.quantization.form import Form, differences
from serinus.runtime.quantization.preparing_ways import Way
from serinus.runtime.quantization.recipe_names import RecipeName
from serinus.runtime.quantization.recipes import NotApplicable
from serinus.runtime.quantization.report import QuantizationBounds, agrees
from serinus.runtime.quantization.workbench import Workbench, form_path
from tests.runtime.quantization.quantization_models import (
    convolutional,
    convolutional_rows,
    dense,
    dense_rows,
    fading,
    fragile,
    fragile_rows,
    labelled,
)
from tests.support.models import real_model, string_model

BOUNDS = QuantizationBounds()
STATIC = [RecipeName.STATIC_QDQ_TENSOR, RecipeName.STATIC_QDQ_CHANNEL, RecipeName.STATIC_QOPERATOR]


@pytest.fixture
def bench(tmp_path):
    """A function from a model file's bytes and its rows to a workbench that is ready."""

    def make(content: bytes, rows: dict[str, Any], options: SessionOptions | None = None) -> Workbench:
        form_path(tmp_path, RecipeName.FLOAT).write_bytes(content)
        write_calibration(rows, tmp_path / "calibration.npz")
        workbench = Workbench(tmp_path, options or SessionOptions(), None)
        assert workbench.prepare(tuple(Way))
        return workbench

    return make


def operators(path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


@pytest.mark.parametrize("recipe", [RecipeName.DYNAMIC_MATMUL, *STATIC, RecipeName.FP16])
def test_matrix_multiplications_quantize_well(bench, tmp_path, recipe):
    """The form is smaller, agrees with the float model, and looks the same to callers."""
    workbench = bench(dense(), dense_rows())
    size_bytes, agreement, _ = workbench.build(recipe, BOUNDS, 60)
    path = form_path(tmp_path, recipe)
    assert size_bytes == path.stat().st_size < len(dense())
    assert agreement.min_cosine > 0.97
    assert agreement.max_absolute_difference > 0
    original = Form(form_path(tmp_path, RecipeName.FLOAT), SessionOptions(), {}).signature
    assert not differences(Form(path, SessionOptions(), {}).signature, original)


@pytest.mark.parametrize("recipe", [RecipeName.DYNAMIC_ALL, *STATIC, RecipeName.FP16])
def test_convolutions_quantize_in_old_models_too(bench, recipe):
    """Opset 11 knows no scales for channels; the model is converted first, and answers callers as before."""
    workbench = bench(convolutional(opset=11), convolutional_rows())
    size_bytes, agreement, _ = workbench.build(recipe, BOUNDS, 60)
    assert 0 < size_bytes < 2 * len(convolutional())
    assert agreement.min_cosine > 0.95


def test_a_form_that_answers_otherwise_is_seen(bench):
    """An input that is a million times larger than the others leaves them no bits."""
    workbench = bench(fragile(), fragile_rows())
    for recipe in (RecipeName.DYNAMIC_MATMUL, RecipeName.STATIC_QDQ_TENSOR):
        _, agreement, _ = workbench.build(recipe, BOUNDS, 60)
        assert not agrees(agreement, BOUNDS)


def test_the_operators_that_lose_are_left_out(bench, tmp_path):
    """Arithmetic that eight bits cannot hold stays in float; the convolution does not."""
    workbench = bench(fading(), convolutional_rows())
    bounds = QuantizationBounds(min_cosine=0.95)  # eight rows of noise are no good calibration for a convolution
    _, everything, _ = workbench.build(RecipeName.STATIC_QDQ_TENSOR, bounds, 60)
    _, some, note = workbench.build(RecipeName.STATIC_QDQ_EXCLUDE, bounds, 60)
    assert not agrees(everything, bounds)
    assert agrees(some, bounds)
    assert "arithmetic" in note
    assert "QuantizeLinear" in operators(form_path(tmp_path, RecipeName.STATIC_QDQ_EXCLUDE))


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (RecipeName.DYNAMIC_MATMUL, "the model is quantized already"),
        (RecipeName.DYNAMIC_ALL, "the model is quantized already"),
        (RecipeName.STATIC_QDQ_TENSOR, "the model is quantized already"),
        (RecipeName.STATIC_QDQ_EXCLUDE, "the model is quantized already"),
    ],
)
def test_a_quantized_model_is_not_quantized_again(bench, tmp_path, recipe, sentence):
    """The recipes say so."""
    bench(dense(), dense_rows()).build(RecipeName.STATIC_QDQ_CHANNEL, BOUNDS, 60)
    quantized = form_path(tmp_path, RecipeName.STATIC_QDQ_CHANNEL).read_bytes()
    with pytest.raises(NotApplicable, match=sentence):
        bench(quantized, dense_rows()).build(recipe, BOUNDS, 60)


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (RecipeName.DYNAMIC_MATMUL, "no operator with constant float weights among MatMul, Gemm"),
        (RecipeName.STATIC_QDQ_TENSOR, "no operator with constant float weights among Conv"),
        (RecipeName.STATIC_QDQ_EXCLUDE, "no operator with constant float weights among Conv"),
        (RecipeName.FP16, "the model has no float weights"),
    ],
)
def test_a_model_without_weights_has_nothing_to_quantize(bench, recipe, sentence):
    """Text is no number."""
    rows = {"x": np.array([[b"yes", b"no"]] * 3, np.object_)}
    with pytest.raises(NotApplicable, match=sentence):
        bench(string_model(), rows).build(recipe, BOUNDS, 60)


def test_dynamic_all_does_not_repeat_dynamic_matmul(bench):
    """A model of matrix multiplications alone would be measured twice."""
    with pytest.raises(NotApplicable, match="see dynamic-matmul"):
        bench(dense(), dense_rows()).build(RecipeName.DYNAMIC_ALL, BOUNDS, 60)


def test_there_is_nothing_to_leave_out_of_one_kind_of_operator(bench):
    """Without it, the float model would be left."""
    with pytest.raises(NotApplicable, match="one kind of operator alone"):
        bench(fragile(), fragile_rows()).build(RecipeName.STATIC_QDQ_EXCLUDE, BOUNDS, 60)


def test_names_of_classes_survive(bench):
    """Outputs of text are compared exactly, and count with the argmax."""
    rows = {"x": dense_rows()["x"]}
    _, agreement, _ = bench(labelled(), rows).build(RecipeName.DYNAMIC_MATMUL, BOUNDS, 60)
    assert agreement.argmax_agreement > 0.8
    assert agreement.min_cosine > 0.99


def test_a_model_without_a_batch_axis_is_one_sample(bench):
    """It is timed with that sample, in runs of one."""
    workbench = bench(dense(batch=4), dense_rows(4))
    assert workbench.rows == 1
    workbench.build(RecipeName.DYNAMIC_MATMUL, BOUNDS, 60)
    timings = workbench.measure([RecipeName.DYNAMIC_MATMUL], budget_s=0.2)
    assert {name: timing.best_batch for name, timing in timings.items()} == {"float": 1, "dynamic-matmul": 1}


def test_a_model_that_is_not_joined_keeps_its_rows(bench):
    """Batching that is off says nothing about the data."""
    workbench = bench(dense(), dense_rows(5), SessionOptions(batching=False))
    assert workbench.rows == 5
    timings = workbench.measure([], budget_s=0.2)
    assert timings[RecipeName.FLOAT].best_batch == 1


@pytest.mark.parametrize("content", [b"broken", dense(batch="other")])
def test_a_form_that_callers_could_not_use_is_not_timed(bench, tmp_path, content):
    """The others are."""
    workbench = bench(dense(), dense_rows())
    form_path(tmp_path, RecipeName.FP16).write_bytes(content)
    assert set(workbench.measure([RecipeName.FP16], budget_s=0.2)) == {RecipeName.FLOAT}


def test_another_signature_is_told_in_a_sentence():
    """Callers must not notice which form they get; whether rows are joined is not theirs to see."""
    spec = TensorSpec("x", DType.FP32, ("N", 2), batch_axis=0)
    original = Signature((spec,), (spec,))
    assert differences(Signature((dataclasses.replace(spec, batch_axis=None),), (spec,)), original) == ""
    other = Signature((spec,), (dataclasses.replace(spec, dtype=DType.FP16),))
    assert differences(other, original) == (
        "its outputs are x FP16['N', 2]: expected x FP32['N', 2], as the float model has"
    )


def test_rows_that_do_not_fit_are_refused(bench):
    """Before anything is tried."""
    with pytest.raises(InvalidInput, match="expected FP32, got float64"):
        bench(dense(), {"x": np.zeros((2, 64))})


def test_an_old_real_model_is_converted_and_keeps_its_answers(bench):
    """The OCR classifier: opset 11, a float image in, two classes out."""
    images = np.random.default_rng(0).normal(size=(8, 3, 48, 192)).astype(np.float32)
    workbench = bench(real_model("ocr-classifier").read_bytes(), {"x": images})
    size_bytes, agreement, _ = workbench.build(RecipeName.STATIC_QDQ_CHANNEL, BOUNDS, 60)
    assert size_bytes < 0.7 * real_model("ocr-classifier").stat().st_size
    assert agreement.min_cosine > 0.95
    _, agreement, _ = workbench.build(RecipeName.FP16, BOUNDS, 60)
    assert agreement.min_cosine > 0.999
