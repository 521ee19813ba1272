"""What callers say of themselves, and why a version answered, on each of the four ways in."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from open_inference import grpc_service_pb2 as oip
from serinus.core.criticality import Criticality
from serinus.core.dtypes import DType
from serinus.core.errors import InvalidInput, NotLoaded
from serinus.core.predictor import Request, Response, Route
from serinus.core.signature import Signature, TensorSpec
from serinus.core.traffic import Trigger
from serinus.core.version import ModelVersion, Version
from serinus.telemetry.metrics import Metrics
from serinus.transport.deadlines import Budgets
from serinus.transport.drain import Drain
from serinus.transport.guard import welcome
from serinus.transport.oip.decode import InferDecoder
from serinus.transport.oip.infer import OipInfer
from serinus.transport.predict_codec import PredictDecoder
from serinus.transport.predict_service import NAME, PredictService
from serinus.transport.wire_limits import WireLimits
from serinus_api.v1 import predict_pb2 as pb
from tests.transport.fake_context import FakeContext

STABLE = ModelVersion("m", Version(1), 1)
CANDIDATE = ModelVersion("m", Version(1, 1), 2)


class Routed:
    """A predictor that shares calls out, and the models behind it.

    Attributes:
        requests: The calls that came.
        found: What the versions of calls were asked for.
        is_loaded: Whether any version serves.
        texts: Versions whose output is text.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.found: list[tuple[str, str]] = []
        self.is_loaded = True
        self.texts: set[str] = set()

    async def predict(self, request: Request, /) -> Response:
        self.requests.append(request)
        scores = np.array([[0.25, 0.75]], np.float32)
        return Response({"y": scores}, CANDIDATE, route=Route.WEIGHT, fallback=Trigger.TIMEOUT)

    def find(self, model: str, version: str) -> Any:
        self.found.append((model, version))
        if not self.is_loaded:
            raise NotLoaded("not loaded")
        dtype = DType.BYTES if version in self.texts else DType.FP32
        return Described(Signature((), (TensorSpec("y", dtype, ("n", 2), 0),)))

    def labels(self, identity: ModelVersion) -> dict[str, tuple[str, ...]]:
        return {"y": ("cat", "dog")} if identity is CANDIDATE else {}


class Described:
    """A servable of which only this is asked."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature


class Ways:
    """The methods, and how each is called."""

    def __init__(self) -> None:
        self.routed = Routed()
        self.metrics = Metrics(CollectorRegistry())
        models: Any = self.routed
        parts: Any = {"models": models, "predictor": self.routed, "drain": Drain(), "metrics": self.metrics}
        predict = PredictService(
            decoder=PredictDecoder(budgets=Budgets(), max_inputs=4),
            limits=WireLimits.of(pb.PredictRequest, 4),
            **parts,
        )
        infer_limits = WireLimits.of(oip.ModelInferRequest, 4)
        self._handler = predict.handler(welcome)
        self._infer = OipInfer(decoder=InferDecoder(budgets=Budgets(), limits=infer_limits), **parts)

    async def predict(self, context: Any, request: pb.PredictRequest) -> pb.PredictResponse:
        return pb.PredictResponse.FromString(
            await self._method("Predict").unary_unary(request.SerializeToString(), context)
        )

    async def predict_stream(self, context: Any, request: pb.PredictRequest) -> pb.PredictResponse:
        context.send(pb.PredictFrame(calls=[pb.Call(id=1, request=request)]).SerializeToString())
        context.close()
        await self._method("PredictStream").stream_stream(None, context)
        (message,) = context.written
        return pb.ReplyFrame.FromString(message).replies[0].response

    async def infer(self, context: Any, request: oip.ModelInferRequest) -> oip.ModelInferResponse:
        return oip.ModelInferResponse.FromString(await self._infer.infer(request.SerializeToString(), context))

    async def infer_stream(self, context: Any, request: oip.ModelInferRequest) -> oip.ModelInferResponse:
        context.send(request.SerializeToString())
        context.close()
        await self._infer.stream(context)
        (message,) = context.written
        return oip.ModelStreamInferResponse.FromString(message).infer_response

    def _method(self, name: str) -> Any:
        class Details(grpc.HandlerCallDetails):
            method = f"/{NAME}/{name}"

        return self._handler.service(Details())


SAID = [("user-agent", "x"), ("x-serinus-cohort", "beta"), ("x-serinus-version", "1.1.0")]
KEYED = [*SAID, ("x-serinus-routing-key", "customer 7")]
ATTRIBUTES = {"cohort": "beta", "version": "1.1.0"}
OURS = pytest.mark.parametrize("way", ["predict", "predict_stream"])
THEIRS = pytest.mark.parametrize("way", ["infer", "infer_stream"])


async def heard(way: str, metadata: Sequence[tuple[str, str]], request: Any) -> tuple[str, dict[str, str], str]:
    """Routing key, attributes and version of the call that reaches the predictor."""
    ways = Ways()
    await getattr(ways, way)(FakeContext(metadata=metadata), request)
    (call,) = ways.routed.requests
    return call.routing_key, dict(call.attributes), call.version


@OURS
@pytest.mark.parametrize(
    ("metadata", "said", "expected"),
    [
        ([], {}, ("", {}, "")),
        ([], {"attributes": {"a": "b"}, "routing_key": "k"}, ("k", {"a": "b"}, "")),
        (KEYED, {}, ("customer 7", ATTRIBUTES, "")),
        (KEYED, {"routing_key": "k", "version": "1.0.0"}, ("k", ATTRIBUTES, "1.0.0")),
        (SAID, {"attributes": {"cohort": "alpha"}}, ("", {**ATTRIBUTES, "cohort": "alpha"}, "")),
    ],
)
async def test_a_call_says_who_makes_it(way: str, metadata, said: dict[str, Any], expected):
    """What it says itself has precedence over its metadata, or its stream's."""
    assert await heard(way, metadata, pb.PredictRequest(model="m", **said)) == expected


@THEIRS
async def test_a_triton_client_says_who_calls(way: str):
    """In metadata, or by the parameter `routing_key`, which has precedence."""
    request = oip.ModelInferRequest(model_name="m")
    assert await heard(way, [], request) == ("", {}, "")
    assert await heard(way, KEYED, request) == ("customer 7", ATTRIBUTES, "")
    request.parameters["routing_key"].string_param = "k"
    assert await heard(way, KEYED, request) == ("k", ATTRIBUTES, "")


@pytest.mark.parametrize("way", ["predict", "predict_stream", "infer", "infer_stream"])
async def test_metadata_says_on_whose_account_a_call_is(way: str):
    """And how much it matters, unless the call says so itself."""
    metadata = [("x-serinus-tenant", "acme"), ("x-serinus-criticality", "critical")]
    said, own = Ways(), Ways()
    request: Any
    if way.startswith("infer"):
        request = oip.ModelInferRequest(model_name="m")
        await getattr(said, way)(FakeContext(metadata=metadata), request)
        request.parameters["tenant"].string_param = "other"
        request.parameters["criticality"].string_param = "default"
    else:
        request = pb.PredictRequest(model="m")
        await getattr(said, way)(FakeContext(metadata=metadata), request)
        request.tenant, request.criticality = "other", pb.CRITICALITY_DEFAULT
    await getattr(own, way)(FakeContext(metadata=metadata), request)
    heard = [
        (call.tenant, call.criticality, dict(call.attributes)) for ways in (said, own) for call in ways.routed.requests
    ]
    assert heard == [("acme", Criticality.CRITICAL, {}), ("other", Criticality.DEFAULT, {})]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("int64_param", 7, "WRONG_PARAMETER"),
        ("string_param", "\n", "CONTROL_CHARACTER"),
        ("string_param", "x" * 257, "TEXT_TOO_LONG"),
    ],
)
async def test_a_routing_key_that_is_none_is_refused(field: str, value: object, reason: str):
    """As other parameters are."""
    request = oip.ModelInferRequest(model_name="m")
    setattr(request.parameters["routing_key"], field, value)
    with pytest.raises(InvalidInput) as refused:
        await Ways().infer(FakeContext(), request)
    assert (refused.value.reason, refused.value.field) == (reason, "routing_key")


@OURS
async def test_a_call_hears_why_a_version_answered(way: str):
    """And why another one did."""
    answer = await getattr(Ways(), way)(FakeContext(), pb.PredictRequest(model="m"))
    assert (answer.version, answer.route, answer.fallback, answer.fallback_reason) == (
        "1.1.0",
        pb.ROUTE_WEIGHT,
        True,
        pb.FALLBACK_REASON_TIMEOUT,
    )


@THEIRS
async def test_a_triton_client_hears_why_a_version_answered(way: str):
    """In parameters of the answer."""
    answer = await getattr(Ways(), way)(FakeContext(), oip.ModelInferRequest(model_name="m"))
    told = {name: parameter.string_param for name, parameter in answer.parameters.items()}
    assert (answer.model_version, told) == ("2", {"serinus_route": "weight", "serinus_fallback": "timeout"})


@pytest.mark.parametrize("way", ["predict", "predict_stream", "infer", "infer_stream"])
async def test_metadata_that_is_refused_is_counted_once(way: str):
    """The stream with all of its calls."""
    ways = Ways()
    context: Any = FakeContext(metadata=[("x-serinus-cohort", "a\nb")])
    request = oip.ModelInferRequest(model_name="m") if way.startswith("infer") else pb.PredictRequest(model="m")
    with contextlib.suppress(InvalidInput, ValueError):  # raised inside, or no answer to be unpacked
        await getattr(ways, way)(context, request)
    assert (ways.metrics.refusals, ways.routed.requests) == ({"control_character": 1}, [])


async def test_calls_of_a_frame_say_who_makes_them_one_by_one():
    """Frames carry calls of many callers; one that is refused leaves the others alone."""
    ways, context = Ways(), FakeContext(metadata=SAID)
    calls = [
        pb.Call(id=1, request=pb.PredictRequest(model="m", attributes={"cohort": "a"})),
        pb.Call(id=2, request=pb.PredictRequest(model="m", attributes={str(n): "" for n in range(17)})),
        pb.Call(id=3, request=pb.PredictRequest(model="m")),
    ]
    context.send(pb.PredictFrame(calls=calls).SerializeToString())
    context.close()
    async with asyncio.timeout(20):
        await ways._method("PredictStream").stream_stream(None, context)
    assert [dict(call.attributes)["cohort"] for call in ways.routed.requests] == ["a", "beta"]
    replies = [reply for message in context.written for reply in pb.ReplyFrame.FromString(message).replies]
    assert {reply.id: reply.error.reason for reply in replies} == {1: "", 2: "TOO_MANY_ENTRIES", 3: ""}


def classified(**fields: Any) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name="m", outputs=[{"name": "y"}], **fields)
    request.outputs[0].parameters["classification"].int64_param = 1
    return request


async def test_classes_are_those_of_the_version_that_answered():
    """Whichever the call meant."""
    ways = Ways()
    answer = await ways.infer(FakeContext(), classified())
    assert answer.raw_output_contents == [b"\x0e\x00\x00\x000.750000:1:dog"]
    assert ways.routed.found == [("m", "")]


@pytest.mark.parametrize(
    ("metadata", "fields", "meant"),
    [(SAID, {}, "1.1.0"), (SAID, {"model_version": "1"}, "1"), ([], {"model_version": "2"}, "2")],
)
async def test_what_holds_no_classes_is_refused_before_the_run(metadata, fields: dict[str, Any], meant: str):
    """Of the version that the call means, by its own word or by its metadata's."""
    ways = Ways()
    ways.routed.texts = {meant}
    with pytest.raises(InvalidInput) as refused:
        await ways.infer(FakeContext(metadata=metadata), classified(**fields))
    assert (refused.value.reason, ways.routed.requests) == ("NOT_CLASSES", [])


async def test_another_model_may_give_the_classes():
    """A version that does not serve may have a fallback."""
    ways = Ways()
    ways.routed.is_loaded = False
    answer = await ways.infer(FakeContext(), classified())
    assert answer.raw_output_contents == [b"\x0e\x00\x00\x000.750000:1:dog"]
