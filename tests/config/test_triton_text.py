import pytest

from open_inference.model_config_pb2 import ModelConfig
from serinus.config.triton_ignored import ignored_fields
from serinus.config.triton_text import parse_config_json, parse_config_text
from serinus.core.errors import InvalidInput, ModelRejected


def test_json_and_text_say_the_same():
    """Both spellings of names are read from JSON."""
    expected = ModelConfig(name="m", max_batch_size=4)
    assert parse_config_text('name: "m" max_batch_size: 4') == expected
    assert parse_config_json('{"name": "m", "max_batch_size": 4}') == expected
    assert parse_config_json('{"name": "m", "maxBatchSize": 4}') == expected


def test_text_that_does_not_parse_is_rejected_with_its_place():
    """Line and column lead the operator there."""
    with pytest.raises(ModelRejected) as caught:
        parse_config_text("max_batch_size: many")
    assert (
        caught.value.message
        == "config.pbtxt cannot be parsed: 1:17 : 'max_batch_size: many': Couldn't parse integer: many"
    )


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", '{"x": 1}', '{"max_batch_size": "many"}', "[" * 100_000, '{"name": ' * 5000, "\0"]
)
def test_json_that_is_no_configuration_is_the_callers_mistake(text):
    """Deep nesting included; the sentence stays short."""
    with pytest.raises(InvalidInput) as caught:
        parse_config_json(text)
    assert (caught.value.reason, caught.value.field) == ("INVALID_CONFIG", "config")
    assert caught.value.message.startswith("config: expected the JSON of a model configuration: ")
    assert len(caught.value.message) < 512


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ('name: "m" max_batch_size: 1 dynamic_batching { } version_policy { all { } }', ()),
        ("response_cache { } model_transaction_policy { decoupled: false } optimization { }", ()),
        ("response_cache { enable: true }", ("response_cache.enable",)),
        ("optimization { cuda { graphs: true } }", ("optimization.cuda.graphs",)),
        ("optimization { cuda { } graph { level: 1 } }", ("optimization.graph.level", "optimization.cuda")),
        ("sequence_batching { }", ("sequence_batching",)),
        (
            "sequence_batching { oldest { max_candidate_sequences: 4 } }",
            ("sequence_batching.oldest.max_candidate_sequences",),
        ),
        ('metric_tags { key: "a" value: "b" }', ("metric_tags",)),
        ('model_operations { op_library_filename: "a.so" }', ("model_operations.op_library_filename",)),
        (
            "dynamic_batching { default_queue_policy { timeout_action: DELAY } priority_queue_policy { key: 1 } }",
            (
                "dynamic_batching.default_queue_policy.timeout_action",
                "dynamic_batching.priority_queue_policy",
            ),
        ),
        (
            'input [ { name: "a" format: FORMAT_NCHW }, { name: "b" format: FORMAT_NHWC is_shape_tensor: true } ]',
            ("input.format", "input.is_shape_tensor"),
        ),
        ('instance_group { gpus: [ 0, 1 ] profile: "p" count: 2 }', ("instance_group.gpus", "instance_group.profile")),
    ],
)
def test_each_ignored_field_is_named_once(text, expected):
    """By its dotted path, however deep and however often it is set."""
    assert ignored_fields(parse_config_text(text)) == expected
