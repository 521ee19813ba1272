"""What two workers say over the Open Inference Protocol, as one."""

from open_inference import grpc_service_pb2 as oip
from serinus.transport.oip.merging import joined_index, joined_readiness, joined_statistics

Index = oip.RepositoryIndexResponse.ModelIndex


def index(*models: oip.RepositoryIndexResponse.ModelIndex) -> oip.RepositoryIndexResponse:
    return oip.RepositoryIndexResponse(models=models)


def states(*said: oip.RepositoryIndexResponse, ready: bool = False) -> list[tuple[str, str, str, str]]:
    found = joined_index(oip.RepositoryIndexRequest(ready=ready), said)
    return [(model.name, model.version, model.state, model.reason) for model in found.models]


def test_a_model_is_ready_where_all_have_it():
    """Who waits for that calls any of them next."""
    one = index(Index(name="a", version="1", state="READY"), Index(name="b", version="1", state="READY"))
    other = index(Index(name="a", version="1", state="READY"), Index(name="b", version="1", state="LOADING"))
    assert states(one, other) == [("a", "1", "READY", ""), ("b", "1", "LOADING", "")]
    assert states(one, other, ready=True) == [("a", "1", "READY", "")]


def test_what_one_has_never_heard_of_is_being_loaded():
    """Whoever has it first, and whoever is asked."""
    one, none = index(Index(name="a", version="1", state="READY")), index()
    expected = [("a", "1", "LOADING", "loaded by 1 of 2 workers")]
    assert states(one, none) == states(none, one) == expected


def test_why_one_cannot_load_it_is_said():
    """That others can is no comfort."""
    failed = Index(name="a", version="1", state="UNAVAILABLE", reason="no memory")
    assert states(index(Index(name="a", version="1", state="READY")), index(failed)) == [
        ("a", "1", "UNAVAILABLE", "no memory")
    ]


def test_readiness_is_that_of_the_least():
    """Of a model, at all workers that answer."""
    yes, no = oip.ModelReadyResponse(ready=True), oip.ModelReadyResponse(ready=False)
    asked = oip.ModelReadyRequest(name="a")
    assert joined_readiness(asked, [yes, yes]) == yes
    assert joined_readiness(asked, [yes, no]) == no


def duration(count: int, ns: int) -> oip.StatisticDuration:
    return oip.StatisticDuration(count=count, ns=ns)


def batch(rows: int, count: int, ns: int) -> oip.InferBatchStatistics:
    return oip.InferBatchStatistics(
        batch_size=rows,
        compute_input=duration(count, 0),
        compute_infer=duration(count, ns),
        compute_output=duration(count, 0),
    )


def statistics(times: int, *batches: oip.InferBatchStatistics) -> oip.ModelStatistics:
    kinds = oip.InferStatistics.DESCRIPTOR.fields_by_name
    return oip.ModelStatistics(
        name="a",
        version="1",
        last_inference=times,
        inference_count=2 * times,
        execution_count=times,
        inference_stats=oip.InferStatistics(
            **{kind: duration(times, 10 * times + place) for place, kind in enumerate(kinds)}
        ),
        batch_stats=batches,
    )


def test_statistics_are_sums_by_version_and_batch_size():
    """Whoever answers says the same; the last inference is the latest."""
    one = oip.ModelStatisticsResponse(model_stats=[statistics(1, batch(2, 1, 100), batch(8, 3, 50))])
    other = oip.ModelStatisticsResponse(model_stats=[statistics(3, batch(1, 2, 7), batch(2, 4, 1))])
    kinds = oip.InferStatistics.DESCRIPTOR.fields_by_name
    total = oip.ModelStatistics(
        name="a",
        version="1",
        last_inference=3,
        inference_count=8,
        execution_count=4,
        inference_stats=oip.InferStatistics(**{kind: duration(4, 40 + 2 * place) for place, kind in enumerate(kinds)}),
        batch_stats=[batch(1, 2, 7), batch(2, 5, 101), batch(8, 3, 50)],
    )
    asked = oip.ModelStatisticsRequest()
    assert joined_statistics(asked, [one, other]) == oip.ModelStatisticsResponse(model_stats=[total])
    assert joined_statistics(asked, [one]) == one
    assert joined_statistics(asked, [other, one]).model_stats[0] == total
