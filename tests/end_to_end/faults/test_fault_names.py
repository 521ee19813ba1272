"""Names that are no names, names that nobody has, and methods that do not exist."""

import grpc
import pytest

from open_inference import grpc_service_pb2 as oip
from serinus_api.v1 import predict_pb2 as pb
from tests.end_to_end.faults.messages import INFER, PREDICT, ROW, infer, infer_input, predict, tensor
from tests.support.invariants import World, assert_refused

INVALID = grpc.StatusCode.INVALID_ARGUMENT
SERVICE = "/inference.GRPCInferenceService/"

NO_NAMES = [
    "../etc",
    "a/../b",
    "/etc",
    " ..",
    "..",
    "a..b",
    "",
    ".hidden",
    "-flag",
    "Upper",
    "sp ace",
    "nul\0nul",
    "line\nfeed",
    "n" * 129,
    "n" * 10_000,
    "\u202eltr",
    "tabul\u0430r",
    "%2e%2e",
    "%2e%2e%2fetc",
    "a\\b",
    "\x1b[31m",
    "{}",
    "%s%n",
    "$HOME",
    "'; DROP TABLE models; --",
    "\U0001f424",
]


@pytest.mark.parametrize("name", NO_NAMES, ids=range(len(NO_NAMES)))
async def test_a_model_that_cannot_be_named_so(world: World, name: str):
    """Row 30: what cannot be a name is refused as such, by every call that takes one."""
    async with world.standing():
        answers = [
            await world.call(INFER, infer(name, infer_input(), raw=(ROW,))),
            await world.call(PREDICT, predict(name, tensor(data=ROW))),
            *[
                await world.call(SERVICE + method, asked(name=name).SerializeToString(), is_counted=False)
                for method, asked in (
                    ("ModelMetadata", oip.ModelMetadataRequest),
                    ("ModelConfig", oip.ModelConfigRequest),
                    ("ModelReady", oip.ModelReadyRequest),
                )
            ],
            *[
                await world.call(SERVICE + method, asked(model_name=name).SerializeToString(), is_counted=False)
                for method, asked in (
                    ("RepositoryModelLoad", oip.RepositoryModelLoadRequest),
                    ("RepositoryModelUnload", oip.RepositoryModelUnloadRequest),
                )
            ],
            await world.call(
                "/serinus.v1.PredictService/GetModelInfo",
                pb.GetModelInfoRequest(model=name).SerializeToString(),
                is_counted=False,
            ),
        ]
    for answer in answers:
        assert_refused(answer, INVALID, "INVALID_NAME", "invalid model name", field="model")


@pytest.mark.parametrize("version", ["../1", "1/..", " ", "1\n", "V1", "%2e", "v" * 129, "v" * 10_000, "\u202e1"])
async def test_a_version_that_cannot_be_named_so(world: World, version: str):
    """Row 30: the same for versions."""
    async with world.standing():
        answers = [
            await world.call(INFER, infer("tabular", infer_input(), raw=(ROW,), model_version=version)),
            await world.call(PREDICT, predict("tabular", tensor(data=ROW), version=version)),
        ]
    for answer in answers:
        assert_refused(answer, INVALID, "INVALID_VERSION", "invalid version", field="version")


async def test_a_model_that_nobody_has(world: World):
    """Row 31: the answer does not depend on what else there is, and becomes no label."""
    async with world.standing():
        answers = [
            await world.call(INFER, infer("nobody-has-this", infer_input(), raw=(ROW,))),
            await world.call(PREDICT, predict("nobody-has-this", tensor(data=ROW))),
        ]
        assert "nobody-has-this" not in "".join((await world.scrape()).values)
    for answer in answers:
        assert_refused(answer, grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "model 'nobody-has-this'", field="model")


async def test_a_version_that_nobody_has(world: World):
    """Row 31: the refusal lists the versions that there are."""
    async with world.standing():
        answer = await world.call(PREDICT, predict("tabular", tensor(data=ROW), version="7.7.7"))
    words = "model 'tabular' has no version '7.7.7': expected one of ['1.0.0']"
    assert_refused(answer, grpc.StatusCode.NOT_FOUND, "NOT_FOUND", words, field="version")


async def test_ten_thousand_names_make_no_series(world: World):
    """Rows 31, 104: callers choose names, and not how many series there are."""
    async with world.standing():
        stream = world.channel.stream_stream("/serinus.v1.PredictService/PredictStream")(timeout=30)
        for start in range(0, 10_000, 250):
            frame = pb.PredictFrame()
            for number in range(start, start + 250):
                frame.calls.add(id=number, request=pb.PredictRequest(model=f"m{number}"))
            await stream.write(frame.SerializeToString())
        await stream.done_writing()
        async for message in stream:
            for reply in pb.ReplyFrame.FromString(message).replies:
                assert reply.error.reason == "NOT_FOUND"
                world.count(grpc.StatusCode.NOT_FOUND)
        assert world.tally.failed == 10_000


PATHS = [
    "inference.GRPCInferenceService/ModelInfer",
    "//inference.GRPCInferenceService/ModelInfer",
    "/inference.GRPCInferenceService/ModelInfer/",
    "/inference.GRPCInferenceService//ModelInfer",
    "/inference.GRPCInferenceService/modelinfer",
    "/inference.GRPCInferenceService/",
    "/inference.grpcinferenceservice/ModelInfer",
    "/serinus.v1.PredictService/Predict?x=1",
    "/serinus.v1.PredictService/Predict%20",
    "/./serinus.v1.PredictService/Predict",
    "/grpc.channelz.v1.Channelz/GetServers",
    "*",
    "/",
    "",
]


@pytest.mark.parametrize("path", PATHS)
async def test_a_method_that_does_not_exist(world: World, path: str):
    """Row 32: only the exact path of a method reaches it."""
    async with world.standing():
        answer = await world.call(path, infer("tabular", infer_input(), raw=(ROW,)), is_counted=False)
    assert answer.code is grpc.StatusCode.UNIMPLEMENTED
