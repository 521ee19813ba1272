"""Who answers on several servers at once, and what callers have to say about it, in every protocol."""

import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

from serinus_api.v1 import admin_pb2 as pb
from serinus_api.v1 import predict_pb2
from tests.end_to_end.clients.calls import floats
from tests.end_to_end.clients.conftest import EitherClient
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import ROW, Place, eventually, times
from tests.end_to_end.rollouts.callers import calling
from tests.end_to_end.rollouts.stages import canary, one_of, pair, plan, quick_place, show, weight
from tests.end_to_end.rollouts.versions import question, two_versions

ARRIVES_S = 1.0  # of new weights on another server
MOVES = 8
KEYS = [f"caller {number}" for number in range(80)]
RULES = [
    {"attribute": "cohort", "values": ["beta", "staff"]},
    {"attribute": "region", "values": ["far"], "version": "stable"},
]
_PREDICT = "/serinus.v1.PredictService/Predict"
BOTH = question(v1_0_0=2, v1_1_0=3)


async def _share(one: Place, percent: float) -> None:
    """Give 1.1.0 so much by hand."""
    await one.client.admin.set_split("m", [pb.SplitArm(version="1.1.0", weight=percent)])


async def test_new_weights_are_in_force_on_another_server_within_a_second(forks: Nursery, home: Path):
    """Nobody restarts or asks anything; every call is answered meanwhile."""
    arrivals = []
    async with pair(forks, home) as (first, second):
        await two_versions(first, times(3))
        await _share(first, 50)
        for each in (first, second):
            await eventually(lambda each=each: each.serves("m", 3, "1.1.0"))
            await eventually(lambda each=each: each.serves("m", 2))
        async with calling(first.client, "m", [BOTH]) as here, calling(second.client, "m", [BOTH]) as there:
            for move in range(MOVES):
                percent, version = ((100, "1.1.0"), (0, "1.0.0"))[move % 2]
                await _share(first, percent)
                wrote = time.perf_counter()
                await eventually(lambda version=version: _gives_all_to(second, version))
                arrivals.append(time.perf_counter() - wrote)
        here.assert_untroubled()
        there.assert_untroubled()
    show(f"new weights arrive within {max(arrivals):.2f} s, most within {np.median(arrivals):.2f} s")
    assert np.median(arrivals) <= ARRIVES_S


async def _gives_all_to(each: Place, version: str) -> bool:
    """Whether so many keys all get that version."""
    return {await _version(each, key) for key in KEYS[:10]} == {version}


async def _version(each: Place, key: str) -> str:
    return (await each.client.call("m", ROW, routing_key=key)).version


async def test_a_key_has_one_version_on_all_servers_and_after_restarts(forks: Nursery, home: Path):
    """And keeps the candidate when its weight rises."""
    async with one_of(forks, home, "first") as first:
        async with one_of(forks, home, "second") as second:
            await two_versions(first, times(3))
            await _share(first, 30)
            for each in (first, second):
                await eventually(lambda each=each: _shares(each, 30))
            at_first = {key: await _version(first, key) for key in KEYS}
            assert {key: await _version(second, key) for key in KEYS} == at_first
            assert set(at_first.values()) == {"1.0.0", "1.1.0"}
        async with one_of(forks, home, "second") as again:
            await eventually(lambda: _shares(again, 30))
            assert {key: await _version(again, key) for key in KEYS} == at_first
            await _share(again, 60)
            for each in (first, again):
                await eventually(lambda each=each: _shares(each, 60))
            later = {key: await _version(again, key) for key in KEYS}
            assert {key: await _version(first, key) for key in KEYS} == later
        moved = [(at_first[key], later[key]) for key in KEYS if at_first[key] != later[key]]
        assert set(moved) == {("1.0.0", "1.1.0")}


async def _shares(each: Place, percent: float) -> bool:
    """Whether a server acts by that weight, and has the version."""
    return await weight(each, "1.1.0") == percent / 100 and await each.serves("m", 3, "1.1.0")


@pytest.fixture(scope="module")
async def half_way(forks: Nursery, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A server in the middle of a canary that nothing moves on."""
    async with quick_place(forks, tmp_path_factory.mktemp("routes") / "one") as one:
        await two_versions(one, times(3))
        spec = plan("1.1.0", canary(50, 100, min_requests=10**6), rules=RULES)
        await one.client.admin.start_rollout(spec)
        await eventually(lambda: _shares(one, 50))
        yield one


async def test_a_caller_hears_which_version_has_answered_and_why(half_way: Place):
    """By weight unless the caller names a version or a rule knows the caller; what is said in a message has precedence
    over what is said in metadata."""
    routes = {key: await _route(half_way, routing_key=key) for key in KEYS[:20]}
    assert set(routes.values()) == {("1.0.0", "weight"), ("1.1.0", "weight")}
    pinned = {
        selector: await _route(half_way, version=selector)
        for selector in ("1.0.0", "1.1.0", "1", "2", "stable", "^1.1")
    }
    assert pinned == {
        selector: (version, "pinned")
        for selector, version in zip(pinned, ["1.0.0", "1.1.0", "1.0.0", "1.1.0", "1.0.0", "1.1.0"], strict=True)
    }
    for attributes, version in (
        ({"cohort": "beta"}, "1.1.0"),
        ({"cohort": "staff", "region": "far"}, "1.1.0"),
        ({"region": "far"}, "1.0.0"),
    ):
        assert {await _route(half_way, attributes=attributes) for _ in range(8)} == {(version, "rule")}
    assert (await _route(half_way, attributes={"cohort": "else"}))[1] == "weight"
    assert await _route(half_way, attributes={"version": "1.0.0", "cohort": "beta"}) == ("1.0.0", "pinned")
    for metadata, message, version, route in (
        ({"x-serinus-version": "1.1.0"}, {}, "1.1.0", predict_pb2.ROUTE_PINNED),
        ({"x-serinus-version": "1.1.0"}, {"version": "1.0.0"}, "1.0.0", predict_pb2.ROUTE_PINNED),
        ({"x-serinus-cohort": "beta"}, {}, "1.1.0", predict_pb2.ROUTE_RULE),
        ({"x-serinus-region": "far"}, {"attributes": {"region": "near"}}, "", predict_pb2.ROUTE_WEIGHT),
        ({"x-serinus-routing-key": KEYS[0]}, {}, routes[KEYS[0]][0], predict_pb2.ROUTE_WEIGHT),
    ):
        answer = await _unary(half_way, metadata, **message)
        assert (answer.version if version else "", answer.route) == (version, route), metadata


async def _route(one: Place, **options: Any) -> tuple[str, str]:
    answer = await one.client.call("m", ROW, **options)
    return answer.version, answer.route


async def _unary(one: Place, metadata: Mapping[str, str], **fields: Any) -> predict_pb2.PredictResponse:
    x = predict_pb2.Tensor(name="x", dtype=predict_pb2.DATA_TYPE_FP32, shape=[1, 2], data=ROW["x"].tobytes())
    request = predict_pb2.PredictRequest(model="m", inputs=[x], **fields)
    call = one.channel.unary_unary(_PREDICT)
    answer = await call(request.SerializeToString(), metadata=tuple(metadata.items()), timeout=30)
    return predict_pb2.PredictResponse.FromString(answer)


@pytest.mark.parametrize("module", [triton, triton_aio], ids=["grpc", "grpc.aio"])
async def test_clients_of_triton_go_on_working_in_the_middle_of_a_canary(half_way: Place, module: Any):
    """Unmodified: each answer is right for the version that it names by its number, and its parameters say why."""
    client = EitherClient(module.InferenceServerClient(half_way.server.address))
    try:
        seen = set()
        for _ in range(60):
            version, factor, route = await _infer(client)
            assert factor == {"1": 2, "2": 3}[version]
            seen.add((version, route))
        assert seen == {("1", "weight"), ("2", "weight")}
        assert await _infer(client, model_version="2") == ("2", 3, "pinned")
        assert await _infer(client, headers={"x-serinus-version": "1.1.0"}) == ("2", 3, "pinned")
        assert await _infer(client, headers={"x-serinus-cohort": "beta"}) == ("2", 3, "rule")
        sticky = {await _infer(client, parameters={"routing_key": KEYS[0]}) for _ in range(8)}
        assert len(sticky) == 1
        assert await client.is_model_ready("m")
        assert sorted((await client.get_model_metadata("m")).versions) == ["1", "2"]
    finally:
        await client.close()


async def _infer(client: EitherClient, **options: Any) -> tuple[str, float, str]:
    """Which version answered, by what it multiplies, and why it was chosen."""
    answer = await client.infer("m", [floats("x", [1, 2])], **options)
    response = answer.get_response()
    return response.model_version, float(answer.as_numpy("y")[0, 0]), response.parameters["serinus_route"].string_param
