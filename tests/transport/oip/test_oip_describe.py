"""What Triton's clients are told about models."""

from typing import Any

import pytest

from open_inference import grpc_service_pb2 as oip
from open_inference import model_config_pb2 as config
from serinus.core.dtypes import DType
from serinus.core.signature import Signature
from serinus.core.version import ModelVersion, Version
from serinus.telemetry.model_metrics import ModelMetrics
from serinus.telemetry.outcome import DispatchReason, Outcome
from serinus.transport.oip.describe import leading_batch_rows, model_config, model_metadata, model_statistics
from tests.lifecycle.fake_servables import FakeServable, version_spec
from tests.support.fakes import spec

LEADING = Signature(
    (spec("x", "n", 8, "width", dtype=DType.FP32), spec("text", "n", dtype=DType.BYTES)),
    (spec("y", "n", 4, dtype=DType.BF16),),
)
SECOND = Signature(
    (spec("x", "n", 2), spec("state", 2, "n", 4, batch_axis=1)),
    (spec("y", "n", 1),),
)
SCALAR = Signature((spec("x", "n", 2), spec("factor", batch_axis=None)), (spec("y", "n", 2),))
ALONE = Signature((spec("x", 3, 2, batch_axis=None),), (spec("y", batch_axis=None),))


def servable(signature: Signature, number: int = 1, **options: Any) -> FakeServable:
    return FakeServable(version_spec(number, **options), signature=signature)


def test_metadata_shows_names_types_shapes_and_all_versions():
    """The batch axis is -1 like every open length; versions are integers in the order of their numbers."""
    serving = [servable(LEADING, number) for number in (10, 9, 2)]
    assert model_metadata(serving[0], serving) == oip.ModelMetadataResponse(
        name="m",
        versions=["2", "9", "10"],
        platform="onnxruntime_onnx",
        inputs=[
            {"name": "x", "datatype": "FP32", "shape": [-1, 8, -1]},
            {"name": "text", "datatype": "BYTES", "shape": [-1]},
        ],
        outputs=[{"name": "y", "datatype": "BF16", "shape": [-1, 4]}],
    )


@pytest.mark.parametrize("dtype", DType)
def test_every_element_type_has_a_name_in_the_configuration(dtype: DType):
    """BYTES is called STRING there."""
    signature = Signature((spec("x", "n", dtype=dtype),), (spec("y", "n", dtype=dtype),))
    found = model_config(servable(signature))
    name = f"TYPE_{'STRING' if dtype is DType.BYTES else dtype}"
    assert [config.DataType.Name(tensor.data_type) for tensor in (*found.input, *found.output)] == [name, name]


def test_a_model_whose_batch_axis_leads_everywhere_shows_its_rows():
    """Dims are without the batch axis then."""
    found = model_config(servable(LEADING, batching={"max_rows": 32, "preferred_rows": [4, 8], "linger_s": 0.0001}))
    assert found == config.ModelConfig(
        name="m",
        platform="onnxruntime_onnx",
        backend="onnxruntime",
        max_batch_size=8,  # what the servable says, which knows the model
        default_model_filename="model.onnx",
        input=[
            {"name": "x", "data_type": config.TYPE_FP32, "dims": [8, -1]},
            {"name": "text", "data_type": config.TYPE_STRING, "dims": []},
        ],
        output=[{"name": "y", "data_type": config.TYPE_BF16, "dims": [4]}],
        model_transaction_policy={"decoupled": False},
        dynamic_batching={
            "preferred_batch_size": [4, 8],
            "max_queue_delay_microseconds": 100,
            "priority_levels": 9,
            "default_priority_level": 5,
        },
    )


@pytest.mark.parametrize(
    ("signature", "dims"),
    [(SECOND, [[-1, 2], [2, -1, 4], [-1, 1]]), (SCALAR, [[-1, 2], [], [-1, 2]]), (ALONE, [[3, 2], []])],
)
def test_a_model_whose_batch_axis_does_not_lead_everywhere_shows_none(signature: Signature, dims: list[list[int]]):
    """Then dims are whole, and calls are joined without Triton's clients being told."""
    found = model_config(servable(signature))
    assert found.max_batch_size == 0
    assert [list(tensor.dims) for tensor in (*found.input, *found.output)] == dims
    assert not found.HasField("dynamic_batching")


@pytest.mark.parametrize(("declared", "rows"), [(None, 8), (64, 64), (1, 1), (0, 0)])
def test_what_the_operator_declared_is_what_clients_are_told(declared: int | None, rows: int):
    """Clients refuse larger calls by it, before they reach the server."""
    assert leading_batch_rows(servable(LEADING, max_batch_size=declared)) == rows


def test_a_model_whose_calls_are_not_joined_shows_no_batching():
    """And its parameters are passed on."""
    found = model_config(servable(LEADING, batching={"enabled": False}, parameters={"owner": "me"}))
    assert not found.HasField("dynamic_batching")
    assert {key: value.string_value for key, value in found.parameters.items()} == {"owner": "me"}


def test_statistics_count_calls_rows_and_runs():
    """Times are nanoseconds; every phase of an answered call is counted once."""
    metrics = ModelMetrics(ModelVersion("m", Version(3), 3), clock=lambda: 1_700_000_000.25)
    metrics.ran(rows=4, seconds=0.5, reason=DispatchReason.IDLE)
    metrics.ran(rows=2, seconds=0.25, reason=DispatchReason.IDLE)
    metrics.ran(rows=4, seconds=0.5, reason=DispatchReason.IDLE)
    metrics.answered(request_s=2.0, queue_s=1.0, compute_s=0.5, rows=3)
    metrics.answered(request_s=1.0, queue_s=0.0, compute_s=0.25, rows=2)
    metrics.encoded(0.125)
    metrics.unanswered(Outcome.SHED, 0.5)
    second = 1_000_000_000
    assert model_statistics(metrics) == oip.ModelStatistics(
        name="m",
        version="3",
        last_inference=1_700_000_000_250,
        inference_count=5,
        execution_count=3,
        inference_stats={
            "success": {"count": 2, "ns": 3 * second},
            "fail": {"count": 1, "ns": second // 2},
            "queue": {"count": 2, "ns": second},
            "compute_input": {"count": 2},
            "compute_infer": {"count": 2, "ns": 3 * second // 4},
            "compute_output": {"count": 2, "ns": second // 8},
            "cache_hit": {},
            "cache_miss": {},
        },
        batch_stats=[
            {
                "batch_size": rows,
                "compute_input": {"count": count},
                "compute_infer": {"count": count, "ns": ns},
                "compute_output": {"count": count},
            }
            for rows, count, ns in [(2, 1, second // 4), (4, 2, second)]
        ],
    )
