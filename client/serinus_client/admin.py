"""Operating a server: what it is doing now, what it serves, who answers, and what was done to it."""

from collections.abc import AsyncGenerator, Sequence

from serinus_api.v1 import admin_pb2 as pb
from serinus_client.actor import default_actor
from serinus_client.admin_calls import PAGE
from serinus_client.admin_rollouts import RolloutCalls
from serinus_client.admin_traffic import TrafficCalls

LOAD_S = 600.0  # of gigabytes of weights, warm-up included


class AsyncAdmin(RolloutCalls, TrafficCalls):
    """The operator's calls of an `AsyncClient`. Answers are the protocol's own messages.

    `actor` says who does it, for the audit; "" stands for this user on this machine. What only reads is tried again
    like predictions; what changes something only where the server says that it did nothing.
    """

    async def server_status(self, *, timeout_s: float | None = None) -> pb.GetServerStatusResponse:
        """What the server serves, how much and how fast.

        Raises:
            SerinusError: the server did not answer.
        """
        return await self._ask("GetServerStatus", pb.GetServerStatusRequest(), pb.GetServerStatusResponse, timeout_s)

    async def load_model(
        self, model: str, selector: str = "", *, actor: str = "", timeout_s: float = LOAD_S
    ) -> pb.LoadModelResponse:
        """Serve a version from now on, whatever names it; returns when it serves.

        Args:
            model: A registered model, or one that the server knows from its command line or its model repository.
            selector: Which version of a registered model; "" for what its aliases name, or else the highest.
            actor: Who does this, for the audit; "" for this user on this machine.
            timeout_s: Seconds to wait.

        Raises:
            NotFound: there is no such model or version.
            Refused: it cannot be served; the sentence says why.
        """
        request = pb.LoadModelRequest(model=model, selector=selector, actor=actor or default_actor())
        return await self._tell("LoadModel", request, pb.LoadModelResponse, timeout_s)

    async def unload_model(
        self, model: str, selector: str = "", *, actor: str = "", timeout_s: float = LOAD_S
    ) -> pb.UnloadModelResponse:
        """Stop serving a version, or all of a model where `selector` is ""; calls inside are answered first."""
        request = pb.UnloadModelRequest(model=model, selector=selector, actor=actor or default_actor())
        return await self._tell("UnloadModel", request, pb.UnloadModelResponse, timeout_s)

    async def learned_costs(
        self, model: str = "", version: str = "", *, timeout_s: float | None = None
    ) -> Sequence[pb.LearnedCosts]:
        """What the runs of loaded versions were seen to cost, and what the batcher makes of it.

        Args:
            model: Its name; "" for all.
            version: A semantic version of it; "" for all that are loaded.
            timeout_s: Seconds to wait.

        Raises:
            NotFound: the server has no such model or version.
        """
        request = pb.ListLearnedCostsRequest(model=model, version=version)
        return (await self._ask("ListLearnedCosts", request, pb.ListLearnedCostsResponse, timeout_s)).costs

    async def list_audit(
        self, *, after_revision: int = 0, model: str = "", timeout_s: float | None = None
    ) -> AsyncGenerator[pb.AuditEntry, None]:
        """The writes to the registry, oldest first, page by page; `timeout_s` is for each page."""
        request = pb.ListAuditRequest(after_revision=after_revision, model=model, page_size=PAGE)
        while True:
            page = await self._ask("ListAudit", request, pb.ListAuditResponse, timeout_s)
            for entry in page.entries:
                yield entry
            if not page.next_revision:
                return
            request.after_revision = page.next_revision

    async def verify_audit(self, *, timeout_s: float | None = None) -> pb.VerifyAuditResponse:
        """Let the server compute the chain of all writes again."""
        return await self._ask("VerifyAudit", pb.VerifyAuditRequest(), pb.VerifyAuditResponse, timeout_s)

    async def drain(self, *, actor: str = "", timeout_s: float | None = None) -> None:
        """Let the server that answers go away: it says so, answers the calls in flight, and ends.

        Returns once it has heard; asked again, it goes away all the same.
        """
        await self._tell("Drain", pb.DrainRequest(actor=actor or default_actor()), pb.DrainResponse, timeout_s)
