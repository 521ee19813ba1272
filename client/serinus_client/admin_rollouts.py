"""An operator's calls about rollouts: a version earns its traffic, and loses it by itself."""

import contextlib
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from serinus_api.v1 import admin_pb2 as pb
from serinus_client.actor import default_actor
from serinus_client.admin_calls import PAGE, SERVICE, AdminCalls
from serinus_client.errors import Overloaded, SerinusError, Unavailable

SIMULATE_S = 600.0  # thousands of runs of a long plan

_ENDS = frozenset({pb.ROLLOUT_STATUS_SUCCEEDED, pb.ROLLOUT_STATUS_ROLLED_BACK, pb.ROLLOUT_STATUS_ABORTED})


class RolloutCalls(AdminCalls):
    """Rollouts are known by id. `AsyncAdmin` says what the arguments of all calls mean.

    `expected_revision` is `Rollout.revision` as the caller has read it: when the rollout has moved since, a command
    ends with `Conflict`.
    """

    async def start_rollout(
        self,
        spec: str | Mapping[str, Any],
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.Rollout:
        """Let a version earn its calls.

        Args:
            spec: The plan: YAML or JSON, or the same as a mapping; `model` and `candidate` are enough.
            expected_revision: The model's, not the rollout's.
            actor: Who.
            timeout_s: Seconds to wait.

        Raises:
            InvalidInput: the plan cannot be meant; the message lists what is wrong with it.
            Refused: what there is does not allow it; the model has another rollout, say.
        """
        request = pb.StartRolloutRequest(
            spec_yaml=_text_of(spec), actor=actor or default_actor(), expected_revision=expected_revision
        )
        return (await self._tell("StartRollout", request, pb.StartRolloutResponse, timeout_s)).rollout

    async def get_rollout(self, rollout_id: str = "", *, model: str = "", timeout_s: float | None = None) -> pb.Rollout:
        """A rollout with the numbers behind it: the one with that id, or the newest of `model`.

        Raises:
            NotFound: there is none.
        """
        request = pb.GetRolloutRequest(id=rollout_id, model=model)
        return (await self._ask("GetRollout", request, pb.GetRolloutResponse, timeout_s)).rollout

    async def list_rollouts(
        self, *, model: str = "", active: bool = False, timeout_s: float | None = None
    ) -> AsyncGenerator[pb.Rollout, None]:
        """Rollouts without their numbers, newest first, page by page.

        Args:
            model: Whose; "" for all.
            active: Whether only those are wanted that have not ended.
            timeout_s: Seconds for each page.
        """
        request = pb.ListRolloutsRequest(model=model, active=active, page_size=PAGE)
        while True:
            page = await self._ask("ListRollouts", request, pb.ListRolloutsResponse, timeout_s)
            for rollout in page.rollouts:
                yield rollout
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def watch_rollout(self, rollout_id: str = "", *, model: str = "") -> AsyncGenerator[pb.Rollout, None]:
        """A rollout as it is, then again whenever it has moved and each second; over lost connections, to its end.

        Args:
            rollout_id: Which; "" for the newest of `model`, which stays the one that is watched.
            model: For an empty `rollout_id`.

        Raises:
            SerinusError: the server said no, or was away for longer than the client's retries bridge.
        """
        session = self._session()
        failures = 0
        while True:
            error: SerinusError = Unavailable("the server ended the watch")
            request = pb.WatchRolloutRequest(id=rollout_id, model="" if rollout_id else model)
            answers = session.download(SERVICE + "WatchRollout", request, pb.WatchRolloutResponse, timeout_s=None)
            try:
                async with contextlib.aclosing(answers):
                    async for answer in answers:
                        failures = 0
                        rollout_id = answer.rollout.id
                        yield answer.rollout
                        if answer.rollout.status in _ENDS:
                            return
            except (Overloaded, Unavailable) as lost:
                error = lost
            failures += 1
            await session.wait_before_retry(error, failures=failures)

    async def rollout_journal(self, rollout_id: str, *, timeout_s: float | None = None) -> Sequence[pb.RolloutEvent]:
        """What has happened to a rollout, oldest first, with the evidence."""
        request = pb.ListRolloutJournalRequest(id=rollout_id)
        return (await self._ask("ListRolloutJournal", request, pb.ListRolloutJournalResponse, timeout_s)).events

    async def pause_rollout(
        self,
        rollout_id: str,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.Rollout:
        """Stop the clock; the weights stay, and a candidate that fails is still taken out."""
        request = pb.PauseRolloutRequest(
            id=rollout_id, actor=actor or default_actor(), expected_revision=expected_revision
        )
        return (await self._tell("PauseRollout", request, pb.PauseRolloutResponse, timeout_s)).rollout

    async def resume_rollout(
        self,
        rollout_id: str,
        *,
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.Rollout:
        """Let it go on."""
        request = pb.ResumeRolloutRequest(
            id=rollout_id, actor=actor or default_actor(), expected_revision=expected_revision
        )
        return (await self._tell("ResumeRollout", request, pb.ResumeRolloutResponse, timeout_s)).rollout

    async def promote_rollout(
        self,
        rollout_id: str,
        *,
        force: bool = False,
        version: str = "",
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.Rollout:
        """Move it on: past an approval, or to the next stage if the judge says pass.

        Args:
            rollout_id: Which.
            force: Go to the end at once, whatever the judge says.
            version: The winner of an A/B test; "" where there is one candidate.
            expected_revision: See the class.
            actor: Who.
            timeout_s: Seconds to wait.

        Raises:
            Refused: it does not stand so that it could move; the sentence says what to do instead.
        """
        request = pb.PromoteRolloutRequest(
            id=rollout_id,
            force=force,
            version=version,
            actor=actor or default_actor(),
            expected_revision=expected_revision,
        )
        return (await self._tell("PromoteRollout", request, pb.PromoteRolloutResponse, timeout_s)).rollout

    async def abort_rollout(
        self,
        rollout_id: str,
        *,
        reason: str = "",
        expected_revision: int | None = None,
        actor: str = "",
        timeout_s: float | None = None,
    ) -> pb.Rollout:
        """Take the candidate out at once; `reason` is for the journal."""
        request = pb.AbortRolloutRequest(
            id=rollout_id, reason=reason, actor=actor or default_actor(), expected_revision=expected_revision
        )
        return (await self._tell("AbortRollout", request, pb.AbortRolloutResponse, timeout_s)).rollout

    async def list_disagreements(self, rollout_id: str, *, timeout_s: float | None = None) -> Sequence[pb.Disagreement]:
        """Mirrored calls that the versions answered differently, as far as the server that answers has kept them."""
        request = pb.ListDisagreementsRequest(id=rollout_id)
        return (await self._ask("ListDisagreements", request, pb.ListDisagreementsResponse, timeout_s)).disagreements

    async def simulate_rollout(
        self,
        spec: str | Mapping[str, Any],
        *,
        rate: float,
        baseline: pb.RolloutAssumption | None = None,
        candidate: pb.RolloutAssumption | None = None,
        runs: int = 0,
        seed: int = 0,
        timeout_s: float = SIMULATE_S,
    ) -> pb.SimulateRolloutResponse:
        """Play a plan against assumed rates, many times; nothing is changed.

        Args:
            spec: As for `start_rollout`.
            rate: Calls of the model a second.
            baseline: What stable does; None for nothing wrong.
            candidate: What the candidate does; likewise.
            runs: How often, at most 10000; 0 for 200.
            seed: The same one gives the same outcomes.
            timeout_s: Seconds to wait.
        """
        request = pb.SimulateRolloutRequest(
            spec_yaml=_text_of(spec), rate=rate, baseline=baseline, candidate=candidate, runs=runs, seed=seed
        )
        return await self._ask("SimulateRollout", request, pb.SimulateRolloutResponse, timeout_s)

    async def report_metric(
        self,
        model: str,
        version: str,
        metric: str,
        values: Sequence[float],
        *,
        report_id: str = "",
        timeout_s: float | None = None,
    ) -> bool:
        """Say how a version did, by a metric of a rollout's guardrails; whether it was counted now and not before.

        Args:
            model: Its model.
            version: The version that answered, as `Prediction.version` says.
            metric: As the guardrail calls it.
            values: Each within the metric's range; at most 10000.
            report_id: Tells a report that is sent again from a new one; then a lost answer is asked for again. ""
                counts each time.
            timeout_s: Seconds to wait.
        """
        request = pb.ReportMetricRequest(
            model=model, version=version, metric=metric, values=values, report_id=report_id
        )
        # With an id, telling it twice is telling it once.
        send = self._ask if report_id else self._tell
        return (await send("ReportMetric", request, pb.ReportMetricResponse, timeout_s)).counted


def _text_of(spec: str | Mapping[str, Any]) -> str:
    # JSON is YAML as well.
    return spec if isinstance(spec, str) else json.dumps(spec, ensure_ascii=False)
