from pathlib import Path

import pytest

from serinus.config.errors import ConfigError
from serinus.config.model_flags import parse_model_flag
from serinus.config.models import ModelSpec, ModelTable, TensorDeclaration
from serinus.core.dtypes import DType
from serinus.core.version import ModelVersion, Version


def test_a_model_flag_names_one_file_as_version_one(tmp_path):
    """A relative path starts at the folder given; the version is 1.0.0."""
    (tmp_path / "m=1.onnx").touch()
    spec = parse_model_flag("magika=m=1.onnx", cwd=tmp_path)
    assert spec == ModelSpec(name="magika", versions={1: tmp_path / "m=1.onnx"})
    assert spec.model_version(1) == ModelVersion("magika", Version(1, 0, 0), 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("magika", "--model: expected NAME=PATH.onnx, got 'magika'"),
        ("", "--model: expected NAME=PATH.onnx, got ''"),
        ("=x.onnx", "--model: expected NAME=PATH.onnx, got '=x.onnx'"),
        ("magika=", "--model: expected NAME=PATH.onnx, got 'magika='"),
        ("Magika=x", "--model: invalid model name 'Magika': expected [a-z0-9][a-z0-9._-]{0,127} without '..'"),
        ("magika=x.onnx", "--model magika: expected an ONNX file at '{cwd}/x.onnx', got nothing there"),
        ("magika=.", "--model magika: expected an ONNX file at '{cwd}', got a folder there"),
        ("magika=" + "x" * 300, "--model magika: the path cannot be followed: File name too long"),
    ],
)
def test_a_model_flag_that_names_no_file_is_refused(tmp_path, text, expected):
    """The sentence says what is wrong with it."""
    with pytest.raises(ConfigError) as caught:
        parse_model_flag(text, cwd=tmp_path)
    assert caught.value.problems == (expected.replace("{cwd}", str(tmp_path)),)


def test_a_table_becomes_a_model_with_its_options():
    """What the table says is kept, what it does not say stays the default."""
    table = ModelTable(versions={2: Path("/two.onnx")}, reject_nonfinite=True, providers=("cuda",))
    assert table.spec("a") == ModelSpec(
        name="a", versions={2: Path("/two.onnx")}, reject_nonfinite=True, providers=("cuda",)
    )


@pytest.mark.parametrize(("max_batch_size", "expected"), [(None, (3,)), (0, (3,)), (8, (-1, 3))])
def test_declared_dims_leave_out_the_batch_axis_of_a_batched_model(max_batch_size, expected):
    """Triton's rule: a model with a batch size declares what one row looks like."""
    spec = ModelSpec(name="a", versions={1: Path("/a.onnx")}, max_batch_size=max_batch_size)
    assert spec.declared_shape(TensorDeclaration(name="x", dtype=DType.FP32, dims=(3,))) == expected
