"""What operators do: load and unload versions, send the server away, read and check what was done to the registry."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from google.protobuf.message import Message

from serinus.core.version import check_model_name
from serinus.threads import to_thread
from serinus.transport.callers import actor_of
from serinus.transport.calls import Calls
from serinus.transport.guard import Context, UnaryMethod
from serinus.transport.paging import all_that_fit, page_of
from serinus.transport.registry.messages import audit_message
from serinus.transport.registry.ports import Audit, Placements
from serinus.transport.registry.requests import named
from serinus_api.v1 import admin_pb2 as pb


class Controls:
    """The methods of AdminService that need the registry or change what serves.

    Attributes:
        placements: Loads and unloads.
        audit: What was done.
        calls: How methods are called.
        serving: The versions of a model that serve, newest first.
        drain: Lets this server go away soon; told who asked.
    """

    def __init__(
        self,
        *,
        placements: Placements,
        audit: Audit,
        calls: Calls,
        serving: Callable[[str], Sequence[pb.ModelStatus]],
        drain: Callable[[str], Awaitable[None]],
    ) -> None:
        self._placements = placements
        self._audit = audit
        self._calls = calls
        self._serving = serving
        self._drain = drain

    def unary(self) -> Mapping[str, UnaryMethod]:
        """The methods by name."""
        calls = self._calls
        return {
            "LoadModel": calls.slow_write(pb.LoadModelRequest, self._load),
            "UnloadModel": calls.slow_write(pb.UnloadModelRequest, self._unload),
            "ListAudit": calls.read(pb.ListAuditRequest, self._list_audit),
            "VerifyAudit": calls.slow_read(pb.VerifyAuditRequest, self._verify_audit),
            "Drain": calls.write(pb.DrainRequest, self._leave),
        }

    async def _load(self, asked: pb.LoadModelRequest, context: Context) -> Message:
        model, selector = named(asked)
        await self._placements.load(model, selector, actor_of(asked.actor, context))
        return pb.LoadModelResponse(versions=self._serving(model))

    async def _unload(self, asked: pb.UnloadModelRequest, context: Context) -> Message:
        model, selector = named(asked)
        await self._placements.unload(model, selector, actor_of(asked.actor, context))
        return pb.UnloadModelResponse(versions=self._serving(model))

    async def _list_audit(self, asked: pb.ListAuditRequest) -> Message:
        if asked.model:
            check_model_name(asked.model)
        size, _ = page_of(asked.page_size, "")
        # One more than is shown tells whether there is more.
        found = await self._audit.audit(asked.after_revision, model=asked.model, limit=size + 1)
        shown = await to_thread(all_that_fit, found[:size], audit_message)
        rest = shown[-1].revision if len(shown) < len(found) else 0
        return pb.ListAuditResponse(entries=shown, next_revision=rest)

    async def _verify_audit(self, _asked: pb.VerifyAuditRequest) -> Message:
        found = await self._audit.verify_audit()
        return pb.VerifyAuditResponse(
            entries=found.entries, first_broken=found.first_broken, problem=found.problem, head=found.head.hash
        )

    async def _leave(self, asked: pb.DrainRequest, context: Context) -> Message:
        await self._drain(actor_of(asked.actor, context))
        return pb.DrainResponse()
