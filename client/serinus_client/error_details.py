"""What an error carries for programs beside its sentence: `google.rpc.ErrorInfo`, read without googleapis' package.

The two messages that are needed are described here, by their public field numbers, in a pool of their own: in the
default pool they would collide with the real ones wherever those are installed too.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

DETAILS_KEY = "grpc-status-details-bin"
"""Trailing metadata of a failed call: a serialised `google.rpc.Status`."""

_Field = descriptor_pb2.FieldDescriptorProto
_ERROR_INFO = "google.rpc.ErrorInfo"


def _describe(file: descriptor_pb2.FileDescriptorProto, name: str, fields: Mapping[str, tuple[int, str]]) -> None:
    """Add a message of which only these fields, by name with number and type, are read; "" is text."""
    message = file.message_type.add(name=name)
    for field, (number, type_name) in fields.items():
        is_text = not type_name
        message.field.add(
            name=field,
            number=number,
            label=_Field.LABEL_OPTIONAL if is_text else _Field.LABEL_REPEATED,
            type=_Field.TYPE_STRING if is_text else _Field.TYPE_MESSAGE,
            type_name=type_name or None,
        )


def _messages() -> tuple[Any, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="serinus_client/error_details.proto",
        package="google.rpc",
        syntax="proto3",
        dependency=[any_pb2.DESCRIPTOR.name],
    )
    _describe(file, "Status", {"details": (3, ".google.protobuf.Any")})
    # On the wire a map is its entries.
    _describe(file, "Entry", {"key": (1, ""), "value": (2, "")})
    _describe(file, "ErrorInfo", {"metadata": (3, ".google.rpc.Entry")})
    pool.AddSerializedFile(file.SerializeToString())
    found = [pool.FindMessageTypeByName(name) for name in ("google.rpc.Status", _ERROR_INFO)]
    status, error_info = map(message_factory.GetMessageClass, found)
    return status, error_info


_Status, _ErrorInfo = _messages()


def read_facts(details: bytes) -> dict[str, str]:
    """What the error's ErrorInfo says beside the reason, such as `current_revision`; {} if it cannot be read."""
    facts: dict[str, str] = {}
    try:
        for detail in _Status.FromString(details).details:
            if detail.type_url.rpartition("/")[2] == _ERROR_INFO:
                facts.update((entry.key, entry.value) for entry in _ErrorInfo.FromString(detail.value).metadata)
    except DecodeError:
        return {}
    return facts
