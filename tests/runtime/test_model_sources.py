"""Bytes that were registered, and no others; files of an upload, and no others."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from serinus.config.models import ModelOptions
from serinus.core.artifact import ArtifactFile, Manifest
from serinus.core.dtypes import DType
from serinus.core.errors import DataLost, ModelRejected, StoreUnavailable
from serinus.core.predictor import Request
from serinus.runtime.golden_files import write_golden
from serinus.runtime.goldens import GoldenRun
from serinus.runtime.model import load_model
from serinus.runtime.options import SessionOptions
from serinus.runtime.samples import sample_inputs
from serinus.runtime.sources import Bundle, StagedFolder
from tests.runtime.conftest import IDENTITY
from tests.support import models

WEIGHTS = np.arange(4, dtype=np.float32)
X = np.zeros((1, 4), np.float32)


def adding(location: str, **said: int) -> bytes:
    """y = x + w, w in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **said}.items():
        tensor.external_data.add(key=key, value=str(value))
    return models.build(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [models.value("x", DType.FP32, ["N", 4])],
        [models.value("y", DType.FP32, ["N", 4])],
        [tensor],
    )


class Store:
    """Files by their hash, as an artifact store keeps them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: dict[str, Path] = {}

    def bundle(self, main: str = "m/model.onnx", **files: bytes) -> Bundle:
        """Of files by path, `__` for `/` and `_` for `.`."""
        entries = []
        for key, content in files.items():
            path = key.replace("__", "/").replace("_", ".")
            sha256 = hashlib.sha256(content).hexdigest()
            self.paths[path] = self.folder / sha256
            self.paths[path].write_bytes(content)
            entries.append(ArtifactFile(path, sha256, len(content)))
        return Bundle(Manifest(main, tuple(sorted(entries, key=lambda entry: entry.path))), dict(self.paths))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store")


@pytest.fixture
def load_source(compute_pool):
    def load(source, **options):
        return load_model(IDENTITY, source, SessionOptions(**options), compute_pool)

    return load


def answer(model) -> np.ndarray:
    return model.run(Request({"x": X}, deadline=0.0)).outputs["y"]


@pytest.mark.parametrize("location", ["w.bin", "./w.bin", "below/w.bin"])
def test_weights_of_a_bundle_are_found_beside_the_model(store, load_source, location):
    """By the model's own folder, wherever in the bundle that is."""
    bundle = store.bundle(m__model_onnx=adding(location), m__w_bin=WEIGHTS.tobytes(), m__below__w_bin=WEIGHTS.tobytes())
    np.testing.assert_array_equal(answer(load_source(bundle)), WEIGHTS[None])


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("../w.bin", "EXTERNAL_DATA_FORBIDDEN"),
        ("/etc/passwd", "EXTERNAL_DATA_FORBIDDEN"),
        ("*/_ORT_MEM_ADDR_/*", "EXTERNAL_DATA_FORBIDDEN"),
        (":whole-file", "EXTERNAL_DATA_FORBIDDEN"),
        ("other.bin", "INVALID_MODEL"),
    ],
)
def test_a_bundle_has_no_other_weights_than_its_own(store, load_source, location, reason):
    """Not even those of its upper folders, or files that lie beside its own in the store."""
    (store.folder / "other.bin").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(ModelRejected) as caught:
        load_source(store.bundle(m__model_onnx=adding(location, length=16), w_bin=WEIGHTS.tobytes()))
    assert caught.value.reason == reason


def test_weights_beyond_the_end_of_their_file_are_refused(store, load_source):
    """With the numbers."""
    bundle = store.bundle(m__model_onnx=adding("w.bin", offset=8, length=2**40), m__w_bin=WEIGHTS.tobytes())
    with pytest.raises(ModelRejected, match=f"expected at most 16 bytes, got offset 8 and length {2**40}"):
        load_source(bundle)


def lost(load_source, bundle: Bundle, **options) -> tuple[str, str]:
    with pytest.raises(DataLost) as caught:
        load_source(bundle, **options)
    return caught.value.reason, caught.value.message


@pytest.mark.parametrize("path", ["m/model.onnx", "m/w.bin", "g.npz"])
@pytest.mark.parametrize("change", ["flip", "longer", "shorter", "empty"])
def test_bytes_that_changed_on_the_disk_are_not_loaded(store, load_source, tmp_path, path, change):
    """Whichever file it is, and however little of it."""
    write_golden(tmp_path / "g.npz", {"x": X}, {"y": WEIGHTS[None]})
    bundle = store.bundle(
        m__model_onnx=adding("w.bin"), m__w_bin=WEIGHTS.tobytes(), g_npz=(tmp_path / "g.npz").read_bytes()
    )
    assert load_source(bundle, goldens=("g.npz",)).goldens == (GoldenRun("g.npz", 0.0),)
    content = bytearray(bundle.paths[path].read_bytes())
    content[-1] ^= 1
    changed = {"flip": bytes(content), "longer": bytes(content) + b"x", "shorter": bytes(content[:-1]), "empty": b""}
    bundle.paths[path].write_bytes(changed[change])
    assert lost(load_source, bundle, goldens=("g.npz",)) == (
        "HASH_MISMATCH",
        f"the file {Path(path).name!r} is not what was registered: its bytes have another sha256",
    )


@pytest.mark.parametrize("path", ["m/model.onnx", "m/w.bin"])
def test_a_file_that_is_gone_is_lost(store, load_source, path):
    """The sentence names no folder."""
    bundle = store.bundle(m__model_onnx=adding("w.bin"), m__w_bin=WEIGHTS.tobytes())
    bundle.paths[path].unlink()
    assert lost(load_source, bundle) == (
        "HASH_MISMATCH",
        f"the registered file {Path(path).name!r} is missing",
    )


def test_a_disk_in_trouble_loses_nothing(store, load_source):
    """It is asked again later; a folder stands for a file that cannot be read."""
    bundle = store.bundle(m__model_onnx=adding("w.bin"), m__w_bin=WEIGHTS.tobytes())
    bundle.paths["m/w.bin"].unlink()
    bundle.paths["m/w.bin"].mkdir()
    with pytest.raises(StoreUnavailable, match=r"'w\.bin' cannot be read now"):
        load_source(bundle)


def test_a_loaded_model_does_not_need_its_files(store, load_source):
    """What happens to them afterwards changes no answer."""
    bundle = store.bundle(m__model_onnx=adding("w.bin"), m__w_bin=WEIGHTS.tobytes())
    model = load_source(bundle)
    for path in bundle.paths.values():
        path.write_bytes(bytes(path.stat().st_size))
    np.testing.assert_array_equal(answer(model), WEIGHTS[None])


@pytest.mark.parametrize("place", ["inside", "beside"])
@pytest.mark.parametrize("trust", ["bundle", "path", "staged"])
def test_large_weights_arrive(store, load_source, tmp_path, place, trust):
    """Though their memory is given back before the first run."""
    weights = np.random.default_rng(0).standard_normal((1024, 1024)).astype(np.float32)  # 4 MiB
    tensor = numpy_helper.from_array(weights, "w")
    files = {}
    if place == "beside":
        files["w_bin"] = weights.tobytes()
        tensor = TensorProto(name="w", data_type=1, dims=weights.shape, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="w.bin")
    files["model_onnx"] = models.build(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [models.value("x", DType.FP32, ["N", 1024, 1024])],
        [models.value("y", DType.FP32, ["N", 1024, 1024])],
        [tensor],
    )
    for key, content in files.items():
        (tmp_path / key.replace("_", ".")).write_bytes(content)
    sources = {
        "bundle": store.bundle("model.onnx", **files),
        "path": tmp_path / "model.onnx",
        "staged": StagedFolder(tmp_path, "model.onnx"),
    }
    model = load_source(sources[trust], warm_up_s=0)
    x = np.zeros((1, 1024, 1024), np.float32)
    np.testing.assert_array_equal(model.run(Request({"x": x}, deadline=0.0)).outputs["y"], weights[None])


def sampling(file: str) -> ModelOptions:
    described = {"dtype": "FP32", "dims": [4], "fill": "file", "file": file}
    return ModelOptions(warm_up=[{"name": "s", "inputs": {"x": described}}])


def test_a_sample_of_a_bundle_is_one_of_its_files(store, tmp_path):
    """Verified like the others; what else lies on the disk is none."""
    bundle = store.bundle(m__model_onnx=models.tabular(), s__x_raw=WEIGHTS.tobytes())
    assert sample_inputs(sampling("s/x.raw"), bundle)["x"].tolist() == [0, 1, 2, 3]
    (tmp_path / "x.raw").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(ModelRejected):
        sample_inputs(sampling(str(tmp_path / "x.raw")), bundle)
    with pytest.raises(ModelRejected):
        sample_inputs(sampling("x.raw"), bundle)
    bundle.paths["s/x.raw"].write_bytes(bytes(16))
    with pytest.raises(DataLost):
        sample_inputs(sampling("s/x.raw"), bundle)


@pytest.mark.parametrize("kind", ["symlink", "hard link", "folder", "pipe"])
@pytest.mark.parametrize("file", ["model.onnx", "x.raw"])
def test_files_of_an_upload_are_plain_files(load_source, tmp_path, kind, file):
    """Whatever a link leads to, the model's author has no business there."""
    staged = tmp_path / "staged"
    staged.mkdir()
    secret = tmp_path / "secret"
    secret.write_bytes(models.tabular() if file == "model.onnx" else WEIGHTS.tobytes())
    target = staged / file
    if kind == "symlink":
        target.symlink_to(secret)
    elif kind == "hard link":
        os.link(secret, target)
    elif kind == "folder":
        target.mkdir()
    else:
        os.mkfifo(target)
    source = StagedFolder(staged, "model.onnx")
    with pytest.raises(ModelRejected) as caught:
        load_source(source) if file == "model.onnx" else sample_inputs(sampling(file), source)
    assert caught.value.reason == "FORBIDDEN_FILE"
    assert str(tmp_path) not in caught.value.message


@pytest.mark.parametrize("main", ["../model.onnx", "/model.onnx", "a/../model.onnx", "", ".hidden"])
def test_the_main_file_of_an_upload_is_named_plainly(load_source, tmp_path, main):
    """As paths of a bundle are."""
    with pytest.raises(ModelRejected) as caught:
        load_source(StagedFolder(tmp_path, main))
    assert caught.value.reason == "FORBIDDEN_FILE"
