"""Rows to calibrate and compare with."""

import zipfile

import ml_dtypes
import numpy as np
import pytest

from serinus.core.dtypes import DType
from serinus.core.errors import InvalidInput
from serinus.core.signature import Signature, TensorSpec
from serinus.runtime.quantization.calibration import check_calibration, read_calibration, write_calibration

ROWS = Signature(
    inputs=(TensorSpec("x", DType.FP32, ("N", 2), batch_axis=0), TensorSpec("rate", DType.INT64, (), optional=True)),
    outputs=(TensorSpec("y", DType.FP32, ("N", 2), batch_axis=0),),
)


def array(rows, dtype=np.float32):
    return np.arange(rows * 2, dtype=dtype).reshape(rows, 2)


def refusal(inputs, signature=ROWS):
    with pytest.raises(InvalidInput) as refused:
        check_calibration(inputs, signature)
    assert (refused.value.reason, refused.value.field) == ("INVALID_CALIBRATION", "calibration")
    return refused.value.message.removeprefix("calibration data: ")


def test_rows_are_taken_in_a_circle():
    """A batch larger than the data begins again; what belongs to no row stays as it is."""
    calibration = check_calibration({"x": array(3), "rate": np.array(16000)}, ROWS)
    taken = calibration.take(2, 2)
    assert calibration.rows == 3
    assert taken["x"].tolist() == [[4, 5], [0, 1]]
    assert taken["rate"].tolist() == 16000


def test_rows_along_another_axis_are_found_there():
    """The batch axis is the model's to say."""
    spec = TensorSpec("x", DType.FP32, (2, "N"), batch_axis=1)
    signature = Signature((spec,), (TensorSpec("y", DType.FP32, (2, "N"), batch_axis=1),))
    calibration = check_calibration({"x": array(3).T}, signature)
    assert calibration.take(1, 1)["x"].tolist() == [[2], [3]]


def test_of_too_many_rows_some_are_drawn():
    """Data are often sorted by class, or alternate between classes: the first rows, or every n-th, would mislead."""
    drawn = check_calibration({"x": array(1000)}, ROWS, most_rows=100).inputs["x"][:, 0] // 2
    assert len(set(drawn)) == 100
    assert drawn.tolist() == sorted(drawn)
    assert 20 < sum(drawn % 2) < 80
    assert 20 < sum(drawn < 500) < 80


def test_half_of_the_rows_are_kept_for_judging():
    """Forms are calibrated with some of the rows, always the same; of a few rows, with all."""
    calibration = check_calibration({"x": array(9)}, ROWS)
    assert calibration.half().rows == 4
    assert np.array_equal(calibration.half().inputs["x"], calibration.half().inputs["x"])
    few = check_calibration({"x": array(7)}, ROWS)
    assert few.half() is few


def test_a_model_without_a_batch_axis_takes_all_as_one_sample():
    """There is nothing to cut."""
    signature = Signature((TensorSpec("x", DType.FP32, (3, 2)),), (TensorSpec("y", DType.FP32, (2, 3)),))
    calibration = check_calibration({"x": array(3)}, signature)
    assert (calibration.rows, calibration.take(0, 1)["x"].shape) == (1, (3, 2))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "missing inputs: x"),
        ({"x": array(2), "z": array(2)}, "the model has no input 'z'; it has x, rate"),
        ({"x": array(2, np.float64)}, "input 'x': expected FP32, got float64"),
        ({"x": np.zeros((2, 3), np.float32)}, "input 'x': expected shape [-1, 2], got [2, 3]"),
        ({"x": np.zeros(2, np.float32)}, "input 'x': expected shape [-1, 2], got [2]"),
        ({"x": array(0)}, "expected at least one row, got none"),
    ],
)
def test_data_that_do_not_fit_the_model_are_refused(inputs, message):
    """The message says what was expected."""
    assert refusal(inputs) == message


def test_inputs_of_different_lengths_are_refused():
    """A row is a row of every input."""
    inputs = tuple(TensorSpec(name, DType.FP32, ("N", 2), batch_axis=0) for name in "ab")
    signature = Signature(inputs, ROWS.outputs)
    assert refusal({"a": array(2), "b": array(3)}, signature) == (
        "expected the same number of rows in each input, got a has 2, b has 3"
    )


def test_nothing_given_is_refused():
    """Invented rows would prove nothing."""
    with pytest.raises(InvalidInput, match="expected --calibration, golden requests or --traffic-rows"):
        write_calibration({}, None)


def test_arrays_come_back_from_the_file_as_they_were(tmp_path):
    """Text and BF16 included, which the format does not know, and without Python objects in it."""
    arrays = {
        "x": array(2),
        "text": np.array([b"one", "zwölf".encode()], np.object_),
        "half": np.array([1.5, 2], ml_dtypes.bfloat16),
    }
    signature = Signature(
        inputs=(
            TensorSpec("x", DType.FP32, ("N", 2), batch_axis=0),
            TensorSpec("text", DType.BYTES, ("N",), batch_axis=0),
            TensorSpec("half", DType.BF16, ("N",), batch_axis=0),
        ),
        outputs=ROWS.outputs,
    )
    path = tmp_path / "calibration.npz"
    write_calibration(arrays, path)
    back = check_calibration(read_calibration(path), signature).inputs
    assert {name: tensor.tolist() for name, tensor in back.items()} == {
        name: tensor.tolist() for name, tensor in arrays.items()
    }
    assert {name: tensor.dtype for name, tensor in back.items()} == {
        name: tensor.dtype for name, tensor in arrays.items()
    }


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, content):
    """Without a traceback."""
    path = tmp_path / "calibration.npz"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"expected an \.npz file of arrays without Python objects"):
        read_calibration(path)


def test_python_objects_are_refused(tmp_path):
    """Reading them would run code."""
    path = tmp_path / "calibration.npz"
    np.savez(path, x=np.array([{}], np.object_))
    with pytest.raises(InvalidInput, match="without Python objects"):
        read_calibration(path)


def test_a_file_that_would_unpack_to_too_much_is_refused(tmp_path):
    """Before anything of it is unpacked."""
    path = tmp_path / "calibration.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(1 << 20))
    assert path.stat().st_size < 10_000
    with pytest.raises(InvalidInput, match="expected at most 1000 bytes, got 1048576"):
        read_calibration(path, most_bytes=1000)
    with pytest.raises(InvalidInput, match="expected at most 10 bytes, got 16"):
        write_calibration({"x": array(2)}, path, most_bytes=10)
