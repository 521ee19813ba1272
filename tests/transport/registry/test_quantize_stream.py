"""QuantizeModel: what is ordered, how progress is told, and who ends it."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest

from serinus.runtime.quantization.report import QuantizationBounds, QuantizationReport, RecipeResult
from serinus.transport.registry.quantize_values import QuantizeStep
from serinus_api.v1 import predict_pb2
from serinus_api.v1 import registry_pb2 as pb
from tests.support.records import version_record
from tests.transport.registry.registry_on_grpc import Registry, refusal, refused_field, running

FLOAT = RecipeResult("float", 100, 0.5, 8, 1.0, 1.0, 1.0, 0.0, accepted=True)
SMALL = RecipeResult("fp16", 50, 0.25, 8, 0.5, 0.99, 0.98, 0.01, accepted=False, reason="its smallest cosine is 0.98")
REPORT = QuantizationReport((FLOAT, SMALL), "", "keep the float model")
X = predict_pb2.Tensor(name="x", dtype=predict_pb2.DATA_TYPE_FP32, shape=[1, 2], data=np.float32([1, 2]).tobytes())


@pytest.fixture
async def served() -> AsyncIterator[Registry]:
    async with running() as made:
        yield made


async def test_what_is_ordered_reaches_the_quantizer(served: Registry):
    """The bounds that nobody names are the usual ones."""
    asked = pb.QuantizeModelRequest(
        model="m",
        selector="^1",
        calibration=[X],
        traffic_rows=10,
        traffic_timeout_s=2.5,
        recipes=["fp16"],
        bounds=pb.QuantizationBounds(min_cosine=0.5, max_size_ratio=0.75),
        dry_run=True,
        actor="ann",
    )
    assert [each async for each in served.stream("QuantizeModel", asked)] == []
    (order,) = served.quantizer.orders
    assert {name: value.tolist() for name, value in order.calibration.items()} == {"x": [[1.0, 2.0]]}
    assert (order.model, order.selector, order.actor, order.is_dry_run) == ("m", "^1", "ann", True)
    assert (order.traffic_rows, order.traffic_timeout_s, order.recipes) == (10, 2.5, ("fp16",))
    assert order.bounds == QuantizationBounds(min_cosine=0.5, max_size_ratio=0.75)


async def test_progress_is_told_and_the_last_message_holds_the_report(served: Registry):
    """With the version that was registered, if one was."""
    registered = version_record("1.0.1", 2)
    served.quantizer.steps = [
        QuantizeStep("measuring float", 0, 1, result=FLOAT),
        QuantizeStep("done", 1, 1, report=REPORT),
        QuantizeStep("done", 1, 1, report=REPORT, registered=registered),
    ]
    first, kept, won = [each async for each in served.stream("QuantizeModel", pb.QuantizeModelRequest(model="m"))]
    row = pb.RecipeResult(
        recipe="float",
        size_bytes=100,
        batch_1_s=0.5,
        best_batch=8,
        best_batch_s=1.0,
        argmax_agreement=1.0,
        min_cosine=1.0,
        accepted=True,
    )
    assert first == pb.QuantizeModelResponse(stage="measuring float", total=1, result=row)
    assert (kept.done, kept.report.results[0], kept.report.results[1].reason) == (1, row, SMALL.reason)
    assert (kept.report.winner, kept.report.sentence, kept.report.HasField("version")) == (
        "",
        "keep the float model",
        False,
    )
    assert (won.report.version.version, won.report.version.facts_yaml) == ("1.0.1", "")
    assert served.quantizer.orders[0].actor == "anonymous@127.0.0.1"


@pytest.mark.parametrize("way", ["cancel", "close"])
async def test_a_client_that_goes_away_ends_the_work(served: Registry, way: str):
    """Minutes of a machine's time would be nobody's."""
    served.quantizer.steps = [QuantizeStep("measuring float", 0, 1)]
    served.quantizer.gate.clear()
    call = served.stream("QuantizeModel", pb.QuantizeModelRequest(model="m"))
    await call.read()
    if way == "cancel":
        call.cancel()
    else:
        await served.channel.close()
    async with asyncio.timeout(20):
        await served.quantizer.is_closed.wait()


async def test_the_drain_ends_the_work(served: Registry):
    """It would outlast any grace."""
    served.quantizer.steps = [QuantizeStep("measuring float", 0, 1)]
    served.quantizer.gate.clear()
    call = served.stream("QuantizeModel", pb.QuantizeModelRequest(model="m"))
    await call.read()
    served.drain.begin()
    assert await refusal(call) == (grpc.StatusCode.UNAVAILABLE, "DRAINING: the server is going away")
    assert served.quantizer.is_closed.is_set()


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"model": "M"}, "INVALID_NAME", "model"),
        ({"actor": "\0"}, "CONTROL_CHARACTER", "actor"),
        ({"calibration": [X, X]}, "DUPLICATE_INPUT", "x"),
        ({"calibration": [predict_pb2.Tensor(name=str(i)) for i in range(5)]}, "TOO_MANY_INPUTS", ""),
        ({"calibration": [predict_pb2.Tensor(name="x", dtype=99)]}, "UNKNOWN_DTYPE", "x"),
        ({"traffic_rows": 65_537}, "OUT_OF_RANGE", "traffic_rows"),
        ({"traffic_timeout_s": float("nan")}, "NOT_FINITE", "traffic_timeout_s"),
        ({"traffic_timeout_s": -1}, "OUT_OF_RANGE", "traffic_timeout_s"),
        ({"traffic_timeout_s": 3601}, "OUT_OF_RANGE", "traffic_timeout_s"),
        ({"bounds": {"min_cosine": float("nan")}}, "INVALID_BOUNDS", "bounds.min_cosine"),
        ({"bounds": {"max_size_ratio": float("inf")}}, "INVALID_BOUNDS", "bounds.max_size_ratio"),
        ({"bounds": {"min_argmax_agreement": 1.5}}, "INVALID_BOUNDS", "bounds.min_argmax_agreement"),
        ({"recipes": ["a"] * 1025}, "TOO_MANY_ENTRIES", "recipes"),
    ],
)
async def test_what_cannot_be_ordered_is_refused_with_its_field(served: Registry, fields, reason: str, field: str):
    """Before the quantizer hears of it."""
    asked = pb.QuantizeModelRequest(**{"model": "m", **fields})
    assert await refused_field(served.stream("QuantizeModel", asked)) == (reason, field)
    assert served.quantizer.orders == []
