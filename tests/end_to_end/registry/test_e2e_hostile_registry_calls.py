"""Messages to the registry that no client of ours would send: each is answered with a sentence, and nothing breaks."""

import itertools
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest

from serinus_api.v1 import admin_pb2, registry_pb2
from serinus_api.v1 import registry_pb2 as pb
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import Place, eventually, header, register_messages, sqlite_place, times, upload
from tests.support.invariants import SECRET, Answer, assert_no_leak, check_lags, failure
from tests.support.running_clock import running_clock

REGISTRY, ADMIN = "/serinus.v1.RegistryService/", "/serinus.v1.AdminService/"
NAMES = ["", "../etc", "/etc", " ..", "m\0", "x" * 10_240, "\u202em", "%2e%2e", "latest", "M"]
SELECTORS = ["", "^1", "0", "-1", "01", "99999999999", "1" * 200, "^" * 100, ">=1 " * 50, "\0", "@", "^1.x.2", "\u0661"]
NUMBERS = [2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1]


def _laughs() -> str:
    """Each list is nine times the one before it."""
    names = "abcdefghi"
    lists = (f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]" for before, name in itertools.pairwise(names))
    return "\n".join(["a: &a [x,x,x,x,x,x,x,x,x]", *lists])


YAML = {
    "laughs": _laughs(),
    "deep": "[" * 20_000,
    "deep maps": "{a: " * 5_000,
    "code": "author: !!python/object/apply:os.system ['true']",
    "many": "tags:\n" + "".join(f"  t{number}: v\n" for number in range(60_000)),
    "long": "description: " + "x" * (1 << 20),
    "nul": 'author: "a\\0b"',
    "surrogate": 'author: "\\ud800"',
    "list": "[1, 2]",
    "not finite": "metrics: {a: .nan}",
    "twice": "author: a\nauthor: b",
}


@pytest.fixture(scope="module")
async def one(forks: Nursery, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A server with a model."""
    async with sqlite_place(forks, tmp_path_factory.mktemp(SECRET) / "one") as made:
        await made.register("m", "1.0.0", times(2))
        await eventually(lambda: made.serves("m", 2))
        yield made
        assert [event for event in made.server.events() if event["level"] == "error"] == []


def calls() -> Iterator[tuple[str, Any]]:
    for name in NAMES:
        yield REGISTRY + "GetModel", pb.GetModelRequest(model=name)
        yield REGISTRY + "SetAlias", pb.SetAliasRequest(model="m", alias=name, selector="1.0.0")
        yield REGISTRY + "SetTags", pb.SetTagsRequest(model="m", set={name: "v"}, remove=[name])
        yield REGISTRY + "SetTags", pb.SetTagsRequest(model="m", set={"k": name}, actor=name)
        yield REGISTRY + "DeleteVersion", pb.DeleteVersionRequest(model="m", version=name)
        yield REGISTRY + "ListModels", pb.ListModelsRequest(page_token=name)
        yield REGISTRY + "ListVersions", pb.ListVersionsRequest(model="m", range=name, page_token=name)
        yield ADMIN + "ListAudit", admin_pb2.ListAuditRequest(model=name)
        yield ADMIN + "LoadModel", admin_pb2.LoadModelRequest(model=name)
        yield ADMIN + "UnloadModel", admin_pb2.UnloadModelRequest(model=name)
    for selector in SELECTORS:
        yield REGISTRY + "GetCard", pb.GetCardRequest(model="m", selector=selector)
        yield REGISTRY + "SetAlias", pb.SetAliasRequest(model="m", alias="canary", selector=selector)
        yield ADMIN + "LoadModel", admin_pb2.LoadModelRequest(model="m", selector=selector)
    for number in NUMBERS:
        yield REGISTRY + "SetAlias", pb.SetAliasRequest(model="m", alias="a", selector="1", expected_revision=number)
        yield ADMIN + "ListAudit", admin_pb2.ListAuditRequest(after_revision=number, page_size=2**32 - 1)
        yield REGISTRY + "Watch", pb.WatchRequest(after_revision=number)
        yield REGISTRY + "DownloadArtifact", pb.DownloadArtifactRequest(model="m", offset=number)
    yield (
        REGISTRY + "ListVersions",
        pb.ListVersionsRequest(model="m", metrics=[pb.MetricBound(name="a", at_least=1e999)]),
    )
    yield REGISTRY + "FindArtifacts", pb.FindArtifactsRequest(sha256=["0" * 64] * 100_000)
    yield REGISTRY + "FindArtifacts", pb.FindArtifactsRequest(sha256=["../../etc/passwd"])
    yield REGISTRY + "SetTags", pb.SetTagsRequest(model="m", set={f"k{number}": "v" * 500 for number in range(2_000)})
    yield REGISTRY + "SetCardNotes", pb.SetCardNotesRequest(model="m", markdown="# " * 40_000)


def random_messages() -> Iterator[tuple[str, bytes]]:
    rng = random.Random(34)
    services = (registry_pb2.DESCRIPTOR.services_by_name, admin_pb2.DESCRIPTOR.services_by_name)
    for service in (*services[0].values(), *services[1].values()):
        for method in service.methods:
            for length in (1, 2, 3, 20, 20, 200, 5_000):
                yield f"/{service.full_name}/{method.name}", rng.randbytes(length)


async def _answer(one: Place, method: str, message: bytes) -> Answer:
    """How a call of any method with one message ends; a stream that goes on is cancelled."""
    if method.endswith("RegisterModel"):
        return await register_messages(one.server.address, message)
    channel = one.channel
    try:
        if method.endswith(("Watch", "DownloadArtifact", "QuantizeModel")):
            stream = channel.unary_stream(method)(message, timeout=30)
            content = await stream.read()
            stream.cancel()
        else:
            content = await channel.unary_unary(method)(message, timeout=30)
    except grpc.aio.AioRpcError as error:
        answer = failure(error)
        assert_no_leak(answer)
        return answer
    return Answer(grpc.StatusCode.OK, content=content)


@pytest.mark.parametrize("kind", ["typed", "random"])
async def test_no_message_is_met_with_anything_but_a_sentence(one: Place, kind: str):
    """Never INTERNAL or UNKNOWN; the event loop is not held up, and a neighbour notices nothing."""
    typed = [(method, message.SerializeToString()) for method, message in calls()]
    async with one.undisturbed():
        clock = running_clock()
        await one.server.look()
        for method, message in typed if kind == "typed" else random_messages():
            answer = await _answer(one, method, message)
            asked = (method, message[:80])
            assert answer.code not in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}, (asked, answer)
            assert answer.code is not grpc.StatusCode.DEADLINE_EXCEEDED, asked
        look = await one.server.look()
        check_lags(look, clock)
    assert await one.factor("m") == 2


@pytest.mark.parametrize("name", YAML)
async def test_facts_that_cannot_be_meant_are_refused(one: Place, name: str):
    """Before a byte of a file is taken, and quickly."""
    content = times(3)
    async with one.undisturbed():
        clock = running_clock()
        await one.server.look()
        asked = header("hostile", "1.0.0", {"model.onnx": content}, facts_yaml=YAML[name])
        answer = await upload(one.server.address, asked, content)
        look = await one.server.look()
        check_lags(look, clock)
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT, answer
    assert answer.message.startswith(("INVALID_FACTS: ", "TEXT_TOO_LONG: ")), answer.message
