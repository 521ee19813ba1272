"""PredictService's single calls and AdminService, over versions made by hand."""

from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import CollectorRegistry

from serinus.core.dtypes import DType
from serinus.core.signature import Signature, TensorSpec
from serinus.lifecycle.models import Models
from serinus.telemetry.metrics import Metrics
from serinus.telemetry.outcome import DispatchReason, Outcome
from serinus.transport.admin.service import AdminService, ServerFacts
from serinus.transport.deadlines import Budgets
from serinus.transport.drain import Drain
from serinus.transport.guard import welcome
from serinus.transport.predict_codec import PredictDecoder
from serinus.transport.predict_service import PredictService
from serinus.transport.rollouts.values import Worker
from serinus.transport.wire_limits import WireLimits
from serinus_api.v1 import admin_pb2, predict_pb2
from tests.lifecycle.fake_servables import FakeLoader, model_plan
from tests.transport.fake_context import FakeContext

SIGNATURE = Signature(
    (
        TensorSpec("x", DType.FP32, ("n", 8), 0),
        TensorSpec("state", DType.BF16, (2, "n"), 1, optional=True),
        TensorSpec("rate", DType.INT64, ()),
    ),
    (TensorSpec("y", DType.BYTES, ("n",), 0),),
)

WORKER = Worker("a1", 1_700_000_001.0, is_ready=True, revision=12, controls_rollouts=True)


class Fixture:
    """The services, and how to call them."""

    def __init__(self) -> None:
        self.loader = FakeLoader()
        self.metrics = Metrics(CollectorRegistry())
        self.models = Models(self.loader, refused=self.metrics.refused, forget=self.metrics.forget)
        predict = PredictService(
            models=self.models,
            predictor=self.models,
            decoder=PredictDecoder(budgets=Budgets(), max_inputs=4),
            limits=WireLimits.of(predict_pb2.PredictRequest, 4),
            drain=Drain(),
            metrics=self.metrics,
        )
        self.admin = AdminService(
            models=self.models,
            metrics=self.metrics,
            facts=ServerFacts(version="1.2.3", started_unix_s=1_700_000_000.25, compute_threads=2),
            is_ready=lambda: True,
            workers=lambda: [WORKER],
        )
        self._handlers = (predict.handler(welcome), self.admin.handler())

    async def call(self, method: str, message: bytes, *, remaining_s: float | None = None) -> bytes:
        class Details(grpc.HandlerCallDetails):
            pass

        details = Details()
        details.method = method
        (found,) = filter(None, (handler.service(details) for handler in self._handlers))
        self.context = FakeContext(remaining_s=remaining_s)
        answer: bytes = await found.unary_unary(message, self.context)
        return answer

    async def refusal(self, method: str, message: bytes) -> tuple[grpc.StatusCode, str]:
        assert await self.call(method, message) == b""
        ((code, sentence, _),) = self.context.aborted
        return code, sentence


@pytest.fixture
async def services() -> AsyncIterator[Fixture]:
    made = Fixture()
    async with made.models:
        yield made


PREDICT = "/serinus.v1.PredictService/Predict"
INFO = "/serinus.v1.PredictService/GetModelInfo"
STATUS = "/serinus.v1.AdminService/GetServerStatus"


async def test_a_call_is_answered(services: Fixture):
    """By the version that it means, with its id."""
    await services.models.reload(model_plan("m", 1, 2))
    request = predict_pb2.PredictRequest(
        model="m",
        version="1",
        request_id="r-1",
        inputs=[predict_pb2.Tensor(name="x", dtype=predict_pb2.DATA_TYPE_UINT8, shape=[2], data=b"ab")],
    )
    answer = predict_pb2.PredictResponse.FromString(await services.call(PREDICT, request.SerializeToString()))
    assert answer == predict_pb2.PredictResponse(
        model="m",
        version="1.0.0",
        request_id="r-1",
        outputs=[predict_pb2.Tensor(name="x", dtype=predict_pb2.DATA_TYPE_UINT8, shape=[2], data=b"ab")],
        batch_rows=1,
    )


@pytest.mark.parametrize(
    ("message", "code", "sentence", "reason"),
    [
        (
            b"\xff",
            grpc.StatusCode.INVALID_ARGUMENT,
            "MALFORMED_REQUEST: cannot parse the message as a PredictRequest",
            "MALFORMED_REQUEST",
        ),
        (
            predict_pb2.PredictRequest(model="m", request_id="\n").SerializeToString(),
            grpc.StatusCode.INVALID_ARGUMENT,
            "CONTROL_CHARACTER: request_id: expected no control characters",
            "CONTROL_CHARACTER",
        ),
        (
            predict_pb2.PredictRequest(model="none").SerializeToString(),
            grpc.StatusCode.NOT_FOUND,
            "NOT_FOUND: model 'none': expected one that this server has; 'serinus models list' shows them",
            "NOT_FOUND",
        ),
    ],
)
async def test_a_call_that_is_refused_is_counted_once(
    services: Fixture, message: bytes, code: grpc.StatusCode, sentence: str, reason: str
):
    """Whoever refuses it, because no model counts it."""
    assert await services.refusal(PREDICT, message) == (code, sentence)
    assert list(services.metrics.refusals.values()) == [1], reason


async def test_info_says_what_a_model_takes_and_gives(services: Fixture):
    """Of the version that a call would reach, and which versions there are, newest first."""
    await services.models.reload(model_plan("m", 1, 2))
    for servable in services.loader.made:
        servable.signature = SIGNATURE
    asked = predict_pb2.GetModelInfoRequest(model="m", version="1").SerializeToString()
    assert predict_pb2.GetModelInfoResponse.FromString(await services.call(INFO, asked)) == (
        predict_pb2.GetModelInfoResponse(
            model="m",
            version="1.0.0",
            inputs=[
                {"name": "x", "dtype": predict_pb2.DATA_TYPE_FP32, "shape": [-1, 8], "batch_axis": 0},
                {
                    "name": "state",
                    "dtype": predict_pb2.DATA_TYPE_BF16,
                    "shape": [2, -1],
                    "batch_axis": 1,
                    "optional": True,
                },
                {"name": "rate", "dtype": predict_pb2.DATA_TYPE_INT64},
            ],
            outputs=[{"name": "y", "dtype": predict_pb2.DATA_TYPE_BYTES, "shape": [-1], "batch_axis": 0}],
            serving_versions=["2.0.0", "1.0.0"],
            max_rows=8,
        )
    )


async def test_info_about_what_there_is_not_is_not_found(services: Fixture):
    """And what is no name is no name."""
    asked = predict_pb2.GetModelInfoRequest(model="none").SerializeToString()
    assert await services.refusal(INFO, asked) == (
        grpc.StatusCode.NOT_FOUND,
        "NOT_FOUND: model 'none': expected one that this server has; 'serinus models list' shows them",
    )
    code, _ = await services.refusal(INFO, predict_pb2.GetModelInfoRequest(model="../etc").SerializeToString())
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_status_of_a_fresh_server(services: Fixture):
    """Nothing is loaded, nothing was called."""
    answer = admin_pb2.GetServerStatusResponse.FromString(await services.call(STATUS, b""))
    assert answer == admin_pb2.GetServerStatusResponse(
        server_version="1.2.3",
        started_at=Timestamp(seconds=1_700_000_000, nanos=250_000_000),
        ready=True,
        compute_threads=2,
        workers=[
            admin_pb2.WorkerStatus(
                id="a1",
                started_at=Timestamp(seconds=1_700_000_001),
                ready=True,
                revision=12,
                controls_rollouts=True,
            )
        ],
    )


async def test_the_status_shows_every_version_with_its_counters(services: Fixture):
    """Those that do not serve have a reason in place of counters."""
    await services.models.reload(model_plan("m", 1))
    services.models.reject("broken", "config.pbtxt cannot be parsed")
    metrics = services.metrics.model(services.loader.made[0].identity)
    metrics.watch_queue(calls=lambda: 3, rows=lambda: 7)
    metrics.ran(rows=4, seconds=0.5, reason=DispatchReason.IDLE)
    metrics.answered(request_s=0.5, queue_s=0.25, compute_s=0.125, rows=4)
    metrics.encoded(0.001)
    metrics.unanswered(Outcome.SHED)
    services.metrics.watch_bytes_in_flight(lambda: 5, 10)
    services.metrics.loop_lag(0.002)
    answer = admin_pb2.GetServerStatusResponse.FromString(await services.call(STATUS, b""))
    assert (answer.bytes_in_flight, answer.bytes_limit, answer.event_loop_lag_us) == (5, 10, 2000)
    broken, model = answer.models
    assert broken == admin_pb2.ModelStatus(
        model="broken",
        version="0.0.0",
        state=admin_pb2.MODEL_STATE_UNAVAILABLE,
        reason="config.pbtxt cannot be parsed",
    )
    latency = {phase: (summary.count, summary.sum_s) for phase, summary in model.latency.items()}
    assert latency == {"request": (1, 0.5), "queue": (1, 0.25), "compute": (1, 0.125), "encode": (1, 0.001)}
    summary = model.latency["request"]
    assert summary.p50_s <= summary.p90_s <= summary.p99_s == pytest.approx(0.5, rel=0.2)
    assert len(summary.bucket_counts) == len(summary.bucket_bounds_s) + 1
    model.ClearField("latency")
    unanswered = dict.fromkeys((outcome.value for outcome in Outcome), 0) | {"shed": 1}
    assert model == admin_pb2.ModelStatus(
        model="m",
        version="1.0.0",
        version_number=1,
        state=admin_pb2.MODEL_STATE_READY,
        answered=1,
        rows=4,
        batches=1,
        unanswered=unanswered,
        queued_calls=3,
        queued_rows=7,
    )


async def test_what_serves_of_a_model_is_told_apart(services: Fixture):
    """Newest first; other models, and versions that do not serve, are not among them."""
    await services.models.reload(model_plan("m", 1, 2))
    await services.models.reload(model_plan("other", 1))
    services.models.reject("broken", "config.pbtxt cannot be parsed")
    serving = services.admin.serving
    assert [(each.version, each.state) for each in serving("m")] == [
        ("2.0.0", admin_pb2.MODEL_STATE_READY),
        ("1.0.0", admin_pb2.MODEL_STATE_READY),
    ]
    assert (serving("broken"), serving("none")) == ([], [])


async def test_the_earlier_of_both_deadlines_is_the_calls(services: Fixture):
    """The gRPC deadline's rest comes from the context."""
    await services.models.reload(model_plan("m", 1))
    seen: list[float] = []
    servable = services.loader.made[0]
    predict = servable.predict

    async def watched(request, /):
        seen.append(request.deadline - request.arrived)
        return await predict(request)

    servable.predict = watched
    for remaining_s, timeout_us in [(None, 0), (5.0, 0), (5.0, 1_000_000), (None, 2_000_000)]:
        request = predict_pb2.PredictRequest(model="m", timeout_us=timeout_us)
        await services.call(PREDICT, request.SerializeToString(), remaining_s=remaining_s)
    assert seen == pytest.approx([60.0, 5.0, 1.0, 2.0])


async def test_an_encoder_is_given_what_the_model_gave(services: Fixture):
    """Arrays that do not lie one row after the other are written in order."""
    await services.models.reload(model_plan("m", 1))
    servable = services.loader.made[0]
    predict = servable.predict

    async def transposed(request, /):
        response = await predict(request)
        response.outputs = {"y": np.array([[1, 2], [3, 4]], np.uint8).T}
        return response

    servable.predict = transposed
    answer = predict_pb2.PredictResponse.FromString(
        await services.call(PREDICT, predict_pb2.PredictRequest(model="m").SerializeToString())
    )
    assert [tensor.data for tensor in answer.outputs] == [bytes([1, 3, 2, 4])]
