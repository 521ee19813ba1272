"""Says in our words what a Triton configuration says about how a model is served."""

import re
from pathlib import Path

from pydantic import ValidationError

from open_inference.model_config_pb2 import ModelConfig, ModelInstanceGroup
from serinus.config.fields import Section
from serinus.config.models import BatchingSpec, ModelSpec, QueueSpec, TensorDeclaration, WarmUpInput, WarmUpSample
from serinus.config.problems import sentences
from serinus.config.triton_tensors import declared_inputs, declared_outputs, labels, warm_up
from serinus.core.errors import ModelRejected

_PLATFORMS = frozenset({"", "onnxruntime_onnx"})
_BACKENDS = frozenset({"", "onnxruntime"})
_MICROSECONDS = 1e-6
_PROVIDER = {ModelInstanceGroup.KIND_GPU: "cuda", ModelInstanceGroup.KIND_CPU: "cpu"}
# The operator wrote Triton's words and should read them.
_THEIR_WORDS = {
    "linger_s": "max_queue_delay_microseconds, in seconds",
    "max_rows": "max_batch_size",
    "preferred_rows": "preferred_batch_size",
    "max_calls": "max_queue_size",
    "timeout_s": "default_timeout_microseconds, in seconds",
    "default_priority": "default_priority_level",
    "instances": "instance_group.count",
    "intra_op_threads": "parameters.intra_op_thread_count",
    "rows": "model_warmup.batch_size",
    "runs": "model_warmup.count",
}
_OUR_WORD = re.compile(rf"\b({'|'.join(_THEIR_WORDS)})\b")
_SPECS: dict[str, type[Section]] = {
    spec.__name__: spec for spec in (BatchingSpec, QueueSpec, TensorDeclaration, WarmUpInput, WarmUpSample, ModelSpec)
}
_THREADS = re.compile(r"[1-9]\d{0,8}", re.ASCII)


def check_is_onnx(config: ModelConfig) -> None:
    """Check that the model is one that ONNX Runtime serves.

    Raises:
        ModelRejected: it is for another backend.
    """
    if config.platform not in _PLATFORMS or config.backend not in _BACKENDS:
        raise ModelRejected(
            "expected platform 'onnxruntime_onnx' or backend 'onnxruntime', "
            f"got platform {config.platform[:64]!r} and backend {config.backend[:64]!r}"
        )
    if config.HasField("ensemble_scheduling"):
        raise ModelRejected("expected one ONNX model, got an ensemble (ensemble_scheduling)")


def model_spec(name: str, versions: dict[int, Path], folder: Path, config: ModelConfig) -> ModelSpec:
    """The model that `config` describes.

    Args:
        name: The model's name.
        versions: ONNX file by version number.
        folder: Where its labels and its warm-up data lie.
        config: What to say in our words.

    Raises:
        ModelRejected: the configuration contradicts itself or asks for what cannot be.
    """
    try:
        inputs, outputs = declared_inputs(config), declared_outputs(config)
        return ModelSpec(
            name=name,
            versions=versions,
            batching=_batching(config),
            queue=_queue(config),
            batch_axes={tensor.name: 0 for tensor in (*inputs, *outputs)} if config.max_batch_size > 0 else {},
            instances=_instances(config),
            intra_op_threads=_intra_op_threads(config),
            providers=_providers(config),
            max_batch_size=config.max_batch_size,
            inputs=inputs,
            outputs=outputs,
            warm_up=warm_up(config, folder),
            labels=labels(config, folder),
            parameters={key: value.string_value for key, value in config.parameters.items()},
        )
    except ValidationError as error:
        text = "; ".join(sentences(error, _SPECS[error.title], lambda _key: ""))
        raise ModelRejected(_OUR_WORD.sub(lambda word: _THEIR_WORDS[word[0]], text)) from error


def doubts(config: ModelConfig) -> tuple[str, ...]:
    """What the configuration asks for that is done in another way."""
    found = []
    if not config.max_batch_size and config.HasField("dynamic_batching"):
        found.append("dynamic_batching does not join calls, because max_batch_size is 0")
    if len({group.kind for group in config.instance_group} & _PROVIDER.keys()) > 1:
        found.append("instance_group: KIND_GPU and KIND_CPU together; all instances run on the GPU")
    found.extend(
        f"model_warmup {sample.name[:128]!r} is skipped, because its batch_size is 0"
        for sample in config.model_warmup
        if not sample.batch_size
    )
    return tuple(found)


def _batching(config: ModelConfig) -> BatchingSpec:
    # Joining needs no `dynamic_batching`: the batcher learns by itself whether it pays. The table only tunes it.
    if config.max_batch_size <= 0:
        return BatchingSpec(enabled=False)
    return BatchingSpec(
        enabled=config.max_batch_size > 1,
        max_rows=config.max_batch_size,
        linger_s=config.dynamic_batching.max_queue_delay_microseconds * _MICROSECONDS,
        preferred_rows=tuple(sorted(set(config.dynamic_batching.preferred_batch_size))),
    )


def _queue(config: ModelConfig) -> QueueSpec:
    batching = config.dynamic_batching
    options: dict[str, object] = {}
    if batching.priority_levels:
        options |= {"priority_levels": batching.priority_levels, "default_priority": batching.default_priority_level}
    if batching.HasField("default_queue_policy"):
        policy = batching.default_queue_policy
        # 0 stands for no limit in Triton; every queue here has one, and the deadline ends every wait.
        if policy.max_queue_size:
            options["max_calls"] = policy.max_queue_size
        if policy.default_timeout_microseconds:
            options["timeout_s"] = policy.default_timeout_microseconds * _MICROSECONDS
    return QueueSpec.model_validate(options)


def _instances(config: ModelConfig) -> int | None:
    return sum(group.count or 1 for group in config.instance_group) if config.instance_group else None


def _providers(config: ModelConfig) -> tuple[str, ...] | None:
    kinds = {group.kind for group in config.instance_group}
    return next(((provider,) for kind, provider in _PROVIDER.items() if kind in kinds), None)


def _intra_op_threads(config: ModelConfig) -> int:
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    text = parameters.get("intra_op_thread_count", "")
    # 0 leaves it to ONNX Runtime in Triton, which would take every core for each run.
    return int(text) if _THREADS.fullmatch(text) else 1
