"""Weights beside the model: found in its folder, and nowhere else."""

import os
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from serinus.core.dtypes import DType
from serinus.core.errors import ModelRejected
from serinus.core.predictor import Request
from tests.support import models

WEIGHTS = np.arange(4, dtype=np.float32)


def external(location: str, **said: int | str) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **said}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def adding(tensor: TensorProto) -> bytes:
    """y = x + w."""
    return models.build(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [models.value("x", DType.FP32, ["N", 4])],
        [models.value("y", DType.FP32, ["N", 4])],
        [tensor],
    )


def adding_in_a_node(tensor: TensorProto) -> bytes:
    """The same, the weights in a node's attribute."""
    return models.build(
        [helper.make_node("Constant", [], ["w"], value=tensor), helper.make_node("Add", ["x", "w"], ["y"])],
        [models.value("x", DType.FP32, ["N", 4])],
        [models.value("y", DType.FP32, ["N", 4])],
    )


def adding_in_a_branch(tensor: TensorProto) -> bytes:
    """The same, the weights in a subgraph."""
    y = models.value("y", DType.FP32, ["N", 4])
    inner = models.value("inner", DType.FP32, ["N", 4])
    branch = helper.make_graph([helper.make_node("Add", ["x", "w"], ["inner"])], "branch", [], [inner], [tensor])
    return models.build(
        [helper.make_node("If", ["go"], ["y"], then_branch=branch, else_branch=branch)],
        [models.value("x", DType.FP32, ["N", 4]), models.value("go", DType.BOOL, [])],
        [y],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder with weights, and secrets around it."""
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "w.bin").write_bytes(WEIGHTS.tobytes())
    (folder / "sub" / "w.bin").write_bytes(bytes(8) + WEIGHTS.tobytes())
    (tmp_path / "secret.bin").write_bytes(WEIGHTS.tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "inner-link.bin").symlink_to(folder / "w.bin")
    (folder / "linked").symlink_to(tmp_path)
    os.link(tmp_path / "secret.bin", folder / "hard.bin")
    os.mkfifo(folder / "pipe.bin")
    return folder


def load_in(load, folder: Path, content: bytes):
    path = folder / "model.onnx"
    path.write_bytes(content)
    return load(path)


@pytest.mark.parametrize(
    "tensor",
    [
        external("w.bin"),
        external("w.bin", offset=0, length=16, checksum="abc"),
        external("./w.bin"),
        external("sub/w.bin", offset=8, length=16),
        external("sub//w.bin", offset=8, length=16),
    ],
    ids=["bare", "range", "dot", "below", "double slash"],
)
@pytest.mark.parametrize("build", [adding, adding_in_a_node, adding_in_a_branch])
def test_weights_in_the_folder_are_used(load, folder, tensor, build):
    """They are added to each row."""
    model = load_in(load, folder, build(tensor))
    inputs = {"x": np.zeros((1, 4), np.float32)}
    if "go" in model.signature.input:
        inputs["go"] = np.array(True)
    np.testing.assert_array_equal(model.run(Request(inputs, deadline=0.0)).outputs["y"], WEIGHTS[None])


FORBIDDEN = {
    "absolute": "is not a path below the model's folder",
    "../secret.bin": "leaves the model's folder",
    "sub/../../secret.bin": "leaves the model's folder",
    "sub/../w.bin": "leaves the model's folder",
    "sub\\..\\w.bin": "is not a path below the model's folder",
    "C:w.bin": "is not a path below the model's folder",
    "": "names no file",
    "w.bin\0.txt": "names no file",
    ".": "leaves the model's folder",
    "*/_ORT_MEM_ADDR_/*": "points into memory",
    "link.bin": "goes through a symbolic link, or through a file as if it were a folder",
    "inner-link.bin": "goes through a symbolic link, or through a file as if it were a folder",
    "linked/secret.bin": "goes through a symbolic link, or through a file as if it were a folder",
    "w.bin/w.bin": "goes through a symbolic link, or through a file as if it were a folder",
    "hard.bin": "is a hard link to a file that has other names",
    "pipe.bin": "is not a plain file",
    "sub": "is not a plain file",
}


@pytest.mark.parametrize("location", FORBIDDEN)
@pytest.mark.parametrize("build", [adding, adding_in_a_node, adding_in_a_branch])
def test_every_way_out_of_the_folder_is_closed(load, folder, tmp_path, location, build):
    """Whatever the file at the end holds, and wherever in the model the location stands."""
    written = str(tmp_path / "secret.bin") if location == "absolute" else location
    with pytest.raises(ModelRejected) as caught:
        load_in(load, folder, build(external(written)))
    assert (caught.value.reason, caught.value.message) == (
        "EXTERNAL_DATA_FORBIDDEN",
        f"the location of the model's external data {FORBIDDEN[location]}",
    )


def test_a_file_of_the_working_folder_is_not_taken_for_the_models(load, folder, tmp_path):
    """The model is given to onnxruntime as bytes, which must not make it look where the server was started."""
    name = f"{tmp_path.name}.bin"
    beside = Path.cwd() / name
    beside.write_bytes(WEIGHTS.tobytes())
    try:
        with pytest.raises(ModelRejected) as caught:
            load_in(load, folder, adding(external(name)))
    finally:
        beside.unlink()
    assert caught.value.message == f"the model's external data file {name!r} is missing"


def outside(offset: int, length: int) -> str:
    return (
        "the model's external data lies outside its file: expected at most 16 bytes,"
        f" got offset {offset} and length {length}"
    )


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"offset": 8, "length": 16}, outside(8, 16)),
        ({"length": 2**40}, outside(0, 2**40)),
        ({"offset": -4, "length": 16}, outside(-4, 16)),
        ({"offset": 17}, outside(17, 0)),
        ({"offset": "zero"}, "the model's external data has an offset or a length that is not a number"),
    ],
)
def test_ranges_outside_the_file_are_rejected(load, folder, said, message):
    """With the numbers of the case."""
    with pytest.raises(ModelRejected) as caught:
        load_in(load, folder, adding(external("w.bin", **said)))
    assert (caught.value.reason, caught.value.message) == ("INVALID_MODEL", message)


@pytest.mark.parametrize("said", [{"offset": 8}, {"length": 8}])
def test_ranges_that_do_not_fit_the_tensor_are_rejected(load, folder, said):
    """onnxruntime counts the tensor's own bytes."""
    with pytest.raises(ModelRejected) as caught:
        load_in(load, folder, adding(external("w.bin", **said)))
    assert caught.value.reason == "INVALID_MODEL"


def test_an_empty_file_holds_no_weights(load, folder):
    """Nothing can be mapped, and nothing crashes."""
    (folder / "empty.bin").touch()
    with pytest.raises(ModelRejected) as caught:
        load_in(load, folder, adding(external("empty.bin")))
    assert caught.value.reason == "INVALID_MODEL"
