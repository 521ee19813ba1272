"""Which models may be padded as declared, on made-up models that are functions, and why the others may not."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from serinus.core.dtypes import DType
from serinus.core.errors import ModelFailed
from serinus.core.padding import Cut, Fill, Padding
from serinus.core.predictor import Tensor, Tensors
from serinus.core.signature import Signature, TensorSpec
from serinus.runtime.padding_declared import DeclaredPadding
from serinus.runtime.padding_proof import Proof, prove_padding

FLOATS = Signature((TensorSpec("x", DType.FP32, ("N", "L"), 0),), (TensorSpec("y", DType.FP32, ("N", "M"), 0),))
TOKENS = Signature(
    (TensorSpec("ids", DType.INT64, ("N", "L"), 0), TensorSpec("mask", DType.INT64, ("N", "L"), 0)),
    (TensorSpec("y", DType.FP32, ("N", 3), 0),),
)
EMBEDDINGS = np.random.default_rng(1).standard_normal((100, 3)).astype(np.float32)
NOT_PADDED = "calls are not padded: "
DEPENDS = NOT_PADDED + "the output 'y' of a row depends on how far it is padded"


def proof(model: Callable[..., Tensor], takes: Signature, declared: DeclaredPadding, samples: Tensors) -> Proof:
    def run(inputs: Tensors, rows: int) -> Tensors:
        assert all(inputs[spec.name].dtype == spec.dtype.numpy for spec in takes.inputs)
        assert {len(tensor) for tensor in inputs.values()} == {rows}
        return {"y": model(**inputs)}

    return prove_padding(takes, declared, run, samples)


def of_floats(model: Callable[[Tensor], Tensor], *, cut: bool = True, samples: Tensors | None = None) -> Proof:
    return proof(model, FLOATS, DeclaredPadding({"x": Fill(1, 0.0)}, {"y": 1} if cut else {}), samples or {})


def of_tokens(model: Callable[[Tensor, Tensor], Tensor], samples: Tensors | None = None) -> Proof:
    fills = {"ids": Fill(1, 0), "mask": Fill(1, 0)}
    return proof(model, TOKENS, DeclaredPadding(fills, {}), samples or {})


def embedded(ids: Tensor, size: int = 100) -> Tensor:
    if ids.max() >= size:
        raise ModelFailed("no such token")
    return EMBEDDINGS[ids]


def masked_mean(ids: Tensor, mask: Tensor) -> Tensor:
    return (embedded(ids) * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("model", "ratio"),
    [
        pytest.param(lambda x: x * 2, Fraction(1), id="each position by itself"),
        pytest.param(lambda x: np.cumsum(x, axis=1), Fraction(1), id="what came before"),
        pytest.param(lambda x: x[:, : x.shape[1] // 8 * 8 : 8], Fraction(1, 8), id="every eighth position"),
        pytest.param(lambda x: np.repeat(x, 3, axis=1), Fraction(3), id="three for each"),
    ],
)
def test_outputs_that_are_a_constant_share_as_long_are_proven(model, ratio):
    """What a padded row gives is cut to what it gives alone."""
    assert of_floats(model) == Proof(Padding({"x": Fill(1, 0.0)}, {"y": Cut(1, ratio)}))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lambda x: x - x.mean(axis=1, keepdims=True), id="the mean"),
        pytest.param(lambda x: x + x.max(axis=1, keepdims=True), id="the maximum"),
        pytest.param(lambda x: x + x.min(axis=1, keepdims=True), id="the minimum"),
        pytest.param(lambda x: x[:, ::-1], id="the end first"),
        pytest.param(lambda x: x * 1e-3 / x.shape[1], id="small values"),
    ],
)
def test_what_looks_at_filled_positions_is_found_out(model):
    """Whatever side of the filling the values must be on to show it."""
    assert of_floats(model) == Proof(None, DEPENDS)


def test_sums_of_zeros_are_no_leak():
    """Filling that adds nothing is what the author has thought of."""
    assert of_floats(lambda x: x.sum(axis=1, keepdims=True), cut=False).note == ""


@pytest.mark.parametrize(
    ("model", "note"),
    [
        pytest.param(masked_mean, "", id="masked"),
        pytest.param(lambda ids, mask: embedded(ids).mean(axis=1) + mask[:, :1], DEPENDS, id="mean"),
        pytest.param(lambda ids, mask: embedded(ids).max(axis=1) + mask[:, :1], DEPENDS, id="maximum"),
        # Only tokens that differ show it.
        pytest.param(lambda ids, mask: embedded(ids)[:, -1] * mask[:, :1], DEPENDS, id="the last"),
        pytest.param(lambda ids, mask: embedded(ids, size=2).max(axis=1) * mask[:, :1], DEPENDS, id="two tokens"),
    ],
)
def test_masks_are_put_to_the_test(model, note):
    """Tokens that the model does not have are not held against it."""
    assert of_tokens(model).note == note


def test_samples_show_what_invented_rows_do_not():
    """A leak from token 99 alone."""

    def model(ids: Tensor, mask: Tensor) -> Tensor:
        return masked_mean(ids, mask) + (ids == 99).any(axis=1, keepdims=True) * ids.shape[1]

    given = {"ids": np.full((1, 40), 99, np.int64), "mask": np.ones((1, 40), np.int64)}
    assert (of_tokens(model).note, of_tokens(model, given).note) == ("", DEPENDS)


def test_a_model_that_takes_its_samples_alone_is_proven_by_them():
    """Invented inputs fail; prefixes of the sample do not."""

    def model(ids: Tensor, mask: Tensor) -> Tensor:
        if ids[0, 0] != 99:
            raise ModelFailed("what is this")
        return masked_mean(ids, mask)

    given = {"ids": np.full((1, 40), 99, np.int64), "mask": np.ones((1, 40), np.int64)}
    assert of_tokens(model, given) == Proof(Padding({"ids": Fill(1, 0), "mask": Fill(1, 0)}, {}))
    assert of_tokens(model) == Proof(None, NOT_PADDED + "no inputs were found that the model takes in several lengths")


def test_what_fails_only_when_padded_is_not_padded():
    """A model that checks its mask."""

    def model(ids: Tensor, mask: Tensor) -> Tensor:
        if not mask.all():
            raise ModelFailed("no holes")
        return masked_mean(ids, mask)

    assert of_tokens(model).note == NOT_PADDED + "the model fails on rows that were padded"


def test_outputs_that_are_not_cut_as_they_should_be_are_found_out():
    """Longer than declared, or of a length that no share tells."""
    assert of_floats(lambda x: x, cut=False).note == (
        NOT_PADDED + "the output 'y' of a row has the shape [1, 37] alone, and [1, 64] in a padded run: it is not said"
        " how it is cut, or not a constant share of the inputs' length"
    )
    assert of_floats(lambda x: x[:, 2:]).note.startswith(NOT_PADDED + "the output 'y' of a row has the shape")
    assert of_floats(lambda x: x[:, :0]).note == (
        NOT_PADDED + "the output 'y' has no positions where the inputs have 64"
    )


def test_what_is_not_finite_where_rows_were_padded_is_not_padded():
    """It would be reported as the callers' trouble."""

    def model(x: Tensor) -> Tensor:
        with np.errstate(divide="ignore"):
            return 1 / x

    assert of_floats(model).note == NOT_PADDED + "the output 'y' is not finite where rows were padded"


@pytest.mark.parametrize(
    ("fills", "cuts", "reason"),
    [
        ({"z": Fill(1, 0)}, {}, "the model has no input 'z'"),
        ({"ids": Fill(2, 0)}, {}, "calls do not choose the length of axis 2 of the input 'ids' [-1, -1]"),
        ({"ids": Fill(0, 0)}, {}, "calls do not choose the length of axis 0 of the input 'ids' [-1, -1]"),
        ({"ids": Fill(1, 0.5)}, {}, "the input 'ids' is INT64, which has no 0.5"),
        ({"ids": Fill(1, 0)}, {}, "axis 1 of the input 'mask' is as long as the input 'ids', and not padded"),
        ({"ids": Fill(1, 0), "mask": Fill(1, 0)}, {"z": 1}, "the model has no output 'z'"),
        (
            {"ids": Fill(1, 0), "mask": Fill(1, 0)},
            {"y": 1},
            "calls do not choose the length of axis 1 of the output 'y' [-1, 3]",
        ),
    ],
)
def test_what_the_signature_speaks_against_is_not_tried(fills, cuts, reason):
    """The reason names the tensor."""
    assert prove_padding(TOKENS, DeclaredPadding(fills, cuts), lambda *_: pytest.fail("ran"), {}) == Proof(
        None, NOT_PADDED + reason
    )


def test_text_and_what_has_no_rows_is_not_padded():
    """There is nothing to fill it with, or nobody to fill it for."""
    words = Signature((TensorSpec("x", DType.BYTES, ("N", "L"), 0),), FLOATS.outputs)
    shared = Signature((TensorSpec("x", DType.FP32, ("N", "L"), None),), FLOATS.outputs)
    for takes, reason in ((words, "the input 'x' holds text"), (shared, "the input 'x' has no rows")):
        found = prove_padding(takes, DeclaredPadding({"x": Fill(1, 0)}, {}), lambda *_: pytest.fail("ran"), {})
        assert found.note == NOT_PADDED + reason
