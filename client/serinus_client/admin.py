"""Operating a server: what it is doing now, what it serves, and what was done to it."""

from collections.abc import AsyncGenerator, Callable, Iterator

from serinus_api.v1 import admin_pb2 as pb
from serinus_client.actor import default_actor
from serinus_client.blocking import Run, iterate
from serinus_client.session import Session

LOAD_S = 600.0  # of gigabytes of weights, warm-up included

_SERVICE = "/serinus.v1.AdminService/"
_PAGE = 100


class AsyncAdmin:
    """The operator's calls of an `AsyncClient`. Answers are the protocol's own messages."""

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session

    async def server_status(self, *, timeout_s: float | None = None) -> pb.GetServerStatusResponse:
        """What the server serves, how much and how fast.

        Raises:
            SerinusError: the server did not answer.
        """
        return await self._session().ask(
            _SERVICE + "GetServerStatus", pb.GetServerStatusRequest(), pb.GetServerStatusResponse, timeout_s=timeout_s
        )

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
        return await self._session().tell(_SERVICE + "LoadModel", request, pb.LoadModelResponse, timeout_s=timeout_s)

    async def unload_model(
        self, model: str, selector: str = "", *, actor: str = "", timeout_s: float = LOAD_S
    ) -> pb.UnloadModelResponse:
        """Stop serving a version, or all of a model where `selector` is ""; calls inside are answered first."""
        request = pb.UnloadModelRequest(model=model, selector=selector, actor=actor or default_actor())
        return await self._session().tell(
            _SERVICE + "UnloadModel", request, pb.UnloadModelResponse, timeout_s=timeout_s
        )

    async def list_audit(
        self, *, after_revision: int = 0, model: str = "", timeout_s: float | None = None
    ) -> AsyncGenerator[pb.AuditEntry, None]:
        """The writes to the registry, oldest first, page by page; `timeout_s` is for each page."""
        request = pb.ListAuditRequest(after_revision=after_revision, model=model, page_size=_PAGE)
        while True:
            page = await self._session().ask(_SERVICE + "ListAudit", request, pb.ListAuditResponse, timeout_s=timeout_s)
            for entry in page.entries:
                yield entry
            if not page.next_revision:
                return
            request.after_revision = page.next_revision

    async def verify_audit(self, *, timeout_s: float | None = None) -> pb.VerifyAuditResponse:
        """Let the server compute the chain of all writes again."""
        return await self._session().ask(
            _SERVICE + "VerifyAudit", pb.VerifyAuditRequest(), pb.VerifyAuditResponse, timeout_s=timeout_s
        )


class Admin:
    """The operator's calls of a `Client`: those of `AsyncAdmin`."""

    def __init__(self, run: Run, admin: AsyncAdmin) -> None:
        self._run = run
        self._admin = admin

    def server_status(self, *, timeout_s: float | None = None) -> pb.GetServerStatusResponse:
        """As `AsyncAdmin.server_status`."""
        return self._run(self._admin.server_status(timeout_s=timeout_s))

    def load_model(
        self, model: str, selector: str = "", *, actor: str = "", timeout_s: float = LOAD_S
    ) -> pb.LoadModelResponse:
        """As `AsyncAdmin.load_model`."""
        return self._run(self._admin.load_model(model, selector, actor=actor, timeout_s=timeout_s))

    def unload_model(
        self, model: str, selector: str = "", *, actor: str = "", timeout_s: float = LOAD_S
    ) -> pb.UnloadModelResponse:
        """As `AsyncAdmin.unload_model`."""
        return self._run(self._admin.unload_model(model, selector, actor=actor, timeout_s=timeout_s))

    def list_audit(
        self, *, after_revision: int = 0, model: str = "", timeout_s: float | None = None
    ) -> Iterator[pb.AuditEntry]:
        """As `AsyncAdmin.list_audit`."""
        return iterate(
            self._run, self._admin.list_audit(after_revision=after_revision, model=model, timeout_s=timeout_s)
        )

    def verify_audit(self, *, timeout_s: float | None = None) -> pb.VerifyAuditResponse:
        """As `AsyncAdmin.verify_audit`."""
        return self._run(self._admin.verify_audit(timeout_s=timeout_s))
