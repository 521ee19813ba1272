"""Model files that cannot be served: named at the start, found in a repository, asked for while the server runs."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import grpc.aio
import onnx
import pytest
from onnx import TensorProto, helper

from open_inference import grpc_service_pb2 as oip
from serinus.core.dtypes import DType
from tests.end_to_end.faults.conftest import CHANNEL_OPTIONS
from tests.end_to_end.faults.messages import INFER, ROW, f32, infer, infer_arrays, infer_input
from tests.support import models
from tests.support.invariants import SECRET, World, assert_refused
from tests.support.server import refused_start, watched_server

SERVICE = "/inference.GRPCInferenceService/"
REFUSED = grpc.StatusCode.FAILED_PRECONDITION


def _with_weights(location: str) -> bytes:
    """`y = x + w`, and w lies in another file."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "8")):
        weights.external_data.add(key=key, value=value)
    return models.build(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [models.value("x", DType.FP32, ["N", 2])],
        [models.value("y", DType.FP32, ["N", 2])],
        [weights],
    )


def _foreign_operator() -> bytes:
    return models.build(
        [helper.make_node("Surprise", ["x"], ["y"], domain="com.example")],
        [models.value("x", DType.FP32, ["N", 2])],
        [models.value("y", DType.FP32, ["N", 2])],
    )


def _cyclic() -> bytes:
    return models.build(
        [helper.make_node("Add", ["x", "y"], ["z"]), helper.make_node("Add", ["x", "z"], ["y"])],
        [models.value("x", DType.FP32, ["N", 2])],
        [models.value("y", DType.FP32, ["N", 2])],
    )


def _future_format() -> bytes:
    model = onnx.ModelProto.FromString(models.identity())
    model.ir_version = 99
    return model.SerializeToString()


def _content(content: bytes) -> Callable[[Path], None]:
    return lambda file: _write(file, content)


def _write(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def _linked(make: Callable[[Path, Path], None]) -> Callable[[Path], None]:
    """A model whose weights are a link to a file outside its folder."""

    def write(file: Path) -> None:
        outside = file.parent.parent.parent / f"outside-{file.parent.parent.name}.bin"
        outside.write_bytes(f32(1, 2))
        make(outside, file.parent / "weights.bin")
        file.write_bytes(_with_weights("weights.bin"))

    return write


def _symlink(outside: Path, link: Path) -> None:
    link.symlink_to(outside)


def _hard_link(outside: Path, link: Path) -> None:
    os.link(outside, link)


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (lambda _: None, "no model file 'model.onnx'"),
    "empty": (_content(b""), "the model file 'model.onnx' is empty"),
    "truncated": (_content(models.tabular()[:100]), "of 100 bytes is not an ONNX model, or is damaged"),
    "garbage": (_content(b"\xffnot a model" * 99), "is not an ONNX model, or is damaged"),
    "future-opset": (_content(models.identity(opset=99)), "opset 99"),
    "future-format": (_content(_future_format()), "IR version 99"),
    "foreign": (_content(_foreign_operator()), "com.example"),
    "cyclic": (_content(_cyclic()), "refuses the model file 'model.onnx'"),
    "outside": (_content(_with_weights("../../../etc/passwd")), "leaves the model's folder"),
    "absolute": (_content(_with_weights("/etc/passwd")), "is not a path below the model's folder"),
    "symlink": (_linked(_symlink), "symbolic link"),
    "hard-link": (_linked(_hard_link), "hard link"),
    "no-weights": (_content(_with_weights("weights.bin")), "external data file 'weights.bin' is missing"),
}
CASES = pytest.mark.parametrize("name", BROKEN)


def _model_file(root: Path, name: str) -> Path:
    folder = root / name / "1"
    folder.mkdir(parents=True)
    return folder / "model.onnx"


@CASES
async def test_a_named_model_that_cannot_be_served_keeps_the_server_from_starting(tmp_path: Path, name: str):
    """One sentence, which names the model and what is wrong with it, and no traceback."""
    write, words = BROKEN[name]
    file = _model_file(tmp_path, name)
    write(file)
    code, errors = await refused_start(tmp_path, f'[models.{name}]\npath = "{file}"\n')
    *_, said = errors.splitlines()
    assert code == 1
    assert said.startswith(f"error: model '{name}': ")
    assert words in said
    assert "Traceback" not in errors


@pytest.fixture(scope="module")
async def repository(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[World, Path]]:
    """A server of a repository in which one model is good and all others are broken; and that repository."""
    folder = tmp_path_factory.mktemp(SECRET)
    root = folder / "models"
    for name, (write, _) in BROKEN.items():
        write(_model_file(root, name))
    _model_file(root, "good").write_bytes(models.tabular())
    _model_file(root, "changing").write_bytes(models.identity())
    (root / "no-config").mkdir()
    (root / "no-config" / "config.pbtxt").write_text("max_batch_size: {{{")
    config = f'state = "state"\nmodel_repository = "{root}"\n'
    async with (
        watched_server(folder, config) as server,
        grpc.aio.insecure_channel(server.address, options=CHANNEL_OPTIONS) as channel,
        grpc.aio.insecure_channel(server.address, options=CHANNEL_OPTIONS) as neighbour,
    ):
        golden = infer("good", infer_input(), raw=(ROW,))
        world = World(server, channel=channel, neighbour=neighbour, golden=(INFER, golden))
        async with world.standing():
            await world.call(INFER, golden)
        yield world, root


async def control(world: World, method: str, asked: oip.RepositoryIndexRequest | oip.RepositoryModelLoadRequest):
    """A call that no inference counter counts."""
    return await world.call(SERVICE + method, asked.SerializeToString(), is_counted=False)


async def test_a_repository_serves_what_is_good(repository: tuple[World, Path]):
    """The index says of each other model that it is unavailable, and why, in words without paths."""
    world, root = repository
    async with world.standing():
        answer = await control(world, "RepositoryIndex", oip.RepositoryIndexRequest())
    index = {entry.name: entry for entry in oip.RepositoryIndexResponse.FromString(answer.content).models}
    assert {name for name, entry in index.items() if entry.state == "READY"} == {"good", "changing"}
    for name, (_, words) in BROKEN.items():
        assert (index[name].state, bool(index[name].reason)) == ("UNAVAILABLE", True)
        assert words in index[name].reason or name == "missing", index[name].reason
        assert str(root) not in index[name].reason
        assert SECRET not in index[name].reason
    assert index["no-config"].state == "UNAVAILABLE"


@CASES
async def test_a_call_to_a_model_that_could_not_be_loaded(repository: tuple[World, Path], name: str):
    """Known, and not serving."""
    world, _ = repository
    async with world.standing():
        answer = await world.call(INFER, infer(name, infer_input(), raw=(ROW,)))
    assert_refused(answer, REFUSED, "NOT_LOADED", f"model '{name}' is known but no version of it serves now")


@CASES
async def test_loading_a_broken_model_is_refused(repository: tuple[World, Path], name: str):
    """The sentence is the caller's; the server goes on."""
    world, _ = repository
    async with world.standing():
        answer = await control(world, "RepositoryModelLoad", oip.RepositoryModelLoadRequest(model_name=name))
    reason = answer.message.partition(":")[0]
    assert_refused(answer, REFUSED, reason, "" if name == "missing" else BROKEN[name][1])
    assert reason in {"INVALID_MODEL", "EXTERNAL_DATA_FORBIDDEN", "MODEL_TOO_NEW", "UNKNOWN_OPERATOR"}


@CASES
async def test_what_served_before_goes_on(repository: tuple[World, Path], name: str):
    """A model whose file was broken since keeps answering from memory when a load of it fails."""
    world, root = repository
    file = root / "changing" / "1" / "model.onnx"
    message = infer("changing", infer_input(shape=(1, 2)), raw=(f32(1, 2),))
    file.unlink()
    BROKEN[name][0](file)
    load = oip.RepositoryModelLoadRequest(model_name="changing")
    try:
        async with world.standing():
            answer = await control(world, "RepositoryModelLoad", load)
            found = infer_arrays((await world.call(INFER, message)).content)["y"]
            index = await control(world, "RepositoryIndex", oip.RepositoryIndexRequest(ready=True))
    finally:
        file.unlink(missing_ok=True)
        (file.parent / "weights.bin").unlink(missing_ok=True)
        file.write_bytes(models.identity())
    assert answer.code is REFUSED
    assert found.tolist() == [[1.0, 2.0]]
    ready = oip.RepositoryIndexResponse.FromString(index.content).models
    assert {(entry.name, entry.state) for entry in ready} == {("good", "READY"), ("changing", "READY")}
    assert (await control(world, "RepositoryModelLoad", load)).code is grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../../etc/passwd", "WRONG_FILE"),
        ("/etc/passwd", "WRONG_FILE"),
        ("1/../../x", "WRONG_FILE"),
        ("1/model.onnx\0", "WRONG_FILE"),
        ("1/other.bin", "WRONG_FILE"),
        ("0/model.onnx", "WRONG_FILE"),
        ("1/model.onnx", ""),
    ],
)
async def test_uploads_are_one_model_file_each(repository: tuple[World, Path], path: str, reason: str):
    """A client chooses no place on our disk, and a broken file that it sends is refused like one that lies there."""
    world, root = repository
    asked = oip.RepositoryModelLoadRequest(model_name="uploaded")
    asked.parameters["config"].string_param = "{}"
    asked.parameters[f"file:{path}"].bytes_param = b"no model"
    async with world.standing():
        answer = await control(world, "RepositoryModelLoad", asked)
    if reason:
        assert_refused(answer, grpc.StatusCode.INVALID_ARGUMENT, reason, "expected '<version number>/model.onnx'")
    else:
        assert_refused(answer, REFUSED, "INVALID_MODEL", "is not an ONNX model, or is damaged")
    assert list((root.parent / "state" / "staging").glob("*/*")) == []
