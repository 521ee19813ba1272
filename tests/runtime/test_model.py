"""Loaded models: real onnxruntime, small models."""

import asyncio
import threading

import ml_dtypes
import numpy as np
import pytest

from serinus.core.dtypes import DType
from serinus.core.errors import BadModelOutput, InvalidInput, ModelFailed, ServerError
from serinus.core.predictor import Request, Response, Tensor
from serinus.core.version import ModelVersion, Version
from serinus.runtime.model import OnnxModel, load_model
from serinus.runtime.options import SessionOptions
from serinus.runtime.pool import ComputePool
from tests.support import models

VALUES: dict[DType, list] = {
    DType.BOOL: [True, False],
    DType.UINT8: [0, 2**8 - 1],
    DType.UINT16: [0, 2**16 - 1],
    DType.UINT32: [0, 2**32 - 1],
    DType.UINT64: [0, 2**64 - 1],
    DType.INT8: [-(2**7), 2**7 - 1],
    DType.INT16: [-(2**15), 2**15 - 1],
    DType.INT32: [-(2**31), 2**31 - 1],
    DType.INT64: [-(2**63), 2**63 - 1],
    DType.FP16: [-0.0, np.inf],
    DType.BF16: [1.5, np.nan],
    DType.FP32: [np.nan, 1e-45],
    DType.FP64: [5e-324, -np.inf],
    DType.BYTES: [b"", "a\0b é 日本".encode()],
}


def of(*rows: object, dtype: DType = DType.FP32) -> Tensor:
    return np.array(rows, dtype.numpy)


def call(x: Tensor, *, rows: int | None = None, outputs: tuple[str, ...] = (), **others: Tensor) -> Request:
    return Request({"x": x, **others}, deadline=0.0, rows=len(x) if rows is None else rows, outputs=outputs)


def failure(model: OnnxModel, request: Request) -> tuple[type[ServerError], str]:
    with pytest.raises(ServerError) as caught:
        model.run(request)
    return type(caught.value), caught.value.message


@pytest.mark.parametrize("dtype", list(DType))
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_every_type_goes_through_bit_by_bit(load, dtype, rows):
    """Extremes, not-a-numbers, empty and long texts; and no rows at all."""
    x = np.array([VALUES[dtype]] * rows, dtype.numpy).reshape(rows, 2)
    y = load(models.identity(dtype)).run(call(x)).outputs["y"]
    assert (y.dtype, y.shape, y.tolist() if dtype is DType.BYTES else y.tobytes()) == (
        (x.dtype, x.shape, x.tolist() if dtype is DType.BYTES else x.tobytes())
    )


@pytest.mark.parametrize("dtype", list(DType))
def test_every_type_can_be_a_scalar(load, dtype):
    """A tensor without axes has no rows."""
    x = np.empty((), dtype.numpy)
    x[()] = VALUES[dtype][1]
    y = load(models.identity(dtype, ())).run(call(x, rows=1)).outputs["y"]
    assert (y.dtype, y.shape, y.tobytes() if dtype is not DType.BYTES else y[()]) == (
        (x.dtype, (), x.tobytes() if dtype is not DType.BYTES else x[()])
    )


def test_the_answer_says_who_gave_it_and_how_long_it_took(load):
    """And holds what the weights make of the rows."""
    weights, bias = models.tabular_weights()
    x = np.arange(16, dtype=np.float32).reshape(2, 8)
    response = load(models.tabular()).run(call(x))
    assert response == Response(
        response.outputs, ModelVersion("example", Version(1, 2, 3), 7), compute_s=response.compute_s, batch_rows=2
    )
    assert response.compute_s > 0
    np.testing.assert_allclose(response.outputs["y"], x @ weights + bias)


def test_outputs_come_in_the_order_asked_for(load):
    """All of them in the model's order when nothing is asked for."""
    model = load(models.two_inputs())
    inputs = {"a": of([1, 2]), "b": of([3, 4])}

    def answer(*outputs: str) -> dict[str, list]:
        response = model.run(Request(inputs, deadline=0.0, outputs=outputs))
        return {name: value.tolist() for name, value in response.outputs.items()}

    both = {"sum": [[4, 6]], "product": [[3, 8]]}
    assert list(answer().items()) == list(both.items())
    assert list(answer("product", "sum").items()) == list(reversed(both.items()))
    assert answer("product") == {"product": [[3, 8]]}


def test_an_optional_input_may_be_left_out(load):
    """The model's default is used then."""
    model = load(models.optional_input())
    assert model.run(call(of([1, 2]))).outputs["y"].tolist() == [[11, 12]]
    assert model.run(call(of([1, 2]), offset=of(1))).outputs["y"].tolist() == [[2, 3]]


def test_a_scalar_input_serves_all_rows(load):
    """It is not joined."""
    response = load(models.scalar_model()).run(call(of([1, 2], [3, 4]), factor=np.array(2, np.float32)))
    assert response.outputs["y"].tolist() == [[2, 4], [6, 8]]


def test_rows_may_lie_on_another_axis(load):
    """Three columns are three rows once the axis is declared."""
    model = load(models.batch_axis_one(), batch_axes={"x": 1, "y": 1})
    response = model.run(call(of([1, 2, 3], [4, 5, 6]), rows=3))
    assert (response.batch_rows, response.outputs["y"].tolist()) == (3, [[2, 4, 6], [8, 10, 12]])


def test_text_that_is_no_utf8_is_the_callers_mistake(load):
    """The input is named; other inputs of the model are not to blame."""
    model = load(models.string_model())
    with pytest.raises(InvalidInput) as caught:
        model.run(call(of([b"ok", b"\xff"], dtype=DType.BYTES)))
    assert (caught.value.reason, caught.value.field, caught.value.message) == (
        ("INVALID_UTF8", "x", "input 'x': expected UTF-8 text, got other bytes")
    )


def test_text_and_other_types_live_in_one_model(load):
    """Text comes back as bytes, truth as truth."""
    response = load(models.string_model()).run(call(of([b"yes", "né".encode()], dtype=DType.BYTES)))
    assert {name: value.tolist() for name, value in response.outputs.items()} == {
        "y": [[b"yes", "né".encode()]],
        "is_yes": [[True, False]],
    }


@pytest.mark.parametrize("dtype", [DType.FP32, DType.BF16, DType.FP64])
def test_read_only_strided_and_misaligned_views_are_taken(load, dtype):
    """Inputs are often views of received bytes, at any address."""
    model = load(models.identity(dtype))
    expected = of([1, 2], [3, 4], dtype=dtype)
    received = b"\0" + expected.tobytes()
    misaligned = np.frombuffer(received, dtype.numpy, offset=1).reshape(2, 2)
    strided = np.repeat(expected, 2, axis=1)[:, ::2]
    for x in (misaligned, strided):
        assert model.run(call(x)).outputs["y"].tobytes() == expected.tobytes()


def _sum_of(dtype: DType) -> bytes:
    return models.build(
        [models.helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)],
        [models.value("x", dtype, ["N", 1003])],
        [models.value("y", dtype, [])],
    )


def test_where_an_input_begins_does_not_change_the_answer(load):
    """Onnxruntime sums in another order from another address: a longer name of the model would change the last bits."""
    model = load(_sum_of(DType.FP32))
    x = np.random.default_rng(0).standard_normal((64, 1003)).astype(np.float32)
    answers = set()
    for offset in range(0, 64, 4):
        received = bytes(offset) + x.tobytes()
        view = np.frombuffer(received, np.float32, offset=offset).reshape(x.shape)
        answers.add(model.run(call(view)).outputs["y"].tobytes())
    assert len(answers) == 1


def test_answers_do_not_share_memory_with_a_finished_run(load):
    """An answer keeps its values while the next run is made."""
    model = load(models.identity(DType.BF16))
    first = model.run(call(of([1, 2], dtype=DType.BF16))).outputs["y"]
    model.run(call(of([3, 4], dtype=DType.BF16)))
    assert first.astype(float).tolist() == [[1, 2]]
    assert first.dtype == ml_dtypes.bfloat16


@pytest.mark.parametrize(
    ("content", "request_"),
    [
        pytest.param(models.poison(666), call(of([1, 2, 3, 4], [1, 666, 3, 4])), id="a value that it cannot bear"),
        pytest.param(models.tabular(), call(of([1, 2])), id="a wrong length"),
        pytest.param(models.tabular(), Request({}, deadline=0.0), id="a missing input"),
        pytest.param(models.tabular(), call(of([1] * 8), z=of(1)), id="an unknown input"),
        pytest.param(models.tabular(), call(of([1] * 8, dtype=DType.FP64)), id="a wrong type"),
        pytest.param(models.identity(DType.BF16), call(of([1, 2])), id="a wrong type beside BF16"),
        pytest.param(models.identity(DType.BYTES), call(of([1, 2])), id="a wrong type for text"),
    ],
)
def test_a_model_that_raises_has_failed_without_telling_why(load, content, request_, capfd):
    """What onnxruntime says is kept as the cause, and printed nowhere."""
    model = load(content)
    with pytest.raises(ModelFailed) as caught:
        model.run(request_)
    assert caught.value.message == "the model failed while it ran"
    assert caught.value.__cause__ is not None
    assert capfd.readouterr() == ("", "")


def test_an_output_of_other_rows_is_never_handed_out(load):
    """A row that the model drops would shift its neighbours."""
    model = load(models.wrong_rows())
    assert model.run(call(of([1, 2, 3, 4]))).outputs["y"].tolist() == [[1, 2, 3, 4]]
    assert failure(model, call(of([-1, 2, 3, 4], [1, 2, 3, 4]))) == (
        BadModelOutput,
        "the model gave the output 'y' the shape [1, 4]: expected 2 rows on axis 0",
    )


def test_a_model_that_cannot_compute_no_rows_answers_no_rows(load):
    """From its signature, where that says the other lengths."""
    model = load(models.no_empty_batch())
    response = model.run(call(np.zeros((0, 2), np.float32)))
    assert (response.batch_rows, response.outputs["y"].shape, response.outputs["y"].dtype) == (0, (0, 2), np.float32)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(
            models.batch_leak(),
            "requests are not joined: in a run of two rows, the output 'y' of one row depends on the other",
            id="a mean over the batch",
        ),
        pytest.param(
            models.doubled_rows(),
            "requests are not joined: the model gave the output 'y' the shape [2, 4]: expected 1 rows on axis 0",
            id="two rows for one",
        ),
    ],
)
def test_a_model_whose_rows_disturb_each_other_is_served_unbatched(load, content, why):
    """It answers each call alone, and says why."""
    model = load(content)
    assert (model.signature.is_batched, model.notes) == (False, (why,))
    assert model.signature.input["x"].batch_axis is None
    assert len(model.run(call(of([1, 2, 3, 4]), rows=1)).outputs["y"]) in {1, 2}


def test_values_that_are_not_finite_pass(load):
    """They are the model's answer."""
    y = load(models.nonfinite()).run(call(of([0, -1]))).outputs["y"]
    assert (y[0, 0], np.isnan(y[0, 1])) == (-np.inf, True)


def test_costs_are_known_before_the_first_call(load):
    """Because the warm-up ran one row and two."""
    model = load(models.tabular())
    assert 0 < model.predicted_run_s(1) < 1
    assert 0 < model.predicted_run_s(2) < 1


def test_guessed_lengths_teach_no_costs(load):
    """What a short text costs says nothing about the texts to come; samples do."""
    assert load(models.sequence_model()).predicted_run_s(1) == 0
    assert load(models.sequence_model(), samples={"x": of([1, 2, 3])}).predicted_run_s(1) > 0


def test_a_model_that_fails_on_invented_inputs_is_served(load):
    """With a note."""
    model = load(models.poison(0.0), samples={"x": of([0, 0, 0, 0])})
    assert (model.signature.is_batched, model.notes) == (
        (True, ("the model fails on invented inputs; give sample inputs to have it warmed up",))
    )
    assert model.run(call(of([1, 2, 3, 4]))).outputs["y"].tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(models.tabular(), True, id="fixed lengths"),
        pytest.param(models.sequence_model(), False, id="open lengths"),
        pytest.param(models.string_model(), False, id="texts of any length"),
        pytest.param(models.counted_loop(), False, id="a loop that the call counts"),
    ],
)
def test_only_rows_may_decide_what_runs_on_the_event_loop(load, content, expected):
    """A run whose length the call decides could stop all others."""
    model = load(content)
    for _ in range(100):
        model.cost.observe(1, 1e-6)
    assert (model.is_quick(1), model.is_quick(10**6)) == (expected, False)


async def test_the_event_loop_goes_on_while_a_slow_model_runs(load):
    """A run of tens of milliseconds leaves the loop free."""
    model = load(models.slow())
    run = asyncio.ensure_future(model.predict(call(np.ones((1, 128), np.float32))))
    ticks = 0
    while not run.done():
        await asyncio.sleep(0)
        ticks += 1
    assert ticks > 10
    assert (await run).outputs["y"].shape == (1, 128)


def test_many_threads_run_one_model(load):
    """Each gets its own rows back."""
    model = load(models.identity(DType.INT64))
    wrong = []

    def ask(thread: int) -> None:
        for number in range(200):
            x = of([thread, number], dtype=DType.INT64)
            if not np.array_equal(model.run(call(x)).outputs["y"], x):
                wrong.append((thread, number))

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_closed_model_is_not_run(load):
    """Whoever holds a lease keeps it open."""
    model = load(models.tabular())
    assert repr(model).startswith("<OnnxModel example@1.2.3 [")
    model.close()
    assert repr(model) == "<OnnxModel example@1.2.3 [closed]>"
    with pytest.raises(AssertionError, match="a run of a closed model: this is a bug"):
        model.run(call(of([1] * 8)))


def test_several_threads_inside_a_run_change_nothing(tmp_path):
    """The option reaches onnxruntime, and the answers are the same."""
    path = tmp_path / "model.onnx"
    path.write_bytes(models.tabular())
    options = SessionOptions(intra_op_threads=2)
    model = load_model(ModelVersion("example", Version(1), 1), path, options, ComputePool(1))
    assert model.run(call(of([1] * 8))).outputs["y"].shape == (1, 4)
    model.close()
