"""Which bundles are taken at all, by what is declared and by what the bytes are."""

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from serinus.core.artifact import ArtifactFile, Manifest
from serinus.core.errors import InvalidInput, ModelRejected
from serinus.registry.files.bundle import BundleLimits, check_bundle
from serinus.registry.files.formats import check_format


def file(path: str, digit: str = "a", size_bytes: int = 10) -> ArtifactFile:
    return ArtifactFile(path, digit * 64, size_bytes)


def check(*paths: str, main: str = "", goldens: Sequence[str] = ()) -> Manifest:
    return check_bundle([file(path) for path in paths], main, goldens, BundleLimits())


def test_files_are_sorted_and_the_only_model_file_is_the_main_one() -> None:
    """As the manifest promises."""
    assert check("weights.bin", "a/model.onnx") == Manifest("a/model.onnx", (file("a/model.onnx"), file("weights.bin")))
    assert check("b.onnx", "a.onnx", main="b.onnx").main == "b.onnx"
    assert check("m.onnx", "goldens/one.npz", goldens=["goldens/one.npz"]).main == "m.onnx"


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (["m.onnx", "../x"], "INVALID_PATH"),
        (["m.onnx", "/etc/passwd"], "INVALID_PATH"),
        (["m.onnx", "a/../../x"], "INVALID_PATH"),
        (["m.onnx", "..\\x"], "INVALID_PATH"),
        (["m.onnx", "C:x"], "INVALID_PATH"),
        (["m.onnx", ".hidden"], "INVALID_PATH"),
        (["m.onnx", "a//x"], "INVALID_PATH"),
        (["m.onnx", "a/"], "INVALID_PATH"),
        (["m.onnx", "a\0"], "INVALID_PATH"),
        (["m.onnx", "ä"], "INVALID_PATH"),
        (["m.onnx", "m.onnx"], "PATH_CLASH"),
        (["m.onnx", "M.onnx"], "PATH_CLASH"),
        (["m.onnx", "a/x", "A/y"], "PATH_CLASH"),
        (["m.onnx", "a", "a/x"], "PATH_CLASH"),
        (["m.onnx", "a/b/x", "a/B"], "PATH_CLASH"),
        ([], "TOO_MANY_FILES"),
        (["m.onnx", *(f"w{i}" for i in range(1000))], "TOO_MANY_FILES"),
        (["m.txt"], "INVALID_MAIN"),
        (["a.onnx", "b.onnx"], "INVALID_MAIN"),
    ],
)
def test_names_that_cannot_stand_in_one_folder_are_refused(paths: list[str], reason: str) -> None:
    """On any system, whatever its file system makes of them."""
    with pytest.raises(InvalidInput) as refused:
        check(*paths)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("main", "goldens", "reason"),
    [
        ("x.onnx", [], "INVALID_MAIN"),
        ("w.bin", [], "INVALID_MAIN"),
        ("", ["g.npz"], "INVALID_GOLDEN"),
        ("", ["w.bin"], "INVALID_GOLDEN"),
    ],
)
def test_the_files_that_are_named_must_be_there(main: str, goldens: list[str], reason: str) -> None:
    """The main file and the golden requests are files of the bundle, of their kind."""
    with pytest.raises(InvalidInput) as refused:
        check("m.onnx", "w.bin", main=main, goldens=goldens)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([file("m.onnx", size_bytes=101)], "BUNDLE_TOO_LARGE"),
        ([file("m.onnx", "a", 51), file("w", "b", 50)], "BUNDLE_TOO_LARGE"),
        ([file("m.onnx", size_bytes=-1)], "BUNDLE_TOO_LARGE"),
        ([file("m.onnx", "A")], "INVALID_HASH"),
        ([file("m.onnx", "a", 1), file("w", "a", 2)], "WRONG_SIZE"),
    ],
)
def test_what_cannot_be_true_or_is_too_much_is_refused(files: list[ArtifactFile], reason: str) -> None:
    """Before a byte of it was sent."""
    with pytest.raises(InvalidInput) as refused:
        check_bundle(files, "", [], BundleLimits(size_bytes=100))
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "path",
    ["m.pkl", "m.PICKLE", "a/m.joblib", "m.pt", "m.pth", "ops.so", "libops.so.1", "ops.dll", "ops.dylib", "m.skops"],
)
def test_code_is_refused_by_its_name(path: str) -> None:
    """Before a byte of it was sent, wherever it stands."""
    with pytest.raises(ModelRejected) as refused:
        check("m.onnx", path)
    assert refused.value.reason == "UNSAFE_FORMAT"
    with pytest.raises(ModelRejected):
        check(path, main=path)


def npy(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def headed(header: str, length: int | None = None) -> bytes:
    """An array of format 2.0 whose header says that it is `length` bytes long."""
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header) if length is None else length) + header.encode()


def archive(**members: bytes) -> bytes:
    return packed(members, zipfile.ZIP_DEFLATED)


def packed(members: Mapping[str, bytes], packing: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return stream.getvalue()


OBJECTS = npy(np.array([None, {}], dtype=object))
FLOATS = npy(np.arange(3.0))


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00",
        b"\x80\x02}q\x00.",
        OBJECTS,
        archive(**{"x.npy": OBJECTS}),
        archive(**{"x.npy": FLOATS, "data.pkl": b"\x80\x02."}),
        archive(**{"archive/data.pkl": b"\x80\x02."}),
        archive(**{"x.npy": FLOATS})[:-30],
        packed({"x.npy": FLOATS}, zipfile.ZIP_LZMA),
        headed("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }" + " " * 20_000),
        b"\x7fELF\x02\x01\x01",
        b"\xcf\xfa\xed\xfe\x07",
        b"MZ" + bytes(0x3A) + (0x80).to_bytes(4, "little") + bytes(0x40) + b"PE\0\0",
    ],
    ids=[
        "pickle 4",
        "pickle 2",
        "npy",
        "npz",
        "npz and pickle",
        "torch",
        "cut zip",
        "lzma",
        "padded",
        "elf",
        "mach-o",
        "pe",
    ],
)
@pytest.mark.parametrize("name", ["weights.bin", "model.onnx"])
def test_code_is_recognised_by_its_bytes(tmp_path: Path, content: bytes, name: str) -> None:
    """A harmless name does not make it harmless."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ModelRejected) as refused:
        check_format(path, name)
    assert refused.value.reason == "UNSAFE_FORMAT"
    assert str(tmp_path) not in refused.value.message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80",
        b"\x80\x04",
        bytes(100),
        b"\x80\x02" + bytes(100),
        b"MZ",
        b"MZ" + bytes(200),
        b"labels\n",
        FLOATS,
        FLOATS[:9],
        headed("{'descr': ("),
        headed("{[1]: 2}"),
        headed("(" * 5000),
        archive(**{"x.npy": headed("'''''")}),
        archive(),
        archive(**{"x.npy": FLOATS, "y.npy": npy(np.array(["text"]))}),
    ],
)
def test_data_is_taken_as_it_is(tmp_path: Path, content: bytes) -> None:
    """Weights are any bytes; arrays of numbers and text are no code."""
    path = tmp_path / "file"
    path.write_bytes(content)
    check_format(path, "weights.bin")


def test_an_archive_that_claims_to_be_huge_is_not_unpacked(tmp_path: Path) -> None:
    """Only the heads of its arrays are read."""
    path = tmp_path / "file"
    path.write_bytes(archive(**{"x.npy": FLOATS + bytes(1 << 25)}))
    assert path.stat().st_size < 1 << 18
    check_format(path, "golden.npz")


@pytest.mark.parametrize(
    "content",
    [
        archive(**{"x.npy": headed("", 1 << 26) + bytes(1 << 26)}),
        archive(**{f"{number}{'x' * 2000}.npy": b"" for number in range(1100)}),
    ],
    ids=["header", "directory"],
)
def test_no_archive_chooses_how_much_of_it_is_read(tmp_path: Path, content: bytes) -> None:
    """A few kilobytes can unpack to a header of gigabytes, and a directory can be as long as the upload."""
    path = tmp_path / "file"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ModelRejected) as refused:
            check_format(path, "golden.npz")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.reason == "UNSAFE_FORMAT"
    assert peak_bytes < 1 << 25
