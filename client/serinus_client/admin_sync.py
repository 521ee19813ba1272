"""An operator's calls for threads: each waits for the asynchronous one of its name."""

from collections.abc import Iterable, Iterator, Sequence

from serinus_api.v1 import admin_pb2 as pb
from serinus_client.admin import LOAD_S, AsyncAdmin
from serinus_client.admin_rollouts_sync import Rollouts
from serinus_client.blocking import Run, iterate


class Admin(Rollouts):
    """The operator's calls of a `Client`. Arguments, answers and errors are those of `AsyncAdmin`."""

    def __init__(self, run: Run, admin: AsyncAdmin) -> None:
        super().__init__(run, admin)
        self._admin = admin

    def server_status(self, *, timeout_s: float | None = None) -> pb.GetServerStatusResponse:
        """What the server serves, how much and how fast."""
        return self._run(self._admin.server_status(timeout_s=timeout_s))

    def load_model(
        self, model: str, selector: str = "", *, actor: str = "", timeout_s: float = LOAD_S
    ) -> pb.LoadModelResponse:
        """Serve a version from now on, whatever names it; returns when it serves."""
        return self._run(self._admin.load_model(model, selector, actor=actor, timeout_s=timeout_s))

    def unload_model(
        self, model: str, selector: str = "", *, actor: str = "", timeout_s: float = LOAD_S
    ) -> pb.UnloadModelResponse:
        """Stop serving a version, or all of a model where `selector` is ""; calls inside are answered first."""
        return self._run(self._admin.unload_model(model, selector, actor=actor, timeout_s=timeout_s))

    def learned_costs(
        self, model: str = "", version: str = "", *, timeout_s: float | None = None
    ) -> Sequence[pb.LearnedCosts]:
        """What the runs of loaded versions were seen to cost, and what the batcher makes of it."""
        return self._run(self._admin.learned_costs(model, version, timeout_s=timeout_s))

    def list_audit(
        self, *, after_revision: int = 0, model: str = "", timeout_s: float | None = None
    ) -> Iterator[pb.AuditEntry]:
        """The writes to the registry, oldest first, page by page."""
        return iterate(
            self._run, self._admin.list_audit(after_revision=after_revision, model=model, timeout_s=timeout_s)
        )

    def verify_audit(self, *, timeout_s: float | None = None) -> pb.VerifyAuditResponse:
        """Let the server compute the chain of all writes again."""
        return self._run(self._admin.verify_audit(timeout_s=timeout_s))

    def drain(self, *, actor: str = "", timeout_s: float | None = None) -> None:
        """Let the server that answers go away."""
        self._run(self._admin.drain(actor=actor, timeout_s=timeout_s))

    def get_split(self, model: str, *, timeout_s: float | None = None) -> pb.ModelTraffic:
        """How the calls of a model are shared out, and who answers when the chosen version cannot."""
        return self._run(self._admin.get_split(model, timeout_s=timeout_s))

    def set_split(
        self,
        model: str,
        arms: Iterable[pb.SplitArm] = (),
        *,
        rules: Iterable[pb.SplitRule] = (),
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.ModelTraffic:
        """Share the calls of a model out by hand, without a judge."""
        return self._run(
            self._admin.set_split(
                model, arms, rules=rules, expected_revision=expected_revision, actor=actor, timeout_s=timeout_s
            )
        )

    def set_fallback(
        self,
        model: str,
        fallback: pb.Fallback | None,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.ModelTraffic:
        """Say who answers when the chosen version of a model cannot; None for nobody."""
        return self._run(
            self._admin.set_fallback(
                model, fallback, expected_revision=expected_revision, actor=actor, timeout_s=timeout_s
            )
        )

    def reset_breaker(self, model: str, *, actor: str = "", timeout_s: float | None = None) -> pb.ModelTraffic:
        """Let every server forget what its circuit breakers remember of a model."""
        return self._run(self._admin.reset_breaker(model, actor=actor, timeout_s=timeout_s))
