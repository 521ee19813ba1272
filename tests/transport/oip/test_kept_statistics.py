"""Statistics as sums, and back."""

import pytest

from open_inference import grpc_service_pb2 as oip
from serinus.transport.oip.kept_statistics import counts_of, statistics_of


def duration(count: int, ns: int) -> oip.StatisticDuration:
    return oip.StatisticDuration(count=count, ns=ns)


def model(name: str, version: str) -> oip.ModelStatistics:
    return oip.ModelStatistics(
        name=name,
        version=version,
        inference_count=12,
        execution_count=3,
        inference_stats=oip.InferStatistics(success=duration(5, 50), fail=duration(1, 7), queue=duration(5, 9)),
        batch_stats=[
            oip.InferBatchStatistics(batch_size=2, compute_input=duration(1, 0), compute_infer=duration(1, 8)),
            oip.InferBatchStatistics(batch_size=5, compute_infer=duration(2, 30), compute_output=duration(2, 4)),
        ],
    )


ALL = oip.ModelStatisticsResponse(model_stats=[model("m", "1"), model("m", "2"), model("n", "1")])
COUNTS = {
    "inference_count": 12,
    "execution_count": 3,
    "inference_stats.success.count": 5,
    "inference_stats.success.ns": 50,
    "inference_stats.fail.count": 1,
    "inference_stats.fail.ns": 7,
    "inference_stats.queue.count": 5,
    "inference_stats.queue.ns": 9,
    "batch_stats.2.compute_input.count": 1,
    "batch_stats.2.compute_infer.count": 1,
    "batch_stats.2.compute_infer.ns": 8,
    "batch_stats.5.compute_infer.count": 2,
    "batch_stats.5.compute_infer.ns": 30,
    "batch_stats.5.compute_output.count": 2,
    "batch_stats.5.compute_output.ns": 4,
}


def test_all_that_adds_up_is_kept():
    """By version."""
    assert counts_of(ALL.SerializeToString()) == {"m\n1": COUNTS, "m\n2": COUNTS, "n\n1": COUNTS}


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [("", "", [("m", "1"), ("m", "2"), ("n", "1")]), ("m", "", [("m", "1"), ("m", "2")]), ("m", "2", [("m", "2")])],
)
def test_what_was_asked_for_comes_back_as_it_was(name: str, version: str, said: list[tuple[str, str]]):
    """Whoever adds it to that of others finds nothing lost."""
    asked = oip.ModelStatisticsRequest(name=name, version=version).SerializeToString()
    found = oip.ModelStatisticsResponse.FromString(statistics_of(counts_of(ALL.SerializeToString()), asked))
    assert list(found.model_stats) == [model(*each) for each in said]
