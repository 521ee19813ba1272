"""Runs before the first call, on made-up models that are functions."""

import functools
from collections.abc import Callable

import numpy as np
import pytest

from serinus.core.dtypes import DType
from serinus.core.errors import BadModelOutput, ModelFailed
from serinus.core.predictor import Tensor, Tensors
from serinus.core.signature import Signature, TensorSpec
from serinus.runtime.warmup import LENGTHS, REPEATS, WarmUp, warm_up


class Clock:
    """Goes on by a fixed step with each run."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.now, self.step_s = 100.0, step_s

    def __call__(self) -> float:
        return self.now


def signature(*lengths: int | str, dtype: DType = DType.FP32) -> Signature:
    shape = ("N", *lengths)
    return Signature((TensorSpec("x", dtype, shape, 0),), (TensorSpec("y", dtype, shape, 0),))


def check(
    model: Callable[[Tensor], Tensor],
    takes: Signature,
    *,
    clock: Clock | None = None,
    max_rows: int = 2,
    samples: Tensors | None = None,
) -> tuple[WarmUp, list[Tensor]]:
    """The report, and what the model was given."""
    clock, given = clock or Clock(), []

    def run(inputs: Tensors, rows: int) -> Tensors:
        clock.now += clock.step_s
        given.append(inputs["x"])
        assert all(inputs[spec.name].dtype == spec.dtype.numpy for spec in takes.inputs)
        assert rows == len(inputs["x"])
        return {"y": model(inputs["x"])}

    return warm_up(takes, run, clock, samples=samples or {}, max_rows=max_rows, budget_s=1.0), given


@pytest.mark.parametrize("dtype", list(DType))
def test_rows_that_do_not_disturb_each_other_may_be_joined(dtype):
    """One row, another, both, and repeats for the costs; of every type."""
    report, given = check(lambda x: x, signature(64, dtype=dtype))
    assert report == WarmUp(runs=3 + 2 * REPEATS, seconds=0.0)
    assert [array.shape for array in given[:3]] == [(1, 64), (1, 64), (2, 64)]
    assert not np.array_equal(given[0], given[1])


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lambda x: x - x.mean(axis=0), id="the mean of the batch"),
        pytest.param(lambda x: x[::-1], id="the order of the rows"),
        pytest.param(lambda x: x[:, : 3 - len(x)], id="another shape"),
        pytest.param(lambda x: (x - x.mean(axis=0)) * 1e-5, id="small values"),
        pytest.param(lambda x: np.where(len(x) > 1, np.nan, x), id="NaN"),
    ],
)
def test_rows_that_disturb_each_other_are_not_joined(model):
    """The output is named."""
    report, _ = check(model, signature(4))
    assert report.unjoinable == (
        "requests are not joined: in a run of two rows, the output 'y' of one row depends on the other"
    )


def test_rounding_is_no_disturbance():
    """Another order of summation changes the last digits; NaN equals NaN."""
    report, _ = check(lambda x: np.append(x[:, 1:] * (1 + 1e-3 * len(x)), x[:, :1] * np.nan, axis=1), signature(4))
    assert report.unjoinable == ""


def test_a_wrong_number_of_rows_is_never_joined():
    """Neither when one row goes in nor when two do."""

    def miscount(x: Tensor, *, from_rows: int) -> Tensor:
        if len(x) >= from_rows:
            raise BadModelOutput("wrong rows")
        return x

    for from_rows in (1, 2):
        report, _ = check(functools.partial(miscount, from_rows=from_rows), signature(4))
        assert report.unjoinable == "requests are not joined: wrong rows"


def test_a_model_that_fails_on_two_rows_is_never_joined():
    """Some models say N and mean 1."""

    def fail_on_two(x: Tensor) -> Tensor:
        if len(x) > 1:
            raise ModelFailed("no")
        return x

    assert check(fail_on_two, signature(4))[0] == WarmUp(
        runs=2, seconds=0.0, unjoinable="requests are not joined: the model fails on two rows at once"
    )


def test_open_lengths_are_guessed_until_one_fits():
    """A model that needs at least 32 columns is found out."""

    def at_least_32(x: Tensor) -> Tensor:
        if x.shape[1] < 32:
            raise ModelFailed("too short")
        return x

    report, given = check(at_least_32, signature("L"))
    assert report == WarmUp(runs=3 + 2 * REPEATS, seconds=0.0)
    assert [array.shape for array in given[:4]] == [(1, 8), (1, 32), (1, 32), (2, 32)]


def test_a_model_that_fails_on_all_guesses_is_reported():
    """Nothing is known then, and nothing speaks against it."""

    def fail(_: Tensor) -> Tensor:
        raise ModelFailed("no")

    problem = "the model fails on invented inputs; give sample inputs to have it warmed up"
    report, given = check(fail, signature("L"))
    assert (report, len(given)) == (WarmUp(runs=0, seconds=0.0, problem=problem), len(LENGTHS))
    report, given = check(fail, signature(4))
    assert (report, len(given)) == (WarmUp(runs=0, seconds=0.0, problem=problem), 1)


def test_samples_are_used_row_by_row():
    """Both rows of a sample of two; what is missing is invented in the same shape."""
    sample = np.arange(6, dtype=np.float32).reshape(2, 3)
    _, given = check(lambda x: x, signature("L"), samples={"x": sample})
    np.testing.assert_array_equal(given[2], sample)
    _, given = check(lambda x: x, signature("L"), samples={"x": sample[:1]})
    np.testing.assert_array_equal(given[0], sample[:1])
    assert given[1].shape == (1, 3)


def test_a_slow_model_is_compared_but_not_repeated():
    """0.4 s a run and a second to spend: the comparison ends what it began."""
    report, _ = check(lambda x: x, signature(4), clock=Clock(0.4))
    assert report == WarmUp(runs=3, seconds=pytest.approx(1.2))


def test_a_very_slow_model_runs_once():
    """The comparison would take longer than anybody waits for a start."""
    report, _ = check(lambda x: x, signature(4), clock=Clock(1.5))
    assert report == WarmUp(
        runs=1,
        seconds=1.5,
        problem="one run takes so long that joined runs were not compared with single ones",
    )


def test_what_is_never_joined_is_not_compared():
    """With at most one row a run, or no batch axis."""
    assert check(lambda x: x, signature(4), max_rows=1)[0].runs == 1 + REPEATS


def test_a_model_that_fails_now_and_then_is_reported():
    """The same inputs once answered, once failed."""
    answers = iter([True, True, True, False])

    def moody(x: Tensor) -> Tensor:
        if not next(answers):
            raise ModelFailed("no")
        return x

    assert check(moody, signature(4))[0] == WarmUp(
        runs=3, seconds=0.0, problem="the model does not always answer the same inputs"
    )


def test_a_model_that_fails_on_the_second_row_is_reported():
    """Invented values may be invalid; that proves nothing."""
    answers = iter([True, False])

    def moody(x: Tensor) -> Tensor:
        if not next(answers):
            raise ModelFailed("no")
        return x

    assert check(moody, signature(4))[0] == WarmUp(
        runs=1,
        seconds=0.0,
        problem="the model fails on some invented inputs; joined runs were not compared",
    )
