"""Names what a Triton configuration asks for and this server does not do."""

from collections.abc import Iterator

from google.protobuf.message import Message

from open_inference.model_config_pb2 import ModelConfig

# Acted on by `triton_model`, or empty of meaning here. A message named here is acted on with all that it holds.
_HONOURED = frozenset({
    "name",
    "platform",
    "backend",
    "default_model_filename",
    "max_batch_size",
    "version_policy",
    "parameters",
    "input.name",
    "input.data_type",
    "input.dims",
    "input.optional",
    "output.name",
    "output.data_type",
    "output.dims",
    "output.label_filename",
    "dynamic_batching.preferred_batch_size",
    "dynamic_batching.max_queue_delay_microseconds",
    "dynamic_batching.priority_levels",
    "dynamic_batching.default_priority_level",
    "dynamic_batching.default_queue_policy.max_queue_size",
    "dynamic_batching.default_queue_policy.default_timeout_microseconds",
    "dynamic_batching.default_queue_policy.allow_timeout_override",  # a call's own time-out always counts here
    "instance_group.name",
    "instance_group.count",
    "instance_group.kind",
    "model_warmup",
})  # fmt: skip
# What their absence says as well.
_EMPTY_IS_DEFAULT = frozenset({
    "dynamic_batching",
    "dynamic_batching.default_queue_policy",
    "instance_group",
    "model_transaction_policy",
    "optimization",
    "response_cache",
})  # fmt: skip


def ignored_fields(config: ModelConfig) -> tuple[str, ...]:
    """The dotted path of each field that is set and ignored, in the order of field numbers, each once."""
    return tuple(dict.fromkeys(_ignored(config, "")))


def _ignored(message: Message, prefix: str) -> Iterator[str]:
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        if path in _HONOURED:
            continue
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if field.message_type is None or is_map:
            yield path
            continue
        for part in (value,) if isinstance(value, Message) else value:
            # 1. Fields are set in it: each speaks for itself. 2. None is: the message itself is what was asked for.
            if part.ListFields():
                yield from _ignored(part, f"{path}.")
            elif path not in _EMPTY_IS_DEFAULT:
                yield path
