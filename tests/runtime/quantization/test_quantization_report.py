"""What is worth keeping, and the sentences that say so."""

import json
import math

import pytest

from serinus.core.errors import InvalidInput
from serinus.runtime.quantization.agreement import PERFECT, Agreement
from serinus.runtime.quantization.recipe_names import RecipeName, chosen_recipes
from serinus.runtime.quantization.report import (
    Measured,
    QuantizationBounds,
    QuantizationReport,
    RecipeResult,
    Timing,
    choose,
    judge,
)
from serinus_api.v1 import registry_pb2 as pb

USUAL = QuantizationBounds()
FLOAT = Measured(RecipeName.FLOAT, 1000, PERFECT, Timing(0.01, 1, 0.01))
QUICK = Timing(0.005, 1, 0.005, speedup=2.0, speedup_at_least=1.9)
SLOW = Timing(0.02, 1, 0.02, speedup=0.5, speedup_at_least=0.4)
EQUAL = Timing(0.009, 1, 0.0099, speedup=1.01, speedup_at_least=0.97)


def form(timing=QUICK, agreement=PERFECT, size_bytes=500, recipe=RecipeName.STATIC_QDQ_TENSOR, note=""):
    return Measured(recipe, size_bytes, agreement, timing, note)


def check(measured, expected_reason, bounds=USUAL):
    """Judge, and compare the reason; accepted forms have none."""
    result = judge(measured, FLOAT, bounds)
    assert (result.accepted, result.reason) == (not expected_reason, expected_reason)


@pytest.mark.parametrize(
    ("measured", "bounds", "reason"),
    [
        (form(), USUAL, ""),
        (FLOAT, USUAL, ""),
        (
            form(agreement=Agreement(0.9, 1.0, 0.0)),
            USUAL,
            "its largest output is at the same place in 0.9000 of the rows: expected at least 0.99",
        ),
        (form(agreement=Agreement(1.0, 0.9, 0.0)), USUAL, "its smallest cosine is 0.9000: expected at least 0.99"),
        (form(agreement=Agreement(1.0, 1.0, 5.0)), USUAL, ""),
        (
            form(agreement=Agreement(1.0, 1.0, 5.0)),
            QuantizationBounds(max_absolute_difference=1.0),
            "an output differs by 5: expected at most 1",
        ),
        (form(SLOW), USUAL, "it runs 0.50 times as fast: expected 1 or more"),
        (form(EQUAL), USUAL, "that it runs 1.01 times as fast is within the noise"),
        (form(), QuantizationBounds(min_speedup=3.0), "it runs 2.00 times as fast: expected 3 or more"),
        (form(SLOW), QuantizationBounds(min_speedup=0.3), ""),
        (form(Timing(0.05, 1, 0.05, speedup=0.2, speedup_at_least=0.0)), QuantizationBounds(min_speedup=0.1), ""),
        (form(SLOW), QuantizationBounds(max_size_ratio=0.5), ""),
        (
            form(SLOW),
            QuantizationBounds(max_size_ratio=0.4),
            "it runs 0.50 times as fast: expected 1 or more, or a size of 0.4 times the float model's: it is 0.50",
        ),
        (form(None), USUAL, "it could not be timed"),
    ],
)
def test_a_form_is_accepted_within_the_bounds_alone(measured, bounds, reason):
    """Answers count first, then speed or, if asked for, size."""
    check(measured, reason, bounds)


def test_what_is_worth_saying_of_a_form_stands_in_its_row():
    """It does not speak against the form."""
    result = judge(form(note="leaves out arithmetic"), FLOAT, USUAL)
    assert (result.accepted, result.reason) == (True, "leaves out arithmetic")


def verdict(*measured, failed=()):
    results = [judge(each, FLOAT, USUAL) for each in (FLOAT, *measured)]
    return choose([*results, *failed], USUAL)


def test_the_fastest_accepted_form_wins():
    """A faster one that answers otherwise does not."""
    quicker = Timing(0.004, 2, 0.004, speedup=5.0, speedup_at_least=4.0)
    assert verdict(
        form(),
        form(quicker, recipe=RecipeName.STATIC_QDQ_CHANNEL),
        form(Timing(0.001, 1, 0.001, 10.0, 9.0), Agreement(0.1, 0.1, 1.0), recipe=RecipeName.STATIC_QOPERATOR),
    ) == (
        "static-qdq-channel",
        (
            "static-qdq-channel wins: 5.00 times faster and 2.00 times smaller, with argmax agreement 1.0000 and"
            " cosine 1.0000 or more"
        ),
    )


@pytest.mark.parametrize(
    ("measured", "sentence"),
    [
        ((), "no recipe gave a model to compare with it"),
        ((form(SLOW),), "the one that agrees, static-qdq-tensor, is 2.00 times slower"),
        (
            (form(SLOW), form(EQUAL, recipe=RecipeName.FP16)),
            "the fastest of 2 forms that agree with it, fp16: that it runs 1.01 times as fast is within the noise",
        ),
        (
            (form(agreement=Agreement(0.5, 0.9, 1.0)),),
            (
                "nothing agrees with it; the closest, static-qdq-tensor: its largest output is at the same place in"
                " 0.5000 of the rows: expected at least 0.99"
            ),
        ),
        (
            (form(None),),
            "nothing agrees with it; the closest, static-qdq-tensor: it could not be timed",
        ),
    ],
)
def test_the_float_model_is_kept_when_nothing_wins(measured, sentence):
    """The verdict names what came closest, and by how much it lost."""
    failed = RecipeResult("dynamic-all", reason="the model has no float weights")
    assert verdict(*measured, failed=[failed]) == (None, f"keep the float model: {sentence}")


def test_a_report_is_what_json_and_the_protocol_can_hold():
    """Its keys are the protocol's names, one to one."""
    results = (judge(FLOAT, FLOAT, USUAL), judge(form(), FLOAT, USUAL), RecipeResult("fp16", reason="no"))
    mapping = QuantizationReport(results, "static-qdq-tensor", "it wins").to_mapping()
    assert json.loads(json.dumps(mapping, allow_nan=False)) == mapping
    message = pb.QuantizationReport(**mapping)
    assert [row.recipe for row in message.results] == ["float", "static-qdq-tensor", "fp16"]
    assert set(mapping["results"][0]) == {field.name for field in pb.RecipeResult.DESCRIPTOR.fields}


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("min_argmax_agreement", 1.5),
        ("min_argmax_agreement", math.nan),
        ("min_cosine", -2),
        ("max_absolute_difference", -1.0),
        ("min_speedup", math.inf),
        ("max_size_ratio", -0.1),
    ],
)
def test_bounds_that_cannot_be_meant_are_refused(name, number):
    """The message names the bound."""
    with pytest.raises(InvalidInput, match=f"{name}: expected a number") as refused:
        QuantizationBounds(**{name: number})
    assert refused.value.field == f"bounds.{name}"


def test_recipes_are_tried_in_their_own_order():
    """All of them for no name; the float model is always there and need not be asked for."""
    assert chosen_recipes(["fp16", "float", "dynamic-all"]) == (RecipeName.DYNAMIC_ALL, RecipeName.FP16)
    assert chosen_recipes([]) == tuple(RecipeName)[1:]


def test_an_unknown_recipe_is_refused():
    """The message lists those that there are."""
    with pytest.raises(InvalidInput, match="unknown recipe 'int4': expected one of float, dynamic-matmul"):
        chosen_recipes(["int4"])
