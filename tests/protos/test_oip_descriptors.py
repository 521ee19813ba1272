from collections.abc import Iterator

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)

from open_inference import grpc_service_pb2, model_config_pb2

Fact = tuple[str, tuple[object, ...]]


def facts(file: FileDescriptorProto) -> dict[str, tuple[object, ...]]:
    """Everything in `file` that a peer can notice, by full name."""
    found: dict[str, tuple[object, ...]] = {}
    for message in file.message_type:
        found.update(message_facts(message, file.package))
    for enum in file.enum_type:
        found.update(enum_facts(enum, file.package))
    for service in file.service:
        found.update(service_facts(service, file.package))
    return found


def message_facts(message: DescriptorProto, scope: str) -> Iterator[Fact]:
    name = f"{scope}.{message.name}"
    yield name, ("message", message.options.map_entry)
    for field in message.field:
        yield f"{name}.{field.name}", field_facts(field, message)
    for nested in message.nested_type:
        yield from message_facts(nested, name)
    for enum in message.enum_type:
        yield from enum_facts(enum, name)


def field_facts(field: FieldDescriptorProto, message: DescriptorProto) -> tuple[object, ...]:
    oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
    packed = field.options.packed if field.options.HasField("packed") else None
    return (
        field.number,
        field.type,
        field.label,
        field.type_name,
        oneof,
        field.proto3_optional,
        packed,
        field.json_name,
    )


def enum_facts(enum: EnumDescriptorProto, scope: str) -> Iterator[Fact]:
    for value in enum.value:
        yield f"{scope}.{enum.name}.{value.name}", ("value", value.number)


def service_facts(service: ServiceDescriptorProto, scope: str) -> Iterator[Fact]:
    for rpc in service.method:
        yield (
            f"{scope}.{service.name}/{rpc.name}",
            (rpc.input_type, rpc.output_type, rpc.client_streaming, rpc.server_streaming),
        )


def file_of(module: object) -> FileDescriptorProto:
    file = FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)
    return file


@pytest.mark.parametrize("name", ["service_pb2", "model_config_pb2"])
def test_nothing_that_tritonclient_knows_is_missing_or_different(name: str) -> None:
    """Every message, field, number, type, label, oneof, map, enum value and RPC of theirs is the same in ours."""
    theirs_module = pytest.importorskip(f"tritonclient.grpc.{name}", reason="tritonclient needs protobuf below 7")
    ours_module = {"service_pb2": grpc_service_pb2, "model_config_pb2": model_config_pb2}[name]
    theirs, ours = facts(file_of(theirs_module)), facts(file_of(ours_module))

    assert len(theirs) > 100
    assert {fact: (value, ours.get(fact)) for fact, value in theirs.items() if ours.get(fact) != value} == {}


def test_the_service_has_the_twenty_calls_of_the_protocol() -> None:
    """Clients dial them by path under this service name, and one of them streams both ways."""
    service = grpc_service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]

    assert service.full_name == "inference.GRPCInferenceService"
    assert len(service.methods) == 20
    assert [m.name for m in service.methods if m.client_streaming or m.server_streaming] == ["ModelStreamInfer"]


CONFIG = """
name: "ocr"
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 3, -1, 48 ] optional: true } ]
output [ { name: "y" data_type: TYPE_STRING dims: [ 1 ] label_filename: "labels.txt" reshape { shape: [ ] } } ]
version_policy: { specific { versions: [ 1, 3 ] } }
instance_group [ { count: 2 kind: KIND_CPU } ]
dynamic_batching {
  preferred_batch_size: [ 4, 8 ]
  max_queue_delay_microseconds: 100
  priority_levels: 2
  default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 5000 max_queue_size: 16 }
  priority_queue_policy { key: 1 value { allow_timeout_override: true } }
}
optimization { graph { level: 1 } execution_accelerators { cpu_execution_accelerator [ { name: "openvino" } ] } }
parameters { key: "intra_op_thread_count" value: { string_value: "1" } }
model_warmup [ {
  name: "zeros"
  batch_size: 1
  inputs { key: "x" value: { data_type: TYPE_FP32 dims: [ 3, 96, 48 ] zero_data: true } }
} ]
"""


def test_a_config_pbtxt_parses() -> None:
    """Triton's text files are read by protobuf's own parser, into our classes."""
    config = text_format.Parse(CONFIG, model_config_pb2.ModelConfig())

    assert config.WhichOneof("scheduling_choice") == "dynamic_batching"
    assert list(config.version_policy.specific.versions) == [1, 3]
    assert config.dynamic_batching.priority_queue_policy[1].allow_timeout_override
    assert config.dynamic_batching.default_queue_policy.timeout_action == model_config_pb2.ModelQueuePolicy.DELAY
    assert list(config.model_warmup[0].inputs["x"].dims) == [3, 96, 48]
    assert text_format.Parse(text_format.MessageToString(config), model_config_pb2.ModelConfig()) == config
