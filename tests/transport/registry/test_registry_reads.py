"""What RegistryService says of what there is."""

from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from serinus.config.version_facts import VersionFacts
from serinus.core.artifact import ArtifactFile, Manifest
from serinus.core.errors import StoreUnavailable
from serinus.registry.cards.card import render_card
from serinus.registry.records import MetricBound, VersionFilter, VersionState
from serinus_api.v1 import predict_pb2
from serinus_api.v1 import registry_pb2 as pb
from tests.support.records import version_record
from tests.transport.registry.registry_on_grpc import Registry, refusal, refused_field, running

HASH = "a" * 64
NOON = Timestamp(seconds=1_795_262_400)
FACTS = VersionFacts(
    framework="pytorch 2.9", metrics={"accuracy": 0.5}, description="Names files.", trained_from="m@1.0.0"
)
TENSOR = {"dtype": predict_pb2.DATA_TYPE_FP32, "shape": [-1, 4], "batch_axis": 0}
SHOWN = pb.ModelVersion(
    model="m",
    version="1.1.0",
    version_number=2,
    state=pb.VERSION_STATE_ARCHIVED,
    files=[{"path": "model.onnx", "sha256": "2" * 64, "size_bytes": 100}],
    main="model.onnx",
    digest=Manifest("model.onnx", (ArtifactFile("model.onnx", "2" * 64, 100),)).digest,
    framework="pytorch 2.9",
    metrics={"accuracy": 0.5},
    tags={"team": "blue"},
    inputs=[{"name": "x", **TENSOR}],
    outputs=[{"name": "y", **TENSOR}],
    change=pb.CHANGE_LEVEL_FIRST,
    placement=pb.PLACEMENT_FOLLOW,
    aliases=["canary", "stable"],
    created_at=NOON,
    created_by="ann",
    revision=2,
    trained_from="m@1.0.0",
)


@pytest.fixture
async def served() -> AsyncIterator[Registry]:
    async with running() as made:
        made.registry.register(
            version_record(),
            version_record("1.1.0", 2, facts=FACTS, state=VersionState.ARCHIVED, tags={"team": "blue"}),
            stable=2,
            canary=2,
        )
        yield made


async def test_a_version_is_shown_whole(served: Registry):
    """With its facts, and every alias that names it."""
    answer = await served.call("GetVersion", pb.GetVersionRequest(model="m", selector="stable"))
    facts = "description: Names files.\nframework: pytorch 2.9\nmetrics:\n  accuracy: 0.5\ntrained_from: m@1.0.0\n"
    expected = pb.ModelVersion()
    expected.CopyFrom(SHOWN)
    expected.facts_yaml = facts
    assert answer == pb.GetVersionResponse(version=expected)


async def test_a_model_is_shown_with_its_versions_and_without_their_facts(served: Registry):
    """Newest number first."""
    model = (await served.call("GetModel", pb.GetModelRequest(model="m"))).model
    assert (model.name, dict(model.aliases), model.revision, model.created_at) == (
        "m",
        {"stable": "1.1.0", "canary": "1.1.0"},
        2,
        NOON,
    )
    assert [each.version for each in model.versions] == ["1.1.0", "1.0.0"]
    assert model.versions[0] == SHOWN


async def test_models_are_listed_page_by_page(served: Registry):
    """Each page says where the next one begins, the last one that it is the last."""
    for name in ("a", "z"):
        served.registry.register(version_record(model=name), name=name)
    served.registry.write()
    seen: list[list[str]] = []
    token = ""
    while True:
        page = await served.call("ListModels", pb.ListModelsRequest(page_size=2, page_token=token))
        seen.append([model.name for model in page.models])
        token = page.next_page_token
        assert page.revision == 1
        if not token:
            break
    assert seen == [["a", "m"], ["z"]]


async def test_a_page_that_says_no_size_has_a_hundred_entries(served: Registry):
    """One more is read, to know whether there is more."""
    await served.call("ListModels", pb.ListModelsRequest())
    await served.call("ListVersions", pb.ListVersionsRequest(model="m"))
    assert served.registry.listed == [("", 101), ("m", VersionFilter(), "", 100)]


async def test_versions_are_filtered_by_all_that_is_said(served: Registry):
    """The filter reaches the registry as it was said."""
    asked = pb.ListVersionsRequest(
        model="m",
        range="^1.2",
        tags={"team": "blue"},
        framework="PyTorch",
        metrics=[{"name": "accuracy", "at_least": 0.25}, {"name": "loss", "at_most": 0}],
        include_archived=True,
        page_size=1,
    )
    answer = await served.call("ListVersions", asked)
    wanted = VersionFilter(
        "^1.2", {"team": "blue"}, "PyTorch", (MetricBound("accuracy", 0.25), MetricBound("loss", None, 0.0)), True
    )
    assert served.registry.listed == [("m", wanted, "", 1)]
    assert ([each.version for each in answer.versions], answer.next_page_token) == (["1.1.0"], "1")


async def test_a_page_ends_where_a_message_is_full(served: Registry):
    """The rest is on the next pages: clients take 4 MiB, and each version here takes 600 kB."""
    notes = tuple("x" * 60_000 for _ in range(10))
    records = [version_record(f"1.{i}.0", i) for i in range(1, 21)]
    served.registry.register(*(replace(each, examination=replace(each.examination, notes=notes)) for each in records))
    seen: list[str] = []
    token = ""
    while True:
        page = await served.call("ListVersions", pb.ListVersionsRequest(model="m", page_token=token))
        assert page.ByteSize() < 4 << 20
        seen += [each.version for each in page.versions]
        token = page.next_page_token
        if not token:
            break
    assert seen == [f"1.{i}.0" for i in range(20, 0, -1)]


async def test_a_card_is_written_for_the_version_that_is_meant(served: Registry):
    """With the aliases that name it."""
    answer = await served.call("GetCard", pb.GetCardRequest(model="m", selector="stable"))
    record = served.registry.models_by_name["m"].versions[0]
    card = render_card(record, aliases=["canary", "stable"])
    assert answer == pb.GetCardResponse(markdown=card, version="1.1.0")


async def test_files_that_are_there_need_not_be_sent(served: Registry):
    """In the order of the question, each once."""
    served.artifacts.files = {"b" * 64: b"", "c" * 64: b""}
    asked = pb.FindArtifactsRequest(sha256=["c" * 64, HASH, "b" * 64, "c" * 64])
    assert list((await served.call("FindArtifacts", asked)).present) == ["c" * 64, "b" * 64]


async def test_what_there_is_not_is_not_found(served: Registry):
    """A model, and a version of one."""
    assert await refusal(served.call("GetModel", pb.GetModelRequest(model="none"))) == (
        grpc.StatusCode.NOT_FOUND,
        "NOT_FOUND: no model 'none'",
    )
    code, _ = await refusal(served.call("GetVersion", pb.GetVersionRequest(model="m", selector="^9")))
    assert code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("method", "asked", "reason", "field"),
    [
        ("GetModel", pb.GetModelRequest(model="../etc"), "INVALID_NAME", "model"),
        ("GetVersion", pb.GetVersionRequest(model="m", selector="x" * 257), "TEXT_TOO_LONG", "selector"),
        ("GetCard", pb.GetCardRequest(model="m", selector="\x1b[2J"), "CONTROL_CHARACTER", "selector"),
        ("GetVersion", pb.GetVersionRequest(model="m", selector="^x"), "INVALID_RANGE", "range"),
        ("ListModels", pb.ListModelsRequest(page_size=1001), "PAGE_TOO_LARGE", "page_size"),
        ("ListModels", pb.ListModelsRequest(page_token="?"), "INVALID_PAGE_TOKEN", "page_token"),
        ("ListModels", pb.ListModelsRequest(page_token="Li4vZXRj"), "INVALID_PAGE_TOKEN", "page_token"),
        ("ListModels", pb.ListModelsRequest(page_token="ü"), "INVALID_PAGE_TOKEN", "page_token"),
        ("ListModels", pb.ListModelsRequest(page_token="x" * 1025), "TEXT_TOO_LONG", "page_token"),
        ("ListVersions", pb.ListVersionsRequest(model="m", range="\n"), "CONTROL_CHARACTER", "range"),
        ("ListVersions", pb.ListVersionsRequest(model="m", framework="\0"), "CONTROL_CHARACTER", "framework"),
        ("ListVersions", pb.ListVersionsRequest(model="m", tags={"x" * 257: ""}), "TEXT_TOO_LONG", "tags"),
        ("ListVersions", pb.ListVersionsRequest(model="m", tags={"x": "\7"}), "CONTROL_CHARACTER", "tags"),
        ("ListVersions", pb.ListVersionsRequest(model="m", metrics=[{"at_least": 1}]), "MISSING_NAME", "metrics"),
        (
            "ListVersions",
            pb.ListVersionsRequest(model="m", metrics=[{"name": "a", "at_most": float("nan")}]),
            "NOT_FINITE",
            "metrics",
        ),
        ("FindArtifacts", pb.FindArtifactsRequest(sha256=["A" * 64]), "INVALID_HASH", "sha256"),
        ("FindArtifacts", pb.FindArtifactsRequest(sha256=[HASH] * 1001), "TOO_MANY_ENTRIES", "sha256"),
    ],
)
async def test_what_cannot_be_meant_is_refused_with_its_field(served: Registry, method: str, asked, reason, field):
    """Before the registry is asked."""
    assert await refused_field(served.call(method, asked)) == (reason, field)


async def test_an_absent_database_is_said_with_when_to_come_back(served: Registry):
    """It is not the caller's fault, and passes."""
    served.registry.failure = StoreUnavailable("the database cannot be reached")
    assert await refusal(served.call("GetModel", pb.GetModelRequest(model="m"))) == (
        grpc.StatusCode.UNAVAILABLE,
        "STORE_UNAVAILABLE: the database cannot be reached",
    )


async def test_a_read_that_says_no_deadline_gets_the_usual_one():
    """A database that never answers keeps nobody for ever."""
    async with running(budget_s=0.05) as served:
        served.registry.gate.clear()
        assert await refusal(served.call("GetModel", pb.GetModelRequest(model="m"))) == (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "DEADLINE_PASSED: no answer within 0.05 s",
        )


async def test_reads_are_answered_while_the_server_drains(served: Registry):
    """Whoever looks at a server that goes away sees what it has."""
    served.drain.begin()
    assert (await served.call("GetModel", pb.GetModelRequest(model="m"))).model.name == "m"
