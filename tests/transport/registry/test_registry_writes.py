"""Changes of the registry: what it is told, who is said to have done it, and when it is not told at all."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from serinus.core.errors import Conflict, Refused, StoreUnavailable
from serinus.core.version import Version
from serinus_api.v1 import registry_pb2 as pb
from tests.support.records import version_record
from tests.transport.registry.registry_on_grpc import Registry, refusal, refused_field, running


@pytest.fixture
async def served() -> AsyncIterator[Registry]:
    async with running() as made:
        made.registry.register(version_record(), stable=1)
        yield made


SAID: dict[str, Any] = {"actor": "ann", "expected_revision": 3}
HEARD: dict[str, Any] = {"actor": "ann", "expected_revision": 3}
VERSION = {"model": "m", "selector": "1"}


@pytest.mark.parametrize(
    ("method", "asked", "heard"),
    [
        (
            "SetAlias",
            pb.SetAliasRequest(model="m", alias="canary", selector="^1.2", **SAID),
            ("set_alias", ("m", "canary", "^1.2"), HEARD),
        ),
        (
            "SetAlias",
            pb.SetAliasRequest(model="m", alias="canary", **SAID),
            ("remove_alias", ("m", "canary"), HEARD),
        ),
        (
            "SetTags",
            pb.SetTagsRequest(**VERSION, set={"team": "blue"}, remove=["old"], **SAID),
            ("set_tags", ("m", "1"), {"changed": {"team": "blue"}, "removed": ("old",), **HEARD}),
        ),
        (
            "SetCardNotes",
            pb.SetCardNotesRequest(**VERSION, markdown="# Seen\n\tit", **SAID),
            ("set_notes", ("m", "1", "# Seen\n\tit"), HEARD),
        ),
        ("ArchiveVersion", pb.ArchiveVersionRequest(**VERSION, **SAID), ("archive", ("m", "1"), HEARD)),
        ("ArchiveVersion", pb.ArchiveVersionRequest(**VERSION, restore=True, **SAID), ("restore", ("m", "1"), HEARD)),
        (
            "DeleteVersion",
            pb.DeleteVersionRequest(model="m", version="1.0.0", **SAID),
            ("delete", ("m", Version(1)), HEARD),
        ),
    ],
)
async def test_the_registry_hears_what_was_said(served: Registry, method: str, asked: Any, heard: tuple[Any, ...]):
    """Each write with its actor and the revision that it expects."""
    await served.call(method, asked)
    assert served.registry.asked == [heard]


async def test_a_revision_that_nobody_expects_is_none_and_zero_is_zero(served: Registry):
    """0 expects a model that is not there yet."""
    await served.call("SetAlias", pb.SetAliasRequest(model="m", alias="a", selector="1", actor="ann"))
    await served.call(
        "SetAlias", pb.SetAliasRequest(model="m", alias="a", selector="1", actor="ann", expected_revision=0)
    )
    assert [kwargs["expected_revision"] for _, _, kwargs in served.registry.asked] == [None, 0]


async def test_who_does_not_say_who_they_are_is_known_by_their_address(served: Registry):
    """Without the port, which means nothing to whoever reads the audit."""
    await served.call("SetAlias", pb.SetAliasRequest(model="m", alias="a", selector="1"))
    assert [kwargs["actor"] for _, _, kwargs in served.registry.asked] == ["anonymous@127.0.0.1"]


async def test_the_answer_shows_what_was_changed(served: Registry):
    """A model for its aliases, a version with its facts for everything else, a revision for what is gone."""
    model = (await served.call("SetAlias", pb.SetAliasRequest(model="m", alias="a", selector="1"))).model
    assert (model.name, dict(model.aliases)) == ("m", {"stable": "1.0.0"})
    version = (await served.call("SetTags", pb.SetTagsRequest(**VERSION))).version
    assert (version.version, list(version.aliases)) == ("1.0.0", ["stable"])
    deleted = await served.call("DeleteVersion", pb.DeleteVersionRequest(model="m", version="1.0.0"))
    assert deleted == pb.DeleteVersionResponse(revision=1)


async def test_a_write_that_is_done_is_told_although_the_database_goes_away(served: Registry):
    """Nobody should make it again for the sake of the names in its answer."""
    record = version_record()

    async def write_and_go(*_args: Any, **_kwargs: Any):
        served.registry.failure = StoreUnavailable("the database cannot be reached")
        return record

    served.registry.set_notes = write_and_go  # type: ignore[method-assign]  # a fake's fake
    version = (await served.call("SetCardNotes", pb.SetCardNotesRequest(**VERSION))).version
    assert (version.version, list(version.aliases)) == ("1.0.0", [])


async def test_the_loser_of_a_race_hears_the_current_revision(served: Registry):
    """ABORTED, with the number where programs find it."""
    served.registry.failure = Conflict("model 'm' is at revision 9, not at 3", current_revision=9)
    with pytest.raises(grpc.aio.AioRpcError) as lost:
        await served.call("SetAlias", pb.SetAliasRequest(model="m", alias="a", selector="1", expected_revision=3))
    trailers = dict(lost.value.trailing_metadata())
    info = error_details_pb2.ErrorInfo()
    status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details[0].Unpack(info)
    assert (lost.value.code(), info.reason, dict(info.metadata)) == (
        grpc.StatusCode.ABORTED,
        "REVISION_MISMATCH",
        {"current_revision": "9"},
    )


async def test_what_is_in_use_is_not_deleted(served: Registry):
    """With the reason that the registry gives."""
    served.registry.failure = Refused("m@1.0.0 is in use: stable names it", reason="IN_USE", field="version")
    assert await refusal(served.call("DeleteVersion", pb.DeleteVersionRequest(model="m", version="1.0.0"))) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "IN_USE: m@1.0.0 is in use: stable names it",
    )


WRITES = [
    ("SetAlias", pb.SetAliasRequest(model="m", alias="a", selector="1")),
    ("SetTags", pb.SetTagsRequest(**VERSION)),
    ("SetCardNotes", pb.SetCardNotesRequest(**VERSION)),
    ("ArchiveVersion", pb.ArchiveVersionRequest(**VERSION)),
    ("DeleteVersion", pb.DeleteVersionRequest(model="m", version="1.0.0")),
]


@pytest.mark.parametrize(("method", "asked"), WRITES)
async def test_no_write_begins_while_the_server_drains(served: Registry, method: str, asked: Any):
    """Another server has the same registry."""
    served.drain.begin()
    assert await refusal(served.call(method, asked)) == (
        grpc.StatusCode.UNAVAILABLE,
        "DRAINING: the server is going away",
    )
    assert served.registry.asked == []


@pytest.mark.parametrize(
    ("method", "asked", "reason", "field"),
    [
        ("SetAlias", pb.SetAliasRequest(model="M", alias="a"), "INVALID_NAME", "model"),
        ("SetAlias", pb.SetAliasRequest(model="m", alias="latest"), "INVALID_ALIAS", "alias"),
        ("SetAlias", pb.SetAliasRequest(model="m", alias="a", actor="x" * 257), "TEXT_TOO_LONG", "actor"),
        ("SetAlias", pb.SetAliasRequest(model="m", alias="a", actor="a\nb"), "CONTROL_CHARACTER", "actor"),
        ("SetTags", pb.SetTagsRequest(**VERSION, set={"a": "x" * 2049}), "TEXT_TOO_LONG", "set"),
        ("SetTags", pb.SetTagsRequest(**VERSION, set={"a\x7f": ""}), "CONTROL_CHARACTER", "set"),
        ("SetTags", pb.SetTagsRequest(**VERSION, remove=["\0"]), "CONTROL_CHARACTER", "remove"),
        ("SetTags", pb.SetTagsRequest(**VERSION, remove=["a"] * 1025), "TOO_MANY_ENTRIES", "remove"),
        ("SetCardNotes", pb.SetCardNotesRequest(**VERSION, markdown="x" * 65_537), "TEXT_TOO_LONG", "markdown"),
        ("SetCardNotes", pb.SetCardNotesRequest(**VERSION, markdown="\x1b[2J"), "CONTROL_CHARACTER", "markdown"),
        ("SetCardNotes", pb.SetCardNotesRequest(**VERSION, markdown="ü" * 131_073), "TEXT_TOO_LONG", "markdown"),
        ("DeleteVersion", pb.DeleteVersionRequest(model="m", version="^1"), "INVALID_VERSION", "version"),
    ],
)
async def test_what_cannot_be_written_is_refused_with_its_field(served: Registry, method: str, asked, reason, field):
    """Before the registry hears of it."""
    assert await refused_field(served.call(method, asked)) == (reason, field)
    assert served.registry.asked == []
