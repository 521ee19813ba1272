"""What operators do through AdminService."""

from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from serinus.core.errors import Overloaded
from serinus.transport.admin.controls import Controls
from serinus.transport.calls import Calls
from serinus.transport.deadlines import Budgets
from serinus.transport.drain import Drain
from serinus.transport.guard import welcome
from serinus.transport.service import service
from serinus_api.v1 import admin_pb2 as pb
from tests.transport.registry.registry_fakes import FakePlacements, FakeRegistry
from tests.transport.registry.registry_on_grpc import refusal, refused_field

NAME = "serinus.v1.AdminService"
READY = pb.ModelStatus(model="m", version="1.0.0", state=pb.MODEL_STATE_READY)


class Operated:
    """The methods on a real port, what is behind them, and a client."""

    def __init__(self) -> None:
        self.registry = FakeRegistry()
        self.placements = FakePlacements()
        self.drain = Drain()
        self.told_to_leave: list[str] = []
        self.controls = Controls(
            placements=self.placements,
            audit=self.registry,
            calls=Calls(self.drain, Budgets()),
            serving=lambda model: [READY] if model == "m" else [],
            drain=self._leave,
        )
        self.channel: grpc.aio.Channel

    async def _leave(self, actor: str) -> None:
        self.told_to_leave.append(actor)

    async def call(self, method: str, asked):
        return await self.channel.unary_unary(
            f"/{NAME}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=getattr(pb, f"{method}Response").FromString,
        )(asked)


@pytest.fixture
async def operated() -> AsyncIterator[Operated]:
    made = Operated()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service(NAME, unary=made.controls.unary(), arrive=welcome),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as made.channel:
        yield made
    await server.stop(None)


async def test_versions_are_loaded_and_unloaded_and_what_serves_is_told(operated: Operated):
    """By whoever asked for it."""
    loaded = await operated.call("LoadModel", pb.LoadModelRequest(model="m", selector="^1", actor="ann"))
    unloaded = await operated.call("UnloadModel", pb.UnloadModelRequest(model="other"))
    assert operated.placements.asked == [("load", "m", "^1", "ann"), ("unload", "other", "", "anonymous@127.0.0.1")]
    assert (loaded, unloaded) == (pb.LoadModelResponse(versions=[READY]), pb.UnloadModelResponse())


async def test_a_load_that_fails_says_why(operated: Operated):
    """In the words of whoever refused it."""
    operated.placements.failure = Overloaded("no memory is left", retry_after_s=1.0)
    assert await refusal(operated.call("LoadModel", pb.LoadModelRequest(model="m"))) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "OVERLOADED: no memory is left",
    )


async def test_the_audit_is_listed_page_by_page(operated: Operated):
    """Each page says where the next one begins; the last one says 0."""
    for model in ("m", "other", "m", "m"):
        operated.registry.write(model)
    pages = []
    after = 0
    while True:
        page = await operated.call("ListAudit", pb.ListAuditRequest(after_revision=after, model="m", page_size=2))
        pages.append([entry.revision for entry in page.entries])
        if not (after := page.next_revision):
            break
    assert pages == [[1, 3], [4]]


async def test_an_entry_is_shown_with_its_place_in_the_chain(operated: Operated):
    """As it is hashed."""
    operated.registry.write(after={"b": "ü", "a": 1})
    (entry,) = (await operated.call("ListAudit", pb.ListAuditRequest())).entries
    (written,) = operated.registry.entries
    assert (entry.revision, entry.actor, entry.action, entry.model, entry.version) == (
        1,
        "ann",
        "alias.set",
        "m",
        "1.0.0",
    )
    assert (entry.before_json, entry.after_json) == ("{}", '{"a":1,"b":"\\u00fc"}')
    assert (entry.previous_hash, entry.hash, entry.at.ToDatetime()) == (
        "0" * 64,
        written.hash,
        written.at.replace(tzinfo=None),
    )


async def test_a_page_of_the_audit_ends_where_a_message_is_full(operated: Operated):
    """Clients take 4 MiB; every entry comes at last."""
    for _ in range(7):
        operated.registry.write(after={"notes": "x" * 1_000_000})
    seen: list[int] = []
    after = 0
    while True:
        page = await operated.call("ListAudit", pb.ListAuditRequest(after_revision=after))
        seen += [entry.revision for entry in page.entries]
        if not (after := page.next_revision):
            break
    assert seen == [1, 2, 3, 4, 5, 6, 7]


async def test_the_chain_is_computed_again(operated: Operated):
    """And what is wrong with it said."""
    assert await operated.call("VerifyAudit", pb.VerifyAuditRequest()) == pb.VerifyAuditResponse(
        entries=3, first_broken=2, problem="entry 2 was changed", head="ab" * 32
    )


async def test_a_server_is_told_to_leave(operated: Operated):
    """By whoever asked for it; told again, it leaves all the same."""
    for actor in ("ann", ""):
        assert await operated.call("Drain", pb.DrainRequest(actor=actor)) == pb.DrainResponse()
    assert operated.told_to_leave == ["ann", "anonymous@127.0.0.1"]
    assert await refused_field(operated.call("Drain", pb.DrainRequest(actor="\n"))) == ("CONTROL_CHARACTER", "actor")


@pytest.mark.parametrize(
    ("method", "asked", "reason", "field"),
    [
        ("LoadModel", pb.LoadModelRequest(model="../m"), "INVALID_NAME", "model"),
        ("LoadModel", pb.LoadModelRequest(model="m", selector="\n"), "CONTROL_CHARACTER", "selector"),
        ("UnloadModel", pb.UnloadModelRequest(model="m", actor="x" * 257), "TEXT_TOO_LONG", "actor"),
        ("ListAudit", pb.ListAuditRequest(page_size=1001), "PAGE_TOO_LARGE", "page_size"),
        ("ListAudit", pb.ListAuditRequest(model="../m"), "INVALID_NAME", "model"),
    ],
)
async def test_what_cannot_be_meant_is_refused_with_its_field(operated: Operated, method: str, asked, reason, field):
    """Before anything is done."""
    assert await refused_field(operated.call(method, asked)) == (reason, field)
    assert operated.placements.asked == []


async def test_a_server_that_drains_loads_no_more_and_shows_its_audit(operated: Operated):
    """Looking is allowed to the end."""
    operated.drain.begin()
    for method, asked in (("LoadModel", pb.LoadModelRequest()), ("UnloadModel", pb.UnloadModelRequest())):
        assert await refusal(operated.call(method, asked)) == (
            grpc.StatusCode.UNAVAILABLE,
            "DRAINING: the server is going away",
        )
    assert await operated.call("ListAudit", pb.ListAuditRequest()) == pb.ListAuditResponse()
