import pytest

from serinus.config.models import (
    BatchingSpec,
    ModelSpec,
    QueueSpec,
    TensorDeclaration,
    WarmUpInput,
    WarmUpSample,
)
from serinus.config.triton_repository import FoundModel, read_model
from serinus.core.dtypes import DType
from serinus.core.errors import ModelRejected

WHOLE = """
name: "m"
platform: "onnxruntime_onnx"
backend: "onnxruntime"
max_batch_size: 32
input [
  { name: "x" data_type: TYPE_FP32 dims: [ 3, -1 ] },
  { name: "words" data_type: TYPE_STRING dims: 1 optional: true }
]
output { name: "y" data_type: TYPE_BF16 dims: [ 2 ] label_filename: "labels.txt" }
version_policy { all { } }
dynamic_batching {
  preferred_batch_size: [ 16, 4 ]
  max_queue_delay_microseconds: 1500
  priority_levels: 3
  default_priority_level: 2
  default_queue_policy {
    default_timeout_microseconds: 250000
    allow_timeout_override: true
    max_queue_size: 100
  }
}
instance_group [ { count: 2 kind: KIND_GPU }, { kind: KIND_GPU } ]
model_warmup {
  name: "first"
  batch_size: 4
  count: 2
  inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 3, 8 ] random_data: true } }
  inputs { key: "words" value { data_type: TYPE_STRING dims: 1 input_data_file: "sub/words.bin" } }
}
parameters { key: "owner" value { string_value: "ocr" } }
parameters { key: "intra_op_thread_count" value { string_value: "2" } }
"""


def warm_up(data, more="") -> str:
    """A configuration with one warm-up sample of one input."""
    return f'model_warmup {{ batch_size: 1 {more} inputs {{ key: "x" value {{ data_type: TYPE_FP32 {data} }} }} }}'


def read(make_model, tmp_path, config) -> FoundModel:
    make_model("m", config)
    return read_model(tmp_path / "repository", "m")


def rejection(make_model, tmp_path, config) -> str:
    with pytest.raises(ModelRejected) as caught:
        read(make_model, tmp_path, config)
    return caught.value.message


def test_every_honoured_field_arrives(make_model, tmp_path):
    """A configuration of honoured fields alone is read without a warning."""
    folder = make_model("m", WHOLE)
    (folder / "labels.txt").write_text("cat\ndog\n", encoding="utf-8")
    (folder / "warmup/sub").mkdir(parents=True)
    (folder / "warmup/sub/words.bin").touch()
    assert read_model(tmp_path / "repository", "m") == FoundModel(
        spec=ModelSpec(
            name="m",
            versions={1: folder / "1/model.onnx"},
            batching=BatchingSpec(max_rows=32, linger_s=0.0015, preferred_rows=(4, 16)),
            queue=QueueSpec(max_calls=100, timeout_s=0.25, priority_levels=3, default_priority=2),
            batch_axes={"x": 0, "words": 0, "y": 0},
            instances=3,
            intra_op_threads=2,
            providers=("cuda",),
            max_batch_size=32,
            inputs=(
                TensorDeclaration(name="x", dtype=DType.FP32, dims=(3, -1)),
                TensorDeclaration(name="words", dtype=DType.BYTES, dims=(1,), optional=True),
            ),
            outputs=(TensorDeclaration(name="y", dtype=DType.BF16, dims=(2,)),),
            warm_up=(
                WarmUpSample(
                    name="first",
                    rows=4,
                    runs=2,
                    inputs={
                        "words": WarmUpInput(
                            dtype=DType.BYTES, dims=(1,), fill="file", file=folder / "warmup/sub/words.bin"
                        ),
                        "x": WarmUpInput(dtype=DType.FP32, dims=(3, 8), fill="random"),
                    },
                ),
            ),
            labels={"y": ("cat", "dog")},
            parameters={"owner": "ocr", "intra_op_thread_count": "2"},
        ),
        warnings=(),
    )


def test_a_configuration_that_says_little_keeps_our_defaults(make_model, tmp_path):
    """0 stands for Triton's "no limit", which no queue here has."""
    spec = read(make_model, tmp_path, "max_batch_size: 8 dynamic_batching { default_queue_policy { } }").spec
    assert spec.batching == BatchingSpec(max_rows=8)
    assert spec.queue == QueueSpec()
    assert (spec.instances, spec.providers, spec.intra_op_threads) == (None, None, 1)


@pytest.mark.parametrize("config", ["", "max_batch_size: 0"])
def test_without_a_batch_size_nothing_is_joined(make_model, tmp_path, config):
    """Triton's rule: 0, which an absent field says as well, is a model without a batch axis."""
    spec = read(make_model, tmp_path, f'{config} input {{ name: "x" data_type: TYPE_FP32 dims: [ 2, 3 ] }}').spec
    assert (spec.batching, spec.batch_axes, spec.max_batch_size) == (BatchingSpec(enabled=False), {}, 0)
    assert spec.declared_shape(spec.inputs[0]) == (2, 3)


def test_a_batch_size_of_one_joins_nothing(make_model, tmp_path):
    """There is a batch axis, and one row on it."""
    spec = read(make_model, tmp_path, "max_batch_size: 1").spec
    assert (spec.batching, spec.max_batch_size) == (BatchingSpec(enabled=False, max_rows=1), 1)


@pytest.mark.parametrize(
    ("groups", "instances", "providers"),
    [
        ("instance_group { kind: KIND_CPU count: 4 }", 4, ("cpu",)),
        ("instance_group { }", 1, None),
        ("instance_group { kind: KIND_MODEL }", 1, None),
    ],
)
def test_instance_groups_say_how_many_and_where(make_model, tmp_path, groups, instances, providers):
    """A group without a count is one instance; without a kind it goes where the server's models go."""
    spec = read(make_model, tmp_path, groups).spec
    assert (spec.instances, spec.providers) == (instances, providers)


@pytest.mark.parametrize("value", ["0", "-1", "many", "1" * 5000, "1234567890x", ""])
def test_thread_counts_that_are_none_leave_one(make_model, tmp_path, value):
    """0 would take every core for each run."""
    config = f'parameters {{ key: "intra_op_thread_count" value {{ string_value: "{value}" }} }}'
    assert read(make_model, tmp_path, config).spec.intra_op_threads == 1


def test_what_is_done_otherwise_is_said(make_model, tmp_path):
    """Doubts come before the list of what is ignored."""
    config = """
    dynamic_batching { preserve_ordering: true }
    instance_group [ { kind: KIND_CPU }, { kind: KIND_GPU gpus: 0 } ]
    model_warmup { name: "none" }
    """
    found = read(make_model, tmp_path, config)
    assert (found.spec.providers, found.spec.warm_up) == (("cuda",), ())
    assert found.warnings == (
        "m: dynamic_batching does not join calls, because max_batch_size is 0",
        "m: instance_group: KIND_GPU and KIND_CPU together; all instances run on the GPU",
        "m: model_warmup 'none' is skipped, because its batch_size is 0",
        "m: the configuration sets what is ignored here: instance_group.gpus, dynamic_batching.preserve_ordering",
    )


def test_a_reshaped_input_is_what_the_model_takes(make_model, tmp_path):
    """Nothing is reshaped here, so the declaration is the model's own shape, and a warning says so."""
    config = 'input { name: "x" data_type: TYPE_FP32 dims: 4 reshape { shape: [ 2, 2 ] } }'
    found = read(make_model, tmp_path, config)
    assert found.spec.inputs[0].dims == (2, 2)
    assert found.warnings == ("m: the configuration sets what is ignored here: input.reshape.shape",)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("max_batch_size: -1", "max_batch_size: expected a whole number from 0 to 1048576, got -1"),
        (
            "max_batch_size: 4 dynamic_batching { preferred_batch_size: 8 }",
            "preferred_batch_size: expected no size above max_batch_size = 4, got [8]",
        ),
        (
            "max_batch_size: 4 dynamic_batching { max_queue_delay_microseconds: 90000000 }",
            "max_queue_delay_microseconds, in seconds: expected a number from 0 to 60, got 90.0",
        ),
        (
            "dynamic_batching { priority_levels: 2 default_priority_level: 3 }",
            "default_priority_level: expected a whole number from 1 to priority_levels = 2, got 3",
        ),
        (
            "dynamic_batching { priority_levels: 2 }",
            "default_priority_level: expected a whole number from 1 to 65535, got 0",
        ),
        (
            "instance_group { count: -3 }",
            "instance_group.count: expected a whole number from 1 to 1024, got -3",
        ),
        ('input { name: "x" dims: 1 }', "input 'x': expected a data_type, got INVALID"),
        ("input { data_type: TYPE_FP32 dims: 1 }", "input.name: expected a name, got nothing"),
        (
            'output { name: "y" data_type: TYPE_FP32 dims: [ 0, -2 ] }',
            "output 'y': expected dims that are positive or -1, got [0, -2]",
        ),
        (
            warm_up(""),
            "model_warmup input 'x': expected zero_data, random_data or input_data_file, got nothing",
        ),
        (
            warm_up("dims: -1 zero_data: true"),
            "model_warmup input 'x': expected dims without a free length, got [-1]",
        ),
        (
            warm_up("zero_data: true", "count: 20000"),
            "model_warmup.count: expected a whole number from 1 to 10000, got 20000",
        ),
        (
            warm_up('input_data_file: "no"'),
            "model_warmup input 'x': expected a file in 'warmup', got 'no'",
        ),
        (
            warm_up('input_data_file: "../1/model.onnx"'),
            "expected a file name inside the model's folder, got '../1/model.onnx'",
        ),
        (
            'output { name: "y" data_type: TYPE_FP32 dims: 1 label_filename: "/etc/hostname" }',
            "expected a file name inside the model's folder, got '/etc/hostname'",
        ),
        (
            'output { name: "y" data_type: TYPE_FP32 dims: 1 label_filename: "no.txt" }',
            "'no.txt' cannot be read: No such file or directory",
        ),
    ],
)
def test_a_configuration_that_cannot_be_meant_rejects_its_model(make_model, tmp_path, config, expected):
    """One sentence in Triton's own words."""
    assert rejection(make_model, tmp_path, config) == expected


def test_labels_behind_a_link_are_not_read(make_model, tmp_path):
    """A label file is the model's own."""
    folder = make_model("m", 'output { name: "y" data_type: TYPE_FP32 dims: 1 label_filename: "labels.txt" }')
    (folder / "labels.txt").symlink_to("/etc/hostname")
    with pytest.raises(ModelRejected) as caught:
        read_model(tmp_path / "repository", "m")
    assert caught.value.message == "'labels.txt' is a link to a place where this model may not read"


def test_a_label_file_without_end_is_not_read(make_model, tmp_path):
    """A model file named by mistake does not fill the memory."""
    folder = make_model("m", 'output { name: "y" data_type: TYPE_FP32 dims: 1 label_filename: "labels.txt" }')
    with (folder / "labels.txt").open("wb") as file:
        file.truncate(5 << 20)
    with pytest.raises(ModelRejected) as caught:
        read_model(tmp_path / "repository", "m")
    assert caught.value.message == "'labels.txt' is too long: expected at most 4194304 bytes"
