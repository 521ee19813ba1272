"""Which files are registered, and what they are called."""

import numpy as np
import onnx
import pytest

from serinus_client import InvalidInput
from serinus_client.bundle import gather
from serinus_client.external_data import external_files


def weights(name: str, location: str | None = None) -> onnx.TensorProto:
    tensor = onnx.numpy_helper.from_array(np.zeros(4, np.float32), name)
    if location is not None:
        onnx.external_data_helper.set_external_data(tensor, location)
        tensor.ClearField("raw_data")
    return tensor


def model(*tensors: onnx.TensorProto, nodes: list[onnx.NodeProto] | None = None) -> bytes:
    graph = onnx.helper.make_graph(nodes or [], "g", [], [], initializer=list(tensors))
    return onnx.helper.make_model(graph).SerializeToString()


@pytest.fixture
def folder(tmp_path):
    """Two files of weights, one in a folder below, and something else."""
    (tmp_path / "deep").mkdir()
    for name in ("a.bin", "deep/b.bin", "other.txt"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_the_files_that_weights_lie_in_are_found_wherever_they_are_named(folder):
    """In initializers, in constants, in the branches of conditions; what is not there is left to the server."""
    inner = onnx.helper.make_graph([], "i", [], [], initializer=[weights("w", "./deep/b.bin")])
    nodes = [
        onnx.helper.make_node("Constant", [], ["c"], value=weights("c", "a.bin")),
        onnx.helper.make_node("If", ["c"], ["y"], then_branch=inner),
    ]
    plain, gone, outside = weights("p"), weights("g", "gone.bin"), weights("o", "../secret")
    file = folder / "net.onnx"
    file.write_bytes(model(plain, gone, outside, nodes=nodes))
    assert external_files(file) == {"a.bin": folder / "a.bin", "deep/b.bin": folder / "deep/b.bin"}
    assert sorted(gather(file).files) == ["a.bin", "deep/b.bin", "net.onnx"]


@pytest.mark.parametrize("content", [b"", b"\xff" * 30, b"\x3a\xff\xff\xff\xff\x7f", bytes(range(256)) * 4])
def test_what_is_no_model_is_left_to_the_server(tmp_path, content):
    """Nothing is judged here."""
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    assert external_files(file) == {}


def test_a_model_cut_anywhere_is_walked_to_its_end(folder):
    """However it is cut."""
    whole = model(weights("w", "a.bin"))
    for length in range(len(whole)):
        (folder / "cut.onnx").write_bytes(whole[:length])
        assert set(external_files(folder / "cut.onnx")) <= {"a.bin"}


def test_a_folder_is_taken_whole(folder):
    """But for hidden names; a golden request of the folder keeps its place, another gets one."""
    (folder / "model.onnx").write_bytes(b"m")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_bytes(b"g")
    elsewhere = folder / ".git" / "one.npz"
    elsewhere.write_bytes(b"1")
    bundle = gather(folder, goldens=[folder / "other.txt", elsewhere])
    assert bundle.main == "model.onnx"
    assert list(bundle.files) == ["a.bin", "deep/b.bin", "goldens/one.npz", "model.onnx", "other.txt"]
    assert bundle.goldens == ("other.txt", "goldens/one.npz")


def test_more_files_come_from_a_folder_or_by_name(folder, tmp_path_factory):
    """A model's own file may be called anything: no other names it."""
    file = tmp_path_factory.mktemp("elsewhere") / "my model (1).onnx"
    file.write_bytes(b"m")
    assert list(gather(file, files=folder).files) == ["a.bin", "deep/b.bin", "model.onnx", "other.txt"]
    bundle = gather(file, files={"labels.txt": folder / "other.txt"})
    assert (bundle.main, list(bundle.files)) == ("model.onnx", ["labels.txt", "model.onnx"])


def test_what_cannot_be_meant_is_said(folder):
    """Before anything is sent."""
    (folder / "one.onnx").write_bytes(b"1")
    (folder / "two.onnx").write_bytes(b"2")
    assert gather(folder, main="two.onnx").main == "two.onnx"
    for arguments, sentence in [
        ({"path": folder}, "expected one .onnx file"),
        ({"path": folder, "main": "three.onnx"}, "expected one of"),
        ({"path": folder / "one.onnx", "files": folder / "nowhere"}, "expected a folder"),
        ({"path": folder / "one.onnx", "files": {"x": folder / "nowhere"}}, "there is no file"),
        ({"path": folder / "one.onnx", "files": {"one.onnx": folder / "two.onnx"}}, "two files would be 'one.onnx'"),
        ({"path": folder / "one.onnx", "goldens": [folder / "nowhere"]}, "there is no file"),
    ]:
        with pytest.raises(InvalidInput, match=sentence):
            gather(**arguments)
