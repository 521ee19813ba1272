"""What Triton's clients are told about models and the server: metadata, configuration, statistics."""

from collections.abc import Iterable

from open_inference import grpc_service_pb2 as oip
from open_inference import model_config_pb2 as config
from serinus.core.signature import Signature, TensorSpec
from serinus.lifecycle.servable import Servable
from serinus.telemetry.model_metrics import CountAndTime, ModelMetrics

PLATFORM = "onnxruntime_onnx"
BACKEND = "onnxruntime"
# What clients switch on: only what is built.
EXTENSIONS = (
    "classification",
    "model_repository",
    "schedule_policy",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "logging",
)


def model_metadata(servable: Servable, serving: Iterable[Servable]) -> oip.ModelMetadataResponse:
    """Names, types and shapes, the batch axis included as -1; versions as integers."""
    return oip.ModelMetadataResponse(
        name=servable.identity.model,
        versions=sorted((other.identity.number_text for other in serving), key=int),
        platform=PLATFORM,
        inputs=[_tensor(spec) for spec in servable.signature.inputs],
        outputs=[_tensor(spec) for spec in servable.signature.outputs],
    )


def _tensor(spec: TensorSpec) -> oip.ModelMetadataResponse.TensorMetadata:
    return oip.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.dtype, shape=spec.wire_shape)


def leading_batch_rows(servable: Servable) -> int:
    """Triton's `max_batch_size`: most rows of a call when every tensor's first axis is its batch axis, else 0."""
    signature = servable.signature
    if not _all_lead(signature):
        return 0
    declared = servable.options.max_batch_size
    return servable.max_rows if declared is None else declared


def _all_lead(signature: Signature) -> bool:
    return signature.is_batched and all(spec.batch_axis == 0 for spec in (*signature.inputs, *signature.outputs))


def model_config(servable: Servable) -> config.ModelConfig:
    """The configuration that Triton would show for such a model."""
    rows = leading_batch_rows(servable)
    options = servable.options
    first = 1 if rows else 0
    answer = config.ModelConfig(
        name=servable.identity.model,
        platform=PLATFORM,
        backend=BACKEND,
        max_batch_size=rows,
        default_model_filename="model.onnx",
        input=[
            config.ModelInput(
                name=tensor.name,
                data_type=_config_type(tensor),
                dims=tensor.wire_shape[first:],
                optional=tensor.optional,
            )
            for tensor in servable.signature.inputs
        ],
        output=[
            config.ModelOutput(name=tensor.name, data_type=_config_type(tensor), dims=tensor.wire_shape[first:])
            for tensor in servable.signature.outputs
        ],
        model_transaction_policy=config.ModelTransactionPolicy(decoupled=False),
        parameters={key: config.ModelParameter(string_value=value) for key, value in options.parameters.items()},
    )
    if rows and options.batching.enabled:
        answer.dynamic_batching.preferred_batch_size.extend(options.batching.preferred_rows)
        answer.dynamic_batching.max_queue_delay_microseconds = round(options.batching.linger_s * 1e6)
        answer.dynamic_batching.priority_levels = options.queue.priority_levels
        answer.dynamic_batching.default_priority_level = options.queue.default_priority
    return answer


def _config_type(spec: TensorSpec) -> config.DataType.ValueType:
    name = "STRING" if spec.dtype == "BYTES" else spec.dtype
    return config.DataType.Value(f"TYPE_{name}")


def model_statistics(metrics: ModelMetrics) -> oip.ModelStatistics:
    """The counters of a version, under its integer: perf_analyzer reads nothing else."""
    statistics = metrics.statistics()
    answer = oip.ModelStatistics(
        name=metrics.version.model,
        version=metrics.version.number_text,
        last_inference=int(metrics.last_answer_unix_s * 1000),
        inference_count=metrics.rows,
        execution_count=metrics.batches,
        inference_stats=oip.InferStatistics(
            success=_duration(statistics.success),
            fail=_duration(statistics.fail),
            queue=_duration(statistics.queue),
            compute_input=_duration(statistics.compute_input),
            compute_infer=_duration(statistics.compute_infer),
            compute_output=_duration(statistics.compute_output),
            cache_hit=oip.StatisticDuration(),
            cache_miss=oip.StatisticDuration(),
        ),
    )
    for rows, runs in sorted(metrics.batch_sizes.items()):
        answer.batch_stats.append(
            oip.InferBatchStatistics(
                batch_size=rows,
                compute_input=oip.StatisticDuration(count=runs.count),
                compute_infer=oip.StatisticDuration(count=runs.count, ns=int(runs.seconds * 1e9)),
                compute_output=oip.StatisticDuration(count=runs.count),
            )
        )
    return answer


def _duration(total: CountAndTime) -> oip.StatisticDuration:
    return oip.StatisticDuration(count=total.count, ns=total.ns)
