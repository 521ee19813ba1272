"""An operator's calls about who answers: splits by hand, fallbacks, circuit breakers."""

from collections.abc import Iterable

from serinus_api.v1 import admin_pb2 as pb
from serinus_client.actor import default_actor
from serinus_client.admin_calls import AdminCalls


class TrafficCalls(AdminCalls):
    """Each gives what is decided since. `AsyncAdmin` says what the arguments of all calls mean.

    `expected_revision` is `ModelTraffic.revision` as the caller has read it: when the model has changed since, a write
    ends with `Conflict`.
    """

    async def get_split(self, model: str, *, timeout_s: float | None = None) -> pb.ModelTraffic:
        """How the calls of a model are shared out, and who answers when the chosen version cannot."""
        return (await self._ask("GetSplit", pb.GetSplitRequest(model=model), pb.GetSplitResponse, timeout_s)).traffic

    async def set_split(
        self,
        model: str,
        arms: Iterable[pb.SplitArm] = (),
        *,
        rules: Iterable[pb.SplitRule] = (),
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.ModelTraffic:
        """Share the calls of a model out by hand, without a judge.

        Args:
            model: Its name.
            arms: Versions and percent; what is left goes to stable. Without arms and rules the split is removed.
            rules: Callers that reach one version whatever the weights are, in order.
            expected_revision: See the class.
            actor: Who.
            timeout_s: Seconds to wait.

        Raises:
            Refused: a rollout shares them out.
        """
        request = pb.SetSplitRequest(
            model=model,
            arms=arms,
            rules=rules,
            actor=actor or default_actor(),
            expected_revision=expected_revision,
        )
        return (await self._tell("SetSplit", request, pb.SetSplitResponse, timeout_s)).traffic

    async def set_fallback(
        self,
        model: str,
        fallback: pb.Fallback | None,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.ModelTraffic:
        """Say who answers when the chosen version of a model cannot; None for nobody.

        Raises:
            InvalidInput: a target could not answer in its place; the sentence says why.
        """
        request = pb.SetFallbackRequest(
            model=model, fallback=fallback, actor=actor or default_actor(), expected_revision=expected_revision
        )
        return (await self._tell("SetFallback", request, pb.SetFallbackResponse, timeout_s)).traffic

    async def reset_breaker(self, model: str, *, actor: str = "", timeout_s: float | None = None) -> pb.ModelTraffic:
        """Let every server forget what its circuit breakers remember of a model."""
        request = pb.ResetBreakerRequest(model=model, actor=actor or default_actor())
        return (await self._tell("ResetBreaker", request, pb.ResetBreakerResponse, timeout_s)).traffic
