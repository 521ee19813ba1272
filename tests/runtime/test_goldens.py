"""Calls whose answers are known: a model that gives others is not served."""

import io
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import helper

from serinus.config.models import Tolerance
from serinus.core.dtypes import DType
from serinus.core.errors import ModelRejected
from serinus.runtime.golden_files import read_golden, write_golden
from serinus.runtime.goldens import GoldenRun
from serinus.runtime.model import load_model
from serinus.runtime.options import SessionOptions
from serinus.runtime.sources import StagedFolder
from tests.runtime.conftest import IDENTITY
from tests.support import models

X = np.arange(16, dtype=np.float32).reshape(2, 8)


def right() -> np.ndarray:
    weights, bias = models.tabular_weights()
    return X @ weights + bias


@pytest.fixture
def load_with(tmp_path: Path, compute_pool):
    """Loads a model with the golden requests that lie beside it."""

    def load(model: bytes, *goldens: str, **options: Any):
        (tmp_path / "model.onnx").write_bytes(model)
        source = StagedFolder(tmp_path, "model.onnx")
        return load_model(IDENTITY, source, SessionOptions(goldens=goldens, **options), compute_pool)

    return load


def refusal(load_with, model: bytes, **options: Any) -> tuple[str, str]:
    with pytest.raises(ModelRejected) as caught:
        load_with(model, "g.npz", **options)
    return caught.value.reason, caught.value.message


def test_a_model_that_answers_rightly_is_loaded(load_with, tmp_path):
    """And says how far its answers were from the expected ones."""
    write_golden(tmp_path / "exact.npz", {"x": X}, {"y": right()})
    write_golden(tmp_path / "near.npz", {"x": X}, {"y": right() + np.float32(2**-10)})
    model = load_with(models.tabular(), "exact.npz", "near.npz", tolerance=Tolerance(absolute=0.01))
    assert model.goldens == (GoldenRun("exact.npz", 0.0), GoldenRun("near.npz", 2**-10))


def test_a_model_that_answers_otherwise_is_refused(load_with, tmp_path):
    """With the largest excess over what is allowed."""
    expected = right()
    expected[1, 2] = 1.0
    write_golden(tmp_path / "g.npz", {"x": X}, {"y": expected})
    got = right()[1, 2]
    message = (
        f"golden request 'g.npz', output 'y': differs by {abs(got - 1):.3g} at [1, 2]: expected 1 and at most 0.00011"
        f" from it, got {got:.6g}"
    )
    assert refusal(load_with, models.tabular()) == ("GOLDEN_MISMATCH", message)


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (np.zeros((2, 3), np.float32), "expected the shape [2, 3], got [2, 4]"),
        (np.zeros((2, 5), np.float32), "expected the shape [2, 5], got [2, 4]"),
    ],
)
def test_an_answer_of_another_shape_is_another_answer(load_with, tmp_path, expected, message):
    """Even if it could be broadcast."""
    open_shape = models.build(
        [helper.make_node("Identity", ["x"], ["y"])],
        [models.value("x", DType.FP32, ["N", "M"])],
        [models.value("y", DType.FP32, ["N", "M"])],
    )
    write_golden(tmp_path / "g.npz", {"x": np.zeros((2, 4), np.float32)}, {"y": expected})
    assert refusal(load_with, open_shape) == ("GOLDEN_MISMATCH", f"golden request 'g.npz', output 'y': {message}")


def test_infinities_and_nan_must_be_where_they_are_expected(load_with, tmp_path):
    """The same ones are no difference; a number in place of one is beyond any tolerance."""
    inputs = {"x": np.array([[0.0, -1.0]], np.float32)}
    write_golden(tmp_path / "g.npz", inputs, {"y": np.array([[-np.inf, np.nan]], np.float32)})
    assert load_with(models.nonfinite(), "g.npz").goldens == (GoldenRun("g.npz", 0.0),)
    write_golden(tmp_path / "g.npz", inputs, {"y": np.array([[-np.inf, 1]], np.float32)})
    reason, message = refusal(load_with, models.nonfinite(), tolerance=Tolerance(absolute=1e9))
    assert (reason, message) == (
        "GOLDEN_MISMATCH",
        "golden request 'g.npz', output 'y': differs by inf at [0, 1]: expected 1 and at most 1e+09 from it, got nan",
    )


def test_integers_are_exact(load_with, tmp_path):
    """No tolerance makes 3 of a 4."""
    values = np.array([[1, 2], [3, 4]], np.int64)
    write_golden(tmp_path / "g.npz", {"x": values}, {"y": np.array([[1, 2], [4, 4]], np.int64)})
    assert refusal(load_with, models.identity(DType.INT64), tolerance=Tolerance(absolute=10)) == (
        "GOLDEN_MISMATCH",
        "golden request 'g.npz', output 'y': 1 of 4 elements differ; at [1, 0] expected 4, got 3",
    )


@pytest.mark.parametrize("as_numpy", [np.str_, np.bytes_, np.object_])
def test_text_may_be_bytes_or_characters(load_with, tmp_path, as_numpy):
    """As numpy's own writer leaves it, or as objects through ours."""
    texts = np.array([["yes", "größer"]])
    if as_numpy is np.object_:
        texts = np.array([[b"yes", "größer".encode()]], np.object_)
        write_golden(tmp_path / "g.npz", {"x": texts}, {"y": texts, "is_yes": np.array([[True, False]])})
    else:
        texts = np.char.encode(texts, "utf-8") if as_numpy is np.bytes_ else texts
        np.savez(
            tmp_path / "g.npz", **{"input/x": texts, "output/y": texts, "output/is_yes": np.array([[True, False]])}
        )
    assert load_with(models.string_model(), "g.npz").goldens == (GoldenRun("g.npz", 0.0),)


def test_bfloat16_travels_as_its_bits(load_with, tmp_path):
    """numpy has no such type."""
    values = np.array([[1.5, -2.0]], ml_dtypes.bfloat16)
    write_golden(tmp_path / "g.npz", {"x": values}, {"y": values})
    with np.load(tmp_path / "g.npz") as stored:
        assert stored["input/x"].dtype == np.uint16
    assert load_with(models.identity(DType.BF16), "g.npz").goldens == (GoldenRun("g.npz", 0.0),)
    write_golden(tmp_path / "g.npz", {"x": values}, {"y": values + ml_dtypes.bfloat16(1)})
    assert refusal(load_with, models.identity(DType.BF16))[0] == "GOLDEN_MISMATCH"


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ({"z": X}, {"y": X}, "the model has no input 'z'; it has x"),
        ({"x": X}, {"z": X}, "the model has no output 'z'; it has y"),
        ({}, {"y": X[:, :4]}, "the input 'x' is missing"),
        ({"x": X[:, :7]}, {"y": X[:, :4]}, "'x': expected the shape [-1, 8], got [2, 7]"),
        ({"x": X[0]}, {"y": X[:, :4]}, "'x': expected the shape [-1, 8], got [8]"),
        ({"x": X.astype(np.float64)}, {"y": X[:, :4]}, "'x': expected FP32, got an array of float64"),
        ({"x": X[:0]}, {"y": X[:0, :4]}, "expected inputs of equally many rows, at least one, got [0]"),
        ({"x": X}, {"y": np.array([b"a"], np.object_)}, "'y': expected the shape [-1, 4], got [1]"),
        ({"x": X}, {"y": np.array([[b"a"] * 4], np.object_)}, "'y': expected FP32, got an array of |S1"),
    ],
)
def test_a_request_that_does_not_fit_the_model_is_refused(load_with, tmp_path, inputs, outputs, message):
    """In words about the request, not about the model."""
    write_golden(tmp_path / "g.npz", inputs, outputs)
    assert refusal(load_with, models.tabular()) == ("INVALID_GOLDEN", f"golden request 'g.npz': {message}")


def test_a_request_that_the_model_fails_on_is_a_wrong_answer(load_with, tmp_path):
    """Its author says that it answers."""
    x = np.array([[1, 2, 3, 666]], np.float32)
    write_golden(tmp_path / "g.npz", {"x": x}, {"y": x})
    assert refusal(load_with, models.poison()) == (
        "GOLDEN_MISMATCH",
        "golden request 'g.npz': the model failed while it ran",
    )


def archive(*members: tuple[str, bytes], packing: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as file:
        for name, content in members:
            file.writestr(name, content)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def claiming(shape: str, descr: str = "<f4") -> bytes:
    """An array whose header claims a shape that its bytes do not have."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(4)


WHAT_NUMPY_WRITES = "expected what numpy.savez writes"
ZEROS = bytes(1 << 20)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", WHAT_NUMPY_WRITES, id="empty"),
        pytest.param(b"PK\x03\x04 and no more", WHAT_NUMPY_WRITES, id="garbage"),
        pytest.param(archive(("output/y.npy", npy(X)))[:-30], WHAT_NUMPY_WRITES, id="truncated"),
        pytest.param(npy(X), WHAT_NUMPY_WRITES, id="bare array"),
        pytest.param(archive(), "expected at least one array 'output/NAME'", id="nothing in it"),
        pytest.param(archive(("input/x.npy", npy(X))), "expected at least one array 'output/NAME'", id="no output"),
        pytest.param(
            archive(("y.npy", npy(X))), "expected arrays 'input/NAME' and 'output/NAME', got 'y.npy'", id="no side"
        ),
        pytest.param(
            archive(("../y.npy", npy(X))), "expected arrays 'input/NAME' and 'output/NAME', got '../y.npy'", id="up"
        ),
        pytest.param(archive(("output/y.npy", b"text")), WHAT_NUMPY_WRITES, id="no array"),
        pytest.param(
            archive(("output/y.npy", npy(np.array([{}], np.object_)))),
            "expected arrays of numbers, truth values or text",
            id="objects",
        ),
        pytest.param(
            archive(("output/y.npy", claiming(f"({1 << 40},)"))),
            f"an array of {1 << 40} elements has 4 bytes",
            id="claims 4 TB",
        ),
        pytest.param(
            archive(("output/y.npy", claiming("(-1,)"))), "expected at most 32 axes of at least 0", id="negative"
        ),
        pytest.param(archive(("output/y.npy", claiming("(" * 90))), WHAT_NUMPY_WRITES, id="no header"),
        pytest.param(
            archive(*((f"output/{n}.npy", b"") for n in range(513))), "expected at most 512 arrays, got 513", id="many"
        ),
        pytest.param(
            archive(*((f"output/{n}.npy", ZEROS) for n in range(257)), packing=zipfile.ZIP_DEFLATED),
            f"expected at most 268435456 bytes of arrays, got {257 << 20}",
            id="too large",
        ),
        pytest.param(
            (bomb := archive(("output/y.npy", ZEROS * 16), packing=zipfile.ZIP_DEFLATED)),
            f"{len(bomb)} bytes unpack to {16 << 20}: expected at most 200 times as many",
            id="bomb",
        ),
        pytest.param(
            archive(("output/y.npy", npy(X)), packing=zipfile.ZIP_BZIP2),
            "expected arrays that are stored or deflated",
            id="other packing",
        ),
    ],
)
def test_what_is_no_golden_request_is_refused(content, message):
    """Before more of it is unpacked than its bounds allow."""
    with pytest.raises(ModelRejected) as caught:
        read_golden("g.npz", content)
    assert (caught.value.reason, caught.value.message) == ("INVALID_GOLDEN", f"golden request 'g.npz': {message}")


def test_the_same_name_twice_is_refused():
    """Which one counts would be a guess."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = archive(("output/y.npy", npy(X)), ("output/y.npy", npy(X)))
    with pytest.raises(ModelRejected, match=r"'output/y.npy' stands in it twice"):
        read_golden("g.npz", content)


def test_a_missing_file_is_refused(load_with):
    """By its name in the bundle."""
    assert refusal(load_with, models.tabular()) == ("INVALID_GOLDEN", "golden request 'g.npz': there is no such file")


@pytest.mark.parametrize(
    "outputs", [{}, {"y": np.array([b"a\0"], np.object_)}], ids=["no output", "text that numpy would cut"]
)
def test_what_a_file_could_not_keep_is_not_written(tmp_path, outputs):
    """The author hears of it, not the server."""
    with pytest.raises(ValueError, match="expected"):
        write_golden(tmp_path / "g.npz", {}, outputs)
