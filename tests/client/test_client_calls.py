"""Calls through a running server: what travels, what comes back, and how failures look."""

import asyncio
import random

import grpc
import numpy as np
import pytest

from serinus_api.v1 import predict_pb2 as pb
from serinus_client import (
    NO_RETRIES,
    AsyncClient,
    Criticality,
    DeadlineExceeded,
    FrameLimits,
    InvalidInput,
    ModelInfo,
    NotFound,
    Overloaded,
    Refused,
    RetryPolicy,
    ServerFault,
    TensorInfo,
    Transport,
    Unauthenticated,
    Unavailable,
)
from tests.client.fake_server import FakeServer, RefusedError, echo, info

X = np.array([[1.0, 2.0]], np.float32)
WAYS = pytest.mark.parametrize("transport", list(Transport))


@pytest.fixture
async def server():
    async with FakeServer() as running:
        yield running


class Sleeps:
    """Remembers how long it was asked to sleep, and returns at once."""

    def __init__(self):
        self.waits = []

    async def __call__(self, wait_s):
        self.waits.append(wait_s)


@WAYS
async def test_a_prediction_carries_everything_there_and_back(server, transport):
    """All fields of the request, all fields of the answer."""
    async with AsyncClient(server.target, transport=transport, metadata=[("authorization", "key")]) as client:
        prediction = await client.call(
            "m",
            {"x": X},
            version="1.0.0",
            outputs=["y"],
            timeout_s=5.0,
            routing_key="user-7",
            attributes={"cohort": "beta"},
            priority=2,
            criticality="sheddable",
            tenant="acme",
            request_id="r1",
        )
    assert prediction.outputs.keys() == {"y"}
    np.testing.assert_array_equal(prediction.outputs["y"], X)
    assert (prediction.model, prediction.version, prediction.fallback) == ("m", "1.0.0", False)
    assert (prediction.queue_s, prediction.compute_s, prediction.batch_rows) == (0.0015, 0.0025, 3)
    assert prediction.request_id == "r1"
    (request,) = server.calls if transport is Transport.FRAMES else server.unary
    assert 0 <= request.timeout_us <= 5_000_000
    request.ClearField("timeout_us")
    assert request == pb.PredictRequest(
        model="m",
        version="1.0.0",
        inputs=[pb.Tensor(name="x", dtype=pb.DATA_TYPE_FP32, shape=[1, 2], data=X.tobytes())],
        outputs=["y"],
        request_id="r1",
        routing_key="user-7",
        attributes={"cohort": "beta"},
        priority=2,
        criticality=pb.CRITICALITY_SHEDDABLE,
        tenant="acme",
    )
    assert server.info_requests == [pb.GetModelInfoRequest(model="m", version="1.0.0")]
    assert [metadata["authorization"] for metadata in server.metadata] == ["key", "key"]


async def test_a_client_says_for_all_calls_on_whose_account_they_are(server):
    """And how much they matter, unless a call says so itself; a call that matters like no other is a mistake."""
    async with AsyncClient(server.target, tenant="acme", criticality=Criticality.SHEDDABLE) as client:
        await client.call("m", {"x": X})
        await client.call("m", {"x": X}, tenant="", criticality="critical")
        with pytest.raises(ValueError, match="criticality: expected one of critical, default, sheddable, got 'urgent'"):
            await client.call("m", {"x": X}, criticality="urgent")
    with pytest.raises(ValueError, match="criticality: expected one of critical, default, sheddable, got ''"):
        AsyncClient(server.target, criticality="")
    assert [(call.tenant, call.criticality) for call in server.calls] == [
        ("acme", pb.CRITICALITY_SHEDDABLE),
        ("", pb.CRITICALITY_CRITICAL),
    ]


@pytest.mark.parametrize(
    ("said", "route", "fallback", "reason"),
    [
        ({}, "", False, ""),
        ({"route": pb.ROUTE_PINNED}, "pinned", False, ""),
        ({"route": pb.ROUTE_RULE}, "rule", False, ""),
        ({"route": pb.ROUTE_WEIGHT}, "weight", False, ""),
        ({"route": 99}, "", False, ""),
        *(
            ({"fallback": True, "fallback_reason": number}, "", True, word)
            for word, number in {
                "error": pb.FALLBACK_REASON_ERROR,
                "timeout": pb.FALLBACK_REASON_TIMEOUT,
                "overload": pb.FALLBACK_REASON_OVERLOAD,
                "invalid": pb.FALLBACK_REASON_INVALID,
                "breaker": pb.FALLBACK_REASON_BREAKER,
                "": 99,
            }.items()
        ),
    ],
)
async def test_a_prediction_says_why_a_version_answered(server, said, route, fallback, reason):
    """Words that a newer server may have are left out."""

    async def answer(request):
        answered = await echo(request)
        answered.MergeFrom(pb.PredictResponse(**said))
        return answered

    server.answer = answer
    async with AsyncClient(server.target) as client:
        prediction = await client.call("m", {"x": X})
    assert (prediction.route, prediction.fallback, prediction.fallback_reason) == (route, fallback, reason)


@WAYS
async def test_strings_and_bfloat16_travel_both_ways(server, transport):
    """Text goes as UTF-8, floats in half the bytes."""
    server.info = info(("s", "BYTES", [-1]))
    async with AsyncClient(server.target, transport=transport) as client:
        assert (await client.predict("m", {"s": ["a", "é"]}))["y"].tolist() == [b"a", "é".encode()]
    server.info = info(("x", "BF16", [-1, 2]))
    async with AsyncClient(server.target, transport=transport) as client:
        outputs = await client.predict("m", {"x": np.array([[1.0, 3.14159]], np.float32)})
    assert (outputs["y"].dtype, outputs["y"].tolist()) == (np.float32, [[1.0, 3.140625]])


@pytest.mark.parametrize(
    ("inputs", "outputs", "sentence"),
    [
        ({"x": X.astype(np.float64)}, (), "WRONG_DTYPE: input 'x': expected FP32, got FP64"),
        ({"x": X[0]}, (), "WRONG_SHAPE: input 'x': expected shape [-1, 2], got [2]"),
        ({}, (), "MISSING_INPUT: missing inputs ['x']: expected ['x']"),
        ({"x": X, "z": X}, (), "UNKNOWN_INPUT: unknown inputs ['z']: expected ['x']"),
        ({"x": X}, ["q"], "UNKNOWN_OUTPUT: unknown outputs ['q']: expected some of ['y']"),
        ({"x": X}, ["y", "y"], "DUPLICATE_OUTPUT: outputs ['y', 'y']: expected each at most once"),
    ],
)
async def test_what_the_model_does_not_take_is_never_sent(server, inputs, outputs, sentence):
    """The sentence is the one that the server would have answered."""
    async with AsyncClient(server.target) as client:
        with pytest.raises(InvalidInput) as raised:
            await client.predict("m", inputs, outputs=outputs)
    assert str(raised.value) == sentence
    assert (server.frames, server.unary) == ([], [])


async def test_optional_inputs_may_be_left_out(server):
    """The model has a default for them."""
    server.info = info(("x", "FP32", [-1, 2]), ("bias", "FP32", [-1, 2]))
    server.info.inputs[1].optional = True
    async with AsyncClient(server.target) as client:
        await client.predict("m", {"x": X})
        with pytest.raises(InvalidInput, match=r"unknown inputs \['z'\]: expected \['x', 'bias'\]"):
            await client.predict("m", {"x": X, "z": X})
    assert [[tensor.name for tensor in request.inputs] for request in server.calls] == [["x"]]


async def test_a_model_is_described_once_however_many_calls_begin_at_once(server):
    """The first calls share one question."""
    async with AsyncClient(server.target) as client:
        await asyncio.gather(*(client.predict("m", {"x": X}) for _ in range(20)))
        await client.predict("m", {"x": X})
    assert server.info_requests == [pb.GetModelInfoRequest(model="m")]


async def test_a_swapped_model_is_described_again(server):
    """Both ways in which a call can stop fitting: here, and there."""
    wide = np.zeros((1, 3), np.float32)
    async with AsyncClient(server.target) as client:
        await client.predict("m", {"x": X})

        server.info = info(("x", "FP32", [-1, 3]), version="2.0.0")
        assert (await client.predict("m", {"x": wide}))["y"].shape == (1, 3)

        async def only_int64(request):
            if request.inputs[0].dtype != pb.DATA_TYPE_INT64:
                raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "WRONG_DTYPE")
            return await echo(request)

        server.answer = only_int64
        server.info = info(("x", "INT64", [-1, 3]), version="3.0.0")
        assert (await client.predict("m", {"x": [[1, 2, 3]]}))["y"].dtype == np.int64
    assert len(server.info_requests) == 3


async def test_wrong_inputs_do_not_ask_the_server_again_and_again(server):
    """One question tells that nothing changed; the next calls believe it."""
    async with AsyncClient(server.target) as client:
        for _ in range(5):
            with pytest.raises(InvalidInput):
                await client.predict("m", {"x": [["text"]]})
    assert len(server.info_requests) == 2


@WAYS
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.NOT_FOUND, NotFound),
        (grpc.StatusCode.FAILED_PRECONDITION, Refused),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Overloaded),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (grpc.StatusCode.INTERNAL, ServerFault),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidInput),
    ],
)
async def test_a_refusal_is_the_same_error_either_way(server, transport, code, kind):
    """Class, reason, sentence and code; and one try."""

    async def refuse(_):
        raise RefusedError(code, "SOME_REASON", "a sentence")

    server.answer = refuse
    async with AsyncClient(server.target, transport=transport) as client:
        with pytest.raises(kind) as raised:
            await client.predict("m", {"x": X})
    assert (raised.value.reason, raised.value.message, raised.value.code) == ("SOME_REASON", "a sentence", code)
    assert len(server.calls) + len(server.unary) == 1


@WAYS
async def test_pushback_is_waited_for(server, transport):
    """Then the call goes again and answers."""
    answers = iter([RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_after_ms=250), None])

    async def refuse_once(request):
        if (refused := next(answers)) is not None:
            raise refused
        return await echo(request)

    server.answer = refuse_once
    sleeps = Sleeps()
    async with AsyncClient(server.target, transport=transport, sleep=sleeps, rng=random.Random(1)) as client:
        np.testing.assert_array_equal((await client.predict("m", {"x": X}))["y"], X)
    (wait_s,) = sleeps.waits
    assert 0.25 <= wait_s <= 0.3


@WAYS
async def test_a_negative_pushback_means_never(server, transport):
    """Whatever the code."""

    async def refuse(_):
        raise RefusedError(grpc.StatusCode.UNAVAILABLE, "GOING", retry_after_ms=-1)

    server.answer = refuse
    sleeps = Sleeps()
    async with AsyncClient(server.target, transport=transport, sleep=sleeps) as client:
        with pytest.raises(Unavailable, match="GOING"):
            await client.predict("m", {"x": X})
    assert sleeps.waits == []


async def test_closing_wakes_a_call_that_waits_before_a_retry(server):
    """It does not hold its caller until the server's time has come."""
    asleep = asyncio.Event()

    async def refuse(_):
        raise RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_after_ms=5000)

    async def sleep_for_ever(_):
        asleep.set()
        await asyncio.Event().wait()

    server.answer = refuse
    async with AsyncClient(server.target, sleep=sleep_for_ever) as client:
        call = asyncio.ensure_future(client.predict("m", {"x": X}))
        await asleep.wait()
    with pytest.raises(Unavailable, match="CLIENT_CLOSED"):
        await call


async def test_a_server_that_is_not_there_is_unavailable():
    """After the tries that the policy allows, in a sentence that names the trouble."""
    async with FakeServer() as gone:
        target = gone.target
    sleeps = Sleeps()
    async with AsyncClient(target, sleep=sleeps, retry=RetryPolicy(attempts=3)) as client:
        with pytest.raises(Unavailable, match="refused"):
            await client.predict("m", {"x": X})
    assert len(sleeps.waits) == 2


async def test_a_model_that_cannot_be_described_ends_every_waiting_call(server):
    """Each with an exception of its own."""
    server.info_error = RefusedError(grpc.StatusCode.NOT_FOUND, "UNKNOWN_MODEL", "no model 'm'")
    async with AsyncClient(server.target) as client:
        errors = await asyncio.gather(*(client.predict("m", {"x": X}) for _ in range(3)), return_exceptions=True)
    assert [str(error) for error in errors] == ["UNKNOWN_MODEL: no model 'm'"] * 3
    assert len({id(error) for error in errors}) == 3
    assert len(server.info_requests) == 1


async def test_a_stream_that_is_refused_gives_each_call_the_reason(server):
    """Not an endless series of streams."""
    server.stream_error = RefusedError(grpc.StatusCode.UNAUTHENTICATED, "NO_KEY", "a key is needed")
    async with AsyncClient(server.target) as client:
        with pytest.raises(Unauthenticated, match="NO_KEY: a key is needed"):
            await client.predict("m", {"x": X})
    assert server.streams == 1


async def test_a_call_too_large_for_a_frame_goes_alone(server):
    """As a unary call, so that its transfer holds nobody back."""
    large = np.zeros((200, 2), np.float32)
    async with AsyncClient(server.target, frame_limits=FrameLimits(size_bytes=1024)) as client:
        assert (await client.predict("m", {"x": large}))["y"].shape == (200, 2)
        await client.predict("m", {"x": X})
    assert [len(server.unary), len(server.calls)] == [1, 1]


async def test_the_deadline_holds_though_the_server_is_silent(server):
    """Each call by its own, and the server hears that nobody waits."""
    answer_late = asyncio.Event()

    async def silent(request):
        await answer_late.wait()
        return await echo(request)

    async with AsyncClient(server.target) as client:
        await client.predict("m", {"x": X})
        server.answer = silent
        patient = asyncio.ensure_future(client.predict("m", {"x": X}, timeout_s=20.0))
        with pytest.raises(DeadlineExceeded, match="in time") as raised:
            await client.predict("m", {"x": X}, timeout_s=0.05)
        assert isinstance(raised.value, TimeoutError)
        assert await server.cancelled.get() == 2  # the patient one starts when this task first waits
        answer_late.set()
        np.testing.assert_array_equal((await patient)["y"], X)


@WAYS
async def test_no_time_at_all_is_an_error_at_once(server, transport):
    """Nothing hangs, and nothing negative travels."""
    async with AsyncClient(server.target, transport=transport) as client:
        await client.predict("m", {"x": X})
        with pytest.raises(DeadlineExceeded):
            await client.predict("m", {"x": X}, timeout_s=0.0)


@WAYS
@pytest.mark.parametrize("timeout_s", [float("inf"), 1e300])
async def test_a_call_may_wait_as_good_as_for_ever(server, transport, timeout_s):
    """And the calls after it are answered as before."""
    async with AsyncClient(server.target, transport=transport) as client:
        for _ in range(2):
            np.testing.assert_array_equal((await client.predict("m", {"x": X}, timeout_s=timeout_s))["y"], X)


@WAYS
async def test_a_time_that_is_no_number_is_refused(server, transport):
    """At once, in a sentence."""
    async with AsyncClient(server.target, transport=transport) as client:
        with pytest.raises(ValueError, match="timeout_s: expected a number of seconds, got nan"):
            await client.predict("m", {"x": X}, timeout_s=float("nan"))


async def test_model_info_is_read_as_values(server):
    """Fresh each time: it is what operators look at."""
    async with AsyncClient(server.target) as client:
        described = await client.model_info("m", version="stable")
    assert described == ModelInfo(
        model="m",
        version="1.0.0",
        inputs=(TensorInfo("x", "FP32", (-1, 2), batch_axis=0),),
        outputs=(TensorInfo("y", "FP32", (-1, 2), batch_axis=0),),
        serving_versions=("1.0.0",),
        max_rows=32,
    )
    assert server.info_requests == [pb.GetModelInfoRequest(model="m", version="stable")]


async def test_the_server_tells_its_status(server):
    """The protocol's own message."""
    async with AsyncClient(server.target) as client:
        status = await client.admin.server_status()
    assert (status.server_version, status.ready) == ("0.1.0", True)


async def test_retries_can_be_turned_off(server):
    """One try."""

    async def refuse(_):
        raise RefusedError(grpc.StatusCode.UNAVAILABLE, "WORKER_LOST")

    server.answer = refuse
    async with AsyncClient(server.target, retry=NO_RETRIES) as client:
        with pytest.raises(Unavailable):
            await client.predict("m", {"x": X})
    assert len(server.calls) == 1
